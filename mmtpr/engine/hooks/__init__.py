"""engine hooks."""
