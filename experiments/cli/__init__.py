"""The command `booking-lab`, a file a command.

`main` is the group of them. `race`, `strategies`, `explore`, `load`, `bench`, `simulate` and
`report` read what a user typed, call the room that does it, and print what came of it. They share
`options` and the way of saying what is wrong, `complaints`.
"""
