"""What ``datasets`` opens: ``hf:NAME``, ``hf:NAME:CONFIG`` and local folders, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from filial.contracts.errors import MissingExtra, UsageError
from filial.formats.jsontext import Row

PREFIX = "hf:"


def rows(source: str, split: str) -> tuple[frozenset[str], Iterator[Row]]:
    """The columns and the rows of one split.

    Raises:
        MissingExtra: ``datasets`` is not installed.
        UsageError: it cannot open the data set, or the split is empty of columns.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtra(
            f"{source}: data sets need packages that are not installed: pip install 'filial[train]'"
        ) from None
    try:
        stream = iter(_opened(datasets, source, split))
        first = next(stream, None)
    # The library raises errors of many unrelated kinds (its own, the hub's, pyarrow's, fsspec's, ValueError).
    except Exception as error:
        raise _failed(source, split, error) from None
    if first is None:
        return frozenset(), iter(())
    return frozenset(first), chain([first], _rest(stream, source, split))


def _opened(datasets: Any, source: str, split: str) -> Any:
    if not source.startswith(PREFIX):
        folder = Path(source)
        if (folder / "state.json").exists():
            return datasets.load_from_disk(source)
        if (folder / "dataset_dict.json").exists():
            return datasets.load_from_disk(source)[split]
        return datasets.load_dataset(source, split=split, streaming=True)
    name, _, config = source.removeprefix(PREFIX).partition(":")
    return datasets.load_dataset(name, config or None, split=split, streaming=True)


def _rest(stream: Iterator[Row], source: str, split: str) -> Iterator[Row]:
    try:
        yield from stream
    except Exception as error:
        raise _failed(source, split, error) from None


def _failed(source: str, split: str, error: Exception) -> UsageError:
    what = (str(error).splitlines() or [""])[0][:300]
    return UsageError(f"{source}: the data set's split {split!r} cannot be read: {type(error).__name__}: {what}")
