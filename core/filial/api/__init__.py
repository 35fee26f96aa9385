"""filial from Python: load, generate, evolve, filter, mix, train, judge and run, made of what the commands are made of.

Each verb takes records, or rows in any format that is read, and returns a sequence of records, so that verbs chain. The
plain functions work in a script and inside a loop that runs (a notebook's); those whose name begins with ``a`` are
awaited. All names are offered by `filial` itself.
"""
