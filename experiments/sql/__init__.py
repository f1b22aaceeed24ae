"""What a SQL statement touches, read off its text."""
