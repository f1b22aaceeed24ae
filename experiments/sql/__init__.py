"""What a SQL statement touches.

`statements` has the words for it, rows and locks, `recogniser` reads them off a statement's text,
and `written` keeps what was written so far.
"""
