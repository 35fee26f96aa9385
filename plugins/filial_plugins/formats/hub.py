"""What ``datasets`` opens: data sets of the hub and local folders, streamed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

from filial import Format, UsageError, hookimpl
from filial.formats import Row

PREFIX = "hf:"


class DataSet(Format):
    """Data sets of the hub (``hf:NAME``, ``hf:NAME:CONFIG``) and folders, streamed by ``datasets``.

    The format of their rows is found like that of JSON objects. Only read.
    """

    requires: ClassVar = ("datasets",)
    extra: ClassVar = "train"

    def read(self, stream: IO[bytes]) -> Iterator[Row]:
        """Refuse to read: a data set is no single file."""
        raise UsageError("hf reads data sets of the hub and folders, no single file; leave the format to be found")

    def load(self, source: str, split: str) -> Iterator[Row]:
        """Yield the rows of one split.

        Raises:
            UsageError: ``datasets`` cannot open or read it.
        """
        import datasets

        try:
            yield from _open(datasets, source, split)
        # The library raises errors of many unrelated kinds (its own, the hub's, pyarrow's, fsspec's, ValueError).
        except Exception as error:
            what = (str(error).splitlines() or [""])[0][:300]
            raise UsageError(f"the data set's split {split!r} cannot be read: {type(error).__name__}: {what}") from None


def _open(datasets: Any, source: str, split: str) -> Any:
    if not source.startswith(PREFIX):
        folder = Path(source)
        if (folder / "state.json").exists():
            return datasets.load_from_disk(source)
        if (folder / "dataset_dict.json").exists():
            return datasets.load_from_disk(source)[split]
        return datasets.load_dataset(source, split=split, streaming=True)
    name, _, config = source.removeprefix(PREFIX).partition(":")
    return datasets.load_dataset(name, config or None, split=split, streaming=True)


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("hf", DataSet)
