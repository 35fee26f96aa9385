"""The stages of a recipe by their verbs.

A verb's module has ``KIND``, "map" or "reduce" (`filial.engine.work`); ``run(stage, records, base, manager, env)``,
which gives the stage's report; and ``expect(stage, entering, base, manager)``, which says what it would take and give.
Where it is a map, ``prepare(stage, base, manager)`` gives the stage's components and ``perform(components, env, work)``
the results of a `Work`.
"""

from __future__ import annotations

from typing import Any

from filial.engine import evolve, filter, generate, mix

VERBS: dict[str, Any] = {"generate": generate, "evolve": evolve, "filter": filter, "mix": mix}
