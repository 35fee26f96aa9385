"""Write new tasks from seed tasks, and examples of each (Self-Instruct).

A run uses these files in this order:

* `options`: what the user chose; `styles`: the settings that follow from it
* `pool`: seed tasks and accepted tasks
* `proposals`, with `lists` and `blocks`: requests for new tasks, and how replies are read
* `instruction_screen`: which new tasks are accepted
* `examples`, with `example_parser`: examples of each task
* `yield_stats`: counts, forecasts, and what the user is told

The prompts are text files beside these modules.
"""

from filial_plugins.generators.self_instruct.generator import SelfInstruct, register_generators

__all__ = ["SelfInstruct", "register_generators"]
