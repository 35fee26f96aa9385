"""Filters: what decides which records go on."""
