"""What a notebook shows and leaves behind.

`results` shows and saves, `tables` are for people, `figures` has the palette and the empty figure
that all pictures begin with, `stats` says how sure a number is, `verdicts` are what a notebook
ends with, `environment` is what it ran with, and `redaction` keeps secrets and paths out of all.
"""
