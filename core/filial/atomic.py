"""Files that are either the old one or the whole new one, never something between."""

from __future__ import annotations

import errno
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filial.errors import FilialError, UsageError


class Sink(io.FileIO):
    """An unbuffered file that writes all or says why not, in words for the user."""

    def __init__(self, path: Path, mode: str, shown: str | Path) -> None:
        self._shown = shown
        try:
            super().__init__(path, mode)
        except OSError as error:
            raise cannot(shown, error) from None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        try:
            while view:
                view = view[os.write(self.fileno(), view) :]
        except OSError as error:
            raise cannot(self._shown, error) from None
        return size


def cannot(path: str | Path, error: OSError) -> FilialError:
    """The error for a file that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FilialError(f"{path}: the disk is full; what was there before is unchanged: free space and run again")
    what = (error.strerror or str(error)).lower()
    return UsageError(f"{path}: cannot be written: {what}; give another place or mend its permissions")


@contextmanager
def replacing(path: str | Path) -> Iterator[Sink]:
    """A file to write that takes the place of ``path`` when the block ends well, and vanishes when it does
    not.

    The new file is synced before the rename, the folder after it. A link keeps pointing where it does; a
    pipe or a device is written directly.

    Raises:
        UsageError: the place cannot be written.
        FilialError: the disk is full.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"{path}: is a folder; give a file in it")
    if target.exists() and not target.is_file():
        with Sink(target, "wb", path) as sink:
            yield sink
        return
    part = target.with_name(f".filial-{secrets.token_hex(6)}.tmp")
    sink = Sink(part, "xb", path)
    try:
        with sink:
            yield sink
            _synced(sink.fileno(), path)
        try:
            os.replace(part, target)
        except OSError as error:
            raise cannot(path, error) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        _synced(folder, path)
    finally:
        os.close(folder)


def _synced(descriptor: int, path: str | Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise cannot(path, error) from None
