"""The stages of a recipe by their verbs.

A verb's module has ``run(stage, records, base, manager, env)``, which gives the stage's report, and
``expect(stage, entering, base, manager)``, which says what it would take and give.
"""

from __future__ import annotations

from typing import Any

from filial.engine import evolve, filter, generate, mix

VERBS: dict[str, Any] = {"generate": generate, "evolve": evolve, "filter": filter, "mix": mix}
