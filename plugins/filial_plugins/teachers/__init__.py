"""Teachers: the doors to a model."""
