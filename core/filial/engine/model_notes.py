"""What a trained model's folder says of itself: the template it was trained with, and the teacher that asks it.

Both are small files, each as a recipe would put it: ``{"use": NAME, options}``. Paths in the teacher's options start at
the folder, so that it may be moved.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from filial.contracts.errors import PluginError, UsageError
from filial.contracts.kinds import Component, Teacher, Template, Trainer
from filial.contracts.plugin_errors import blamed, wrong_type
from filial.plugins.manager import Manager
from filial.plugins.options import locate_files
from filial.storage import write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE_FILE, TEACHER_FILE = "filial_template.json", "filial_teacher.json"


def save_notes(
    out: Path, trainer: Trainer, template: dict[str, Any], manager: Manager, note: Callable[[str], None]
) -> None:
    """Write both into the folder of a model that has been trained. A trainer whose models cannot be asked leaves the
    template alone.

    Raises:
        FilialError: the folder cannot be written, the disk is full, or the trainer breaks its contract.
    """
    out = out.absolute()
    _write(out / TEMPLATE_FILE, template)
    if not can_be_asked(type(trainer)):
        return
    teacher = teacher_of(trainer, out, manager)
    if (use := registered_name(manager, teacher)) is None:
        note(f"{out} does not say how it is asked: no plugin registers {type(teacher).__name__} as a teacher")
        return
    options = teacher.model_dump(mode="json", exclude_defaults=True)
    _write(out / TEACHER_FILE, {"use": use, **{name: _relative(value, out) for name, value in options.items()}})


def can_be_asked(trainer: type[Component]) -> bool:
    """Whether a trainer says how its models are asked."""
    return getattr(trainer, "teacher", None) is not Trainer.teacher


def teacher_of(trainer: Trainer, out: Path, manager: Manager) -> Teacher:
    """How a model in ``out`` is asked.

    Raises:
        FilialError: the trainer fails, or gives no teacher.
    """
    plugin = manager.provenance(trainer)
    with blamed(plugin, "judge"):
        teacher = trainer.teacher(out)
    if not isinstance(teacher, Teacher):
        raise wrong_type(plugin, "judge", "teacher", teacher, "Teacher")
    return teacher


def registered_name(manager: Manager, teacher: Teacher) -> str | None:
    """``dist:name`` of a teacher that a plugin made itself; None where none registers its class."""
    origin, cls = manager.provenance(teacher), type(teacher)
    if "==" in origin:
        return origin.partition("==")[0]
    for name, claims in manager.index["teachers"].items():
        for claim in claims:
            module = claim.value.partition(":")[0]
            if cls.__module__ != module and not cls.__module__.startswith(f"{module}."):
                continue
            full = f"{claim.dist}:{name}"
            with suppress(PluginError):
                if manager.get("teachers", full) is cls:
                    return full
    return None


def load_template(folder: str | Path, manager: Manager | None = None) -> Template | None:
    """The template a model was trained with; None if its folder does not say.

    Without a manager, only installed templates are known.

    Raises:
        UsageError: the note cannot be read, or names a template that is not installed.
    """
    spec = template_note(folder)
    return None if spec is None else cast(Template, (manager or Manager()).build("templates", spec))


def template_note(folder: str | Path) -> dict[str, Any] | None:
    """What a model's folder says of its template, as a recipe would; None if it says nothing.

    Raises:
        UsageError: the note cannot be read.
    """
    return _read(Path(folder) / TEMPLATE_FILE, "a template's name and options")


def load_teacher(folder: Path, manager: Manager) -> tuple[str, Teacher] | None:
    """``dist:name`` and the teacher by which a model's folder says it is asked; None if it does not say.

    Raises:
        UsageError: the note cannot be read, or names a teacher that is not installed.
    """
    spec = _read(folder / TEACHER_FILE, "a teacher's name and options")
    if spec is None:
        return None
    teacher = cast(Teacher, manager.build("teachers", spec))
    manager.check_requirements(type(teacher))
    return str(spec["use"]), locate_files(teacher, folder)


def _write(path: Path, spec: dict[str, Any]) -> None:
    write_bytes(path, msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")


def _read(path: Path, what: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}; write {what} there, or delete the file") from error


def _relative(value: Any, out: Path) -> Any:
    """An option's value; a path in the folder ``out`` as it is seen from there."""
    if isinstance(value, str) and Path(value).is_relative_to(out):
        return str(Path(value).relative_to(out))
    return value
