"""Send figures of a training to the services where a team reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from filial import UsageError

Report = Callable[[dict[str, Any]], None]


def check_reporters(names: Sequence[str]) -> None:
    """Check that the packages are installed, before training starts.

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
def open_reporters(names: Sequence[str], out: Path, options: dict[str, Any]) -> Iterator[list[Report]]:
    """Open a run named like ``out`` in each service. Yields a function per service that reports a line of the log."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_open_tensorboard(out) if name == "tensorboard" else _open_run(name, out, options))
            for name in names
        ]


def _select_numbers(line: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in line.items() if isinstance(v, int | float) and k != "step"}


@contextmanager
def _open_tensorboard(out: Path) -> Iterator[Report]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out.with_name(f"{out.name}.tensorboard"))) as writer:

        def tell(line: dict[str, Any]) -> None:
            for name, value in _select_numbers(line).items():
                writer.add_scalar(f"train/{name}", value, line["step"])

        yield tell


@contextmanager
def _open_run(name: str, out: Path, options: dict[str, Any]) -> Iterator[Report]:
    """Open a run of wandb, or of trackio, which has the same functions."""
    place = import_module(name)
    place.init(project="filial", name=out.name, config=options)
    try:
        yield lambda line: place.log(_select_numbers(line), step=line["step"])
    finally:
        place.finish()
