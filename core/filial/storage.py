"""Keep a run directory consistent: hashes, manifests with checksums, a lock."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from filial.contracts.errors import FilialError, UsageError


class Sink(io.FileIO):
    """An unbuffered file that writes everything, or raises an error for the user."""

    def __init__(self, path: Path, mode: str, shown: str | Path) -> None:
        self._shown = shown
        with write_errors(shown):
            super().__init__(path, mode)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        size = len(view)
        with write_errors(self._shown):
            while view:
                view = view[os.write(self.fileno(), view) :]
        return size


@contextmanager
def write_errors(path: str | Path) -> Iterator[None]:
    """Turn an error of the operating system into one sentence.

    Raises:
        FilialError: the disk is full.
        UsageError: the place cannot be written.
    """
    try:
        yield
    except BrokenPipeError:  # the reader of our output has closed it: no error of the place
        raise
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            cure = "the old content is unchanged: free some space and run again"
            raise FilialError(f"{path}: the disk is full; {cure}") from err
        what = (err.strerror or str(err)).lower()
        raise UsageError(f"{path}: cannot be written: {what}; give another place or fix its permissions") from err


@contextmanager
def replace_file(path: str | Path) -> Iterator[Sink]:
    """Open a file that replaces ``path`` when the block ends normally, and is deleted otherwise.

    The new file is synced before the rename, the folder after it. If ``path`` is a link, its target is replaced; a pipe
    or a device is written directly.

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
            with write_errors(path):
                os.fsync(sink.fileno())
        with write_errors(path):
            os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with write_errors(path):
        sync_folder(target.parent)


def canonical_json(value: Any) -> bytes:
    """Encode a value as its only canonical JSON text, for hashes: sorted keys, no blanks, UTF-8."""
    return msgspec.json.encode(value, order="sorted")


def digest(*parts: Any) -> str:
    """Return 32 hex digits of BLAKE2b over the canonical JSON of the parts."""
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else canonical_json(part)
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that a rename in it survives a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file's content atomically; create its folder if needed."""
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as f:
        f.write(data)


def write_manifest(path: Path, body: dict[str, Any]) -> None:
    """Write a manifest with a checksum over everything else in it. This write commits a stage."""
    write_bytes(path, _format_manifest({**body, "checksum": digest(body)}))


def _format_manifest(sealed: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def read_manifest(path: Path) -> dict[str, Any] | None:
    """Read a manifest; None unless its checksum and those of the files it names match.

    Any changed byte, in the manifest or in a file it names, gives None: the stage runs again.
    """
    try:
        raw = path.read_bytes()
        sealed = msgspec.json.decode(raw)
        body = {k: v for k, v in sealed.items() if k != "checksum"}
        if sealed["checksum"] != digest(body) or raw != _format_manifest(sealed):
            return None
        for name, facts in body.get("files", {}).items():
            if file_sha256(path.parent / name) != facts["sha256"]:
                return None
    except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError, UnicodeError):
        return None
    return body


def find_finished(path: Path, key: str) -> dict[str, Any] | None:
    """Return the manifest of complete work for this key, or None: the work has to be done."""
    manifest = read_manifest(path)
    return manifest if manifest is not None and manifest.get("key") == key else None


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a run directory: two runs in one directory would destroy each other.

    Raises:
        UsageError: another process holds the lock; the message names its process id, if it is written already.
    """
    path = folder / ".lock"
    with write_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        unfollowed = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)  # it will be emptied
        f = os.fdopen(unfollowed, "a+")
    with f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            f.seek(0)
            holder = f.read().strip() or "another process"
            raise UsageError(f"{folder} is in use by {holder}; wait for it, or give this run another name") from None
        f.seek(0)
        f.truncate()
        f.write(f"process {os.getpid()}")
        f.flush()
        try:
            yield
        finally:
            f.seek(0)
            f.truncate()


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files that a killed process left. Links are not followed."""
    if not folder.is_symlink():
        for at, _, names in os.walk(folder):
            for name in names:
                if name.startswith(".") and name.endswith(".tmp"):
                    Path(at, name).unlink(missing_ok=True)


def refuse_links(folder: Path) -> None:
    """Refuse links out of a folder, so that a run writes inside it only.

    A project of somebody else can contain links, and git keeps them: a run must not write through them into its user's
    files. Links inside the folder, as some trainers make, are allowed.

    Raises:
        UsageError: the folder is a link, or contains one that leads out of it.
    """
    root = os.path.realpath(folder)
    for path in (folder, *folder.rglob("*")):
        target = Path(os.path.realpath(path))
        if path.is_symlink() and (path == folder or not target.is_relative_to(root)):
            cure = "remove it (for another disk, give another home, or make 'runs' or '.filial' the link)"
            link = f"{path} is a link to {target}"
            raise UsageError(f"{link}, and a run does not write through links out of its folder; {cure}")
