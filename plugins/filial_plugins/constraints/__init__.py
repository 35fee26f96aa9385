"""Constraints on answers that a function can check.

`catalogue` is the table of all types, `checkers` holds a function for each, `measures` says what a word or a sentence
is, `verdicts` tells strict from loose. `rewards` is the command that writes the checkers out as a reward file.
"""
