"""Seed tasks to start Self-Instruct from: ``english.jsonl`` (175), ``korean.jsonl`` and ``chinese.jsonl`` (25 each).

All were written for filial, none is taken from another collection, and they are under filial's licence. A recipe
names them ``pkg:filial_plugins/seeds/english.jsonl``. Each task has one instance; names of persons, addresses and
companies in them are made up.
"""
