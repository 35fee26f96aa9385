"""The task types there are: those of ``catalogue.yaml``, or those of a user's file of the same form."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from filial import UsageError

if TYPE_CHECKING:
    from filial_plugins.generators.from_fields.patterns import TaskType

BUILT_IN = Path(__file__).with_name("catalogue.yaml")


def load_types(path: Path) -> dict[str, TaskType]:
    """Return the task types of a file, by name.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    import yaml
    from pydantic import ValidationError

    from filial_plugins.generators.from_fields.patterns import parse_types

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = parse_types(data)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: it cannot be read as text: {error}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: it is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{path}: {place}: {first['msg']}; docs/plugins/generators.md shows a file") from error
    if not found:
        raise UsageError(f"{path}: it holds no task type")
    return found


@cache
def built_in_types() -> dict[str, TaskType]:
    """Return the task types that come with filial."""
    return load_types(BUILT_IN)
