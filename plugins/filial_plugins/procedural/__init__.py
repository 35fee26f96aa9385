"""A teacher without a model: exact answers to tasks of a small closed world.

`truth` tells the exact answer to any task of the world; `exam` holds the held-out test records; ``pocket_base`` is
a small base model that has read about the world but has never seen an instruction.
"""

from __future__ import annotations

from collections.abc import Callable

from filial import Teacher, hookimpl

from .teacher import ProceduralTeacher


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    """Offer the teacher under its name."""
    register("procedural", ProceduralTeacher)
