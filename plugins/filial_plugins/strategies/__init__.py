"""Strategies: what evolves one record into a harder or different one."""
