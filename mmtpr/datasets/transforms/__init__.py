"""datasets transforms."""
