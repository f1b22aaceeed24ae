"""The way to PostgreSQL and back.

`session` is one transaction, `wire` sends its statements, `failures` says what errors mean,
`appointments` finds what is stored.
"""
