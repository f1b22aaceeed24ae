"""Who waits for what, and what that does to others."""
