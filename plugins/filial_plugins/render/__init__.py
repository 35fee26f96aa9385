"""Showing what a template makes of records."""
