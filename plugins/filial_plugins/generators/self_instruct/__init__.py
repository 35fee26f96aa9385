"""Self-Instruct: new tasks from seed tasks, and examples of each.

A run goes through these files in this order: `options` (what the user chose) and `styles` (what follows from it),
`pool` (seeds and accepted tasks), `proposing` with `lists` and `blocks` (requests for tasks, and what replies hold),
`screening` (which are taken), `examples` with `reading` (examples of each), `tally` (what came of it). The prompts
lie beside them as texts.
"""

from filial_plugins.generators.self_instruct.generator import SelfInstruct, register_generators

__all__ = ["SelfInstruct", "register_generators"]
