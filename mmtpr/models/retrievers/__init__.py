"""models retrievers."""
