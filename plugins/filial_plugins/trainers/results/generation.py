"""How a saved model answers by default: a generation config that can be saved."""

from __future__ import annotations

from typing import Any

MODES = ("do_sample", "num_beams", "use_cache", "return_dict_in_generate")  # what others need, so they are kept first


def drop_contradictions(config: Any) -> dict[str, Any]:
    """Unset what contradicts the rest of a generation config. Returns the names and values of what was unset.

    transformers loads such configs with a warning at most, and refuses to save them once they are changed. What counts
    as a contradiction (a temperature without ``do_sample``, a length penalty with one beam) is left to its own check.
    """
    if _valid(config):
        return {}
    fit = type(config)()
    private = {name: value for name, value in vars(config).items() if name.startswith("_")}
    given = {name: value for name, value in vars(config).items() if value is not None and name not in private}
    dropped = {}
    for name in sorted(given, key=lambda name: (name not in MODES, name)):
        before = dict(vars(fit))
        setattr(fit, name, given[name])
        if not _valid(fit):
            _assign(fit, before)
            dropped[name] = given[name]
    _assign(config, vars(fit) | private)
    return dropped


def _assign(config: Any, values: dict[str, Any]) -> None:
    """Let a config hold these values and no others."""
    vars(config).clear()
    vars(config).update(values)


def _valid(config: Any) -> bool:
    """Whether transformers would save it."""
    try:
        config.validate(strict=True)
    except (ValueError, TypeError):  # TypeError: a value of the wrong type is compared
        return False
    return True
