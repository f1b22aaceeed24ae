"""What the availability notebook shows: clocks, a week, lost slots, buffers, honesty and cost.

`named_cases` are days with answers written by hand, `clock_cases` asks the database for them and
`clock_figures` draws them. `tiny_salon` and `shop` are where things happen; `diary`, `lost`,
`buffers` and `anyone` are what happens there, and `week_figures` draws it. `honesty` books what is
offered. `cost_of_losing` and `listing_report` say what answers cost, and `cost_figures` draws it.
"""
