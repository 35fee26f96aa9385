"""Ten small task files, a type of task each, for trying out the mixing of tasks (recipes/flan.yaml).

The rows are made up, by ``make_tasks.py`` from word lists of its own. `pocket_t5` is an untrained model for them.
"""
