"""Stages: what a recipe does to its records, a module for each verb."""
