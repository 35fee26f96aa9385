"""What makes a run directory trustworthy: hashes, checksummed manifests, a lock."""

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
    """An unbuffered file that writes all or says why not, in words for the user."""

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
    """Turn an operating system's refusal to write into one sentence.

    Raises:
        FilialError: the disk is full.
        UsageError: the place cannot be written.
    """
    try:
        yield
    except BrokenPipeError:  # whoever reads our output has enough: no fault of the place
        raise
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FilialError(
                f"{path}: the disk is full; what was there before is unchanged: free space and run again"
            ) from err
        what = (err.strerror or str(err)).lower()
        raise UsageError(f"{path}: cannot be written: {what}; give another place or mend its permissions") from err


@contextmanager
def replace_file(path: str | Path) -> Iterator[Sink]:
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
    """One JSON text per value: sorted keys, no blanks, UTF-8. What gets hashed."""
    return msgspec.json.encode(value, order="sorted")


def digest(*parts: Any) -> str:
    """32 hex digits of BLAKE2b over the canonical JSON of the parts."""
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else canonical_json(part)
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file's content atomically, in a folder that is made if need be."""
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as f:
        f.write(data)


def write_manifest(path: Path, body: dict[str, Any]) -> None:
    """Write a manifest with a checksum over everything else in it. This write is a stage's commit point."""
    write_bytes(path, _format_manifest({**body, "checksum": digest(body)}))


def _format_manifest(sealed: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n"


def read_manifest(path: Path) -> dict[str, Any] | None:
    """A manifest whose checksum holds and whose files are the very bytes it names, or None.

    Any torn or flipped byte, in the manifest or in a file it names, makes it None: the stage is done again.
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
    """The manifest of work that is there, whole, and was done for this key, or None: it has to be done."""
    manifest = read_manifest(path)
    return manifest if manifest is not None and manifest.get("key") == key else None


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold a run directory: two runs in one directory would destroy each other.

    Raises:
        UsageError: another process holds it; the message names its process id, if it has written it by now.
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
            raise UsageError(f"{folder} is in use by {holder}; wait for it, or give this run another --name") from None
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
    """Remove what a killed process left behind: temporary files of unfinished writes. No link is followed."""
    if not folder.is_symlink():
        for at, _, names in os.walk(folder):
            for name in names:
                if name.startswith(".") and name.endswith(".tmp"):
                    Path(at, name).unlink(missing_ok=True)


def refuse_links(folder: Path) -> None:
    """See that what is written below a folder stays there.

    Whoever hands on a project can put links into it, and git keeps them: a run must not write through them into its
    user's files. Links that stay in the folder, as some trainers make, do no harm.

    Raises:
        UsageError: the folder is a link, or holds one that leads out of it.
    """
    root = os.path.realpath(folder)
    for path in (folder, *folder.rglob("*")):
        target = Path(os.path.realpath(path))
        if path.is_symlink() and (path == folder or not target.is_relative_to(root)):
            raise UsageError(
                f"{path} is a link to {target}, and a run writes through no link that leads out of its folder; remove "
                "it (for another disk give --home DIR, or make 'runs' or '.filial' the link)"
            )
