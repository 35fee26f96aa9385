"""The types of constraints, by what they are about."""
