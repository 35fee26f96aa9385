"""Generators: what makes new records from seeds."""
