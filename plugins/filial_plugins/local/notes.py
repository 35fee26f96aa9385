"""Read the notes in a trained model's folder: its template, and the teacher that asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec

from filial import Teacher, Template, UsageError
from filial.commands import TEACHER_NOTE, TEMPLATE_NOTE, Manager, locate_files


def load_template(folder: str | Path, manager: Manager | None = None) -> Template | None:
    """Load the template that a model was trained with; None if its folder does not name one.

    Without a manager, only installed templates are known.

    Raises:
        UsageError: the note cannot be read, or names a template that is not installed.
    """
    spec = _read_note(Path(folder) / TEMPLATE_NOTE)
    return None if spec is None else cast(Template, (manager or Manager()).build("templates", spec))


def load_teacher(folder: Path, manager: Manager) -> Teacher | None:
    """Load the teacher that asks a model; None if its folder does not name one.

    Raises:
        UsageError: the note cannot be read, or names a teacher that is not installed.
    """
    spec = _read_note(folder / TEACHER_NOTE)
    if spec is None:
        return None
    teacher = cast(Teacher, manager.build("teachers", spec))
    manager.check_requirements(type(teacher))
    return locate_files(teacher, folder)


def _read_note(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}; write {{use: NAME, options}} as JSON there, or delete the file") from error
