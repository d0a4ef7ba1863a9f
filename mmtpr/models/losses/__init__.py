"""models losses."""
