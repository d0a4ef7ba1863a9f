"""Models: encoders, adapters, heads, losses and retrievers."""
