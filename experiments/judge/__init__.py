"""Whether what was seen keeps the properties.

`history` judges a round of some dozen requests from outside, `linearize` asks whether some order
explains the replies, and `ledger` has the database itself judge hundreds of thousands of replies.
"""
