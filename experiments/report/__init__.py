"""From notebooks to a folder that stakeholders read: run them, turn them into pages, publish.

`profiles` says which notebooks run with which parameters (the TOML files are in `profiles/`),
`runs` runs them with papermill, `pages` turns each into HTML with the `templates`, `report` is
what the front page says, computed from the verdicts, and `publish` does it all.
"""
