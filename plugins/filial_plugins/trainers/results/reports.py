"""Figures of a training, sent to where a team looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from filial import UsageError

Tell = Callable[[dict[str, Any]], None]


def check(names: Sequence[str]) -> None:
    """Whether the packages that are needed are there, before anything is trained.

    Raises:
        UsageError: one is not installed.
    """
    for name in names:
        try:
            import_module(name)
        except ImportError as error:
            raise UsageError(
                f"report_to names {name}, which is not installed: pip install {name}, or leave it out"
            ) from error


@contextmanager
def reports(names: Sequence[str], out: Path, options: dict[str, Any]) -> Iterator[list[Tell]]:
    """Ways to tell a line of the log to each of these places, as a run called like ``out``'s folder."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_tensorboard(out) if name == "tensorboard" else _run(name, out, options))
            for name in names
        ]


def _numbers(line: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in line.items() if isinstance(v, int | float) and k != "step"}


@contextmanager
def _tensorboard(out: Path) -> Iterator[Tell]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out.with_name(f"{out.name}.tensorboard"))) as writer:

        def tell(line: dict[str, Any]) -> None:
            for name, value in _numbers(line).items():
                writer.add_scalar(f"train/{name}", value, line["step"])

        yield tell


@contextmanager
def _run(name: str, out: Path, options: dict[str, Any]) -> Iterator[Tell]:
    """wandb, and trackio, which took over its way of being called."""
    place = import_module(name)
    place.init(project="filial", name=out.name, config=options)
    try:
        yield lambda line: place.log(_numbers(line), step=line["step"])
    finally:
        place.finish()
