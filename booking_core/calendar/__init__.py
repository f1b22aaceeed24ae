"""When something can be booked.

`rules` knows it for one slot, in memory; `rulebook` reads the rules and remembers them.
`availability` knows it for days and teams, and what to offer instead of a lost slot, with the
queries of `free_time`, which `zones` tells what wall clocks show.
"""
