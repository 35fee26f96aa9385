"""What ``datasets`` opens: data sets of the hub and local folders, streamed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

from filial import Format, UsageError, hookimpl
from filial.formats import Fault, Row
from filial_plugins.formats.tables import to_json_row

PREFIX, DEFAULT = "hf:", "train"

_KINDS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}
_ABOUT = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json", "metadata.json")
"""Files beside those of the data."""

log = logging.getLogger("filial.formats")


class DataSet(Format):
    """Data sets of the hub (``hf:NAME``, ``hf:NAME:CONFIG``, either with ``@REVISION``) and folders, streamed by
    ``datasets``.

    Without a split, ``train`` is read, or the only one there is. The format of the rows is found like that of JSON
    objects. Only read.
    """

    requires: ClassVar = ("datasets",)
    extra: ClassVar = "data"

    def read(self, stream: IO[bytes]) -> Iterator[Row]:
        """Refuse to read: a data set is no single file."""
        raise UsageError("hf reads data sets of the hub and folders, no single file; leave the format to be found")

    def load(self, source: str, split: str | None, revision: str | None) -> Iterator[Row | Fault]:
        """Yield the rows of one split.

        Raises:
            UsageError: ``datasets`` cannot open or read it, or there are several splits and none is named.
        """
        import datasets

        try:
            for row in _open(datasets, source, split, revision):
                yield to_json_row(row)
        except UsageError:
            raise
        # The library raises errors of many unrelated kinds (its own, the hub's, pyarrow's, fsspec's, ValueError).
        except Exception as error:
            what = " ".join(str(error).split())[:300]
            name = f"data set's split {split!r}" if split else "data set"
            if "Cast" in type(error).__name__ or "cast" in what:
                why = "its files do not have the same columns with the same types of values; read each by itself"
                raise UsageError(f"the {name} cannot be read: {why} ({what})") from None
            raise UsageError(f"the {name} cannot be read: {type(error).__name__}: {what}") from None


def _open(datasets: Any, source: str, split: str | None, revision: str | None) -> Any:
    """The rows of one split, images and sounds in them as the bytes that they are stored in."""
    if source.startswith(PREFIX):
        name, config, revision = _parse_source(source, revision)
        data = datasets.load_dataset(name, config or None, split=split, revision=revision, streaming=True)
    elif revision:
        raise UsageError("a folder has no revisions")
    elif any((Path(source) / name).exists() for name in ("state.json", "dataset_dict.json")):
        data = _pick_saved(datasets.load_from_disk(source), split)
    else:
        _refuse_mixed(Path(source))
        data = datasets.load_dataset(source, split=split, streaming=True)
    if isinstance(data, dict):
        data = data[_choose_split(list(data), split)]
    for name, feature in (data.features or {}).items():
        if getattr(feature, "decode", False):
            data = data.cast_column(name, type(feature)(decode=False))
    return data


def _refuse_mixed(folder: Path) -> None:
    """See that ``datasets`` would not pass over files of a folder: it reads those of one kind."""
    card = folder / "README.md"
    if card.exists() and "data_files" in card.read_text(encoding="utf-8", errors="replace"):
        return  # it names the files
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        kind = next((_KINDS[end.lower()] for end in path.suffixes[-2:] if end.lower() in _KINDS), "")
        hidden = any(part[0] in "._" for part in path.relative_to(folder).parts)
        if kind and not hidden and path.name not in _ABOUT and path.is_file():
            found.setdefault(kind, path.relative_to(folder).as_posix())
    if len(found) > 1:
        listed = ", ".join(found.values())
        raise UsageError(f"the folder holds files of several kinds ({listed}), of which one is read; name a file")


def _parse_source(source: str, revision: str | None) -> tuple[str, str, str | None]:
    """The name, the configuration (empty where none is named) and the revision of a data set of the hub."""
    named, _, at = source.removeprefix(PREFIX).partition("@")
    if at and revision and at != revision:
        raise UsageError(f"its name says the revision {at}, and {revision} is asked for")
    name, _, config = named.partition(":")
    return name, config, at or revision


def _pick_saved(data: Any, split: str | None) -> Any:
    """A data set that was saved to disk; one of a single part is of the split that it says, if any."""
    if split and not isinstance(data, dict) and split != (its := str(data.split or "")):
        raise UsageError(f"there is no split {split}: {f'it is the split {its}' if its else 'it has no splits'}")
    return data


def _choose_split(names: list[str], split: str | None) -> str:
    """The split to read; one that is the only one, and not ``train``, is told."""
    listed = ", ".join(names)
    if split:
        if split in names:
            return split
        raise UsageError(f"there is no split {split}; there are {listed}")
    if DEFAULT in names:
        return DEFAULT
    if len(names) != 1:
        raise UsageError(f"it has no split {DEFAULT}; name one of {listed} (--split NAME; in a recipe split: NAME)")
    log.warning("the data set's only split is read: %s", listed)
    return names[0]


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("hf", DataSet)
