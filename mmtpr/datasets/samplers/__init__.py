"""datasets samplers."""
