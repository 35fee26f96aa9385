"""Make a generation config valid, so that it can be saved."""

from __future__ import annotations

from typing import Any

MODES = ("do_sample", "num_beams", "use_cache", "return_dict_in_generate")  # what others need, so they are kept first


def drop_contradictions(config: Any) -> dict[str, Any]:
    """Unset values that contradict the rest of a generation config. Returns their names and values.

    transformers loads such configs with a warning at most, but refuses to save them once they were changed. Its own
    check decides what is a contradiction (a temperature without ``do_sample``, a length penalty with one beam).
    """
    if _is_valid(config):
        return {}
    fit = type(config)()
    private = {name: value for name, value in vars(config).items() if name.startswith("_")}
    given = {name: value for name, value in vars(config).items() if value is not None and name not in private}
    dropped = {}
    for name in sorted(given, key=lambda name: (name not in MODES, name)):
        before = dict(vars(fit))
        setattr(fit, name, given[name])
        if not _is_valid(fit):
            _set_values(fit, before)
            dropped[name] = given[name]
    _set_values(config, vars(fit) | private)
    return dropped


def _set_values(config: Any, values: dict[str, Any]) -> None:
    """Replace all values of a config."""
    vars(config).clear()
    vars(config).update(values)


def _is_valid(config: Any) -> bool:
    """Return whether transformers would save the config."""
    try:
        config.validate(strict=True)
    except (ValueError, TypeError):  # TypeError: a value of the wrong type is compared
        return False
    return True
