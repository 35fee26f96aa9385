"""Instructions from the fields of rows, by task templates."""
