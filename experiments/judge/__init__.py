"""Whether what was seen keeps the properties."""
