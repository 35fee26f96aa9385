"""filial from Python: load, generate, evolve, filter, mix, train, judge and run, made of the same parts as the
commands.

Each verb takes records, or rows in any format that filial reads, and returns a sequence of records, so that verbs can
be chained. The plain functions work in a script and inside a running event loop (of a notebook); functions whose name
begins with ``a`` are awaited. All names are available from `filial` itself.
"""
