"""What a SQL statement touches.

`commands` says what a text does to its session and transaction; `statements` has the words for
rows and locks, `recogniser` reads off a statement's text which it touches and `keys` which rows of
a table, and `written` keeps what was written so far.
"""
