"""PostgreSQL: one of our own, or somebody else's, and databases on it.

`postgres` finds or starts the one server of a process and lends databases on it; whoever needs
either asks there. `embedded` is a server of one's own, `watchdog` clears it away however its owner
ends, `database` is what one is given, `connection` how the lab itself gets in.
"""
