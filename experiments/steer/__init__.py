"""Clients whose every statement is held back until somebody else lets it go."""
