"""PostgreSQL: one of our own, or somebody else's, and databases on it."""
