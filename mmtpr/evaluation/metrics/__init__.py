"""evaluation metrics."""
