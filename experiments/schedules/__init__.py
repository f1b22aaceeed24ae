"""A schedule as a value, and all the ways to read it.

`schedule` is which client's step ran when, and what it broke. `transcript` puts it into words,
`drawing` into a picture, `spec` into the language of PostgreSQL's isolationtester; `labels` says in
a few words what a step does.
"""
