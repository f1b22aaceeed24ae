"""Who waits for what, and what that does to others.

`waits` samples what sessions wait for, `onlooker` sees that they do and goes on when it is so, and
`crowd` is many clients with one small pool. `waiting` divides a request's time with them,
`bystander` is the query that stands beside a crowd, and `figures` draws both.
"""
