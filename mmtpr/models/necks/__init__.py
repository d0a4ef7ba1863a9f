"""models necks."""
