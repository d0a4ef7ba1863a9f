"""models heads."""
