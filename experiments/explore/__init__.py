"""Every order of statements, on the real server."""
