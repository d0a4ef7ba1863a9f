"""models encoders."""
