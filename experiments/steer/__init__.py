"""Clients whose every statement is held back until somebody else lets it go, on the wire.

A `hub` stands between clients and PostgreSQL. It cuts what they send into units (`messages`), keeps
account of each connection (`conversation`), and holds back every unit that is a choice, as a
`turn`; `values` puts what is on the wire into words. `clients` are threads that run code,
`programs` what that code may be: a function, a worker, a command, a request to a server. `turns`
lets one step through and awaits what follows, or has something go wrong (`faults`); `blockers` has
PostgreSQL say who waits for whom, and holds statements back inside of it.
"""
