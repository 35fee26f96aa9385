"""For plugin authors: a teacher with scripted answers, and one contract test class per kind.

A test file of a plugin, run by pytest:

    from filial.testing import StrategyContract
    from filial_pirate import Pirate

    class TestPirate(StrategyContract):
        component = Pirate()

pytest then runs the whole contract. Set attributes such as ``reply`` and ``records`` to fit your plugin.
"""

from __future__ import annotations

from filial.testing.contracts import (
    ComponentContract,
    FilterContract,
    GeneratorContract,
    JudgeContract,
    MixerContract,
    StrategyContract,
    TeacherContract,
    TemplateContract,
    TrainerContract,
)
from filial.testing.formats import FormatContract
from filial.testing.scripted import ScriptedTeacher, candidate, context, run_async

__all__ = [
    "ComponentContract", "FilterContract", "FormatContract", "GeneratorContract", "JudgeContract", "MixerContract",
    "ScriptedTeacher", "StrategyContract", "TeacherContract", "TemplateContract", "TrainerContract", "candidate",
    "context", "run_async",
]  # fmt: skip
