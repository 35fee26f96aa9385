"""Mixers: what says how much of each task goes into the mix."""
