"""Clients whose every statement is held back until somebody else lets it go.

`steering` makes connections that stop before each step, `clients` are the threads that stop there,
`turns` lets one step through and awaits what follows, and `blockers` has PostgreSQL say who waits
for whom.
"""
