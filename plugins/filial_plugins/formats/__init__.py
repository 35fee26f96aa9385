"""Formats: the forms of other programs' data that filial reads and writes."""
