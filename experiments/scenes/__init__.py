"""What is played, on what, and by which strategy.

`salon` has the staff and the services, `shapes` what clients ask at once, `stage` the database on
which that is played again and again. The `world` has every pair of requests, `draws` draws from it,
and `kept` names those that once broke something. `replies` is what clients are told, `rows` what is
stored.
`catalogue` finds strategies by name, `exhibits` are the unsound ones, and `parameters` says what
makes no experiment.
"""
