"""When something can be booked.

`rules` says at which starts, `grid` does their arithmetic, and `dates` knows when days begin.
`rulebook` reads the rules and remembers them. `availability` takes away what is booked: it lists
what is free, for days and teams, and what to offer instead of a lost slot.
"""
