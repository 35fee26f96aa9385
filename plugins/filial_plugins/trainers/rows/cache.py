"""Keep prepared stores on disk, and find them again by a hash of everything they were made from."""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from filial import Record, Template, UsageError, __version__, formats
from filial.labels import Encoder
from filial_plugins.trainers.rows.over_long import OverLong
from filial_plugins.trainers.rows.preparation import DataFile, write_rows
from filial_plugins.trainers.rows.store import FORMAT, StoreWriter, TokenStore, explain_write_errors

SAMPLE_RECORDS = 100
"""Records that are rendered for the key: they show changes in code that the template calls."""


def prepare_rows(
    data: Path, template: Template, encoder: Encoder, max_length: int, over_long: OverLong, cache: Path | None
) -> TokenStore:
    """Return the store of a data file: from ``cache`` if it is there and undamaged, else a new one.

    Args:
        template: bound to the encoder's tokenizer.
        cache: folder of stores. None: the store is temporary and lives as long as the object.

    Raises:
        UsageError: the data cannot be read, or the tokenizer lacks a token that the template needs.
        FilialError: the store cannot be written.
    """

    def make(folder: Path) -> TokenStore:
        return write_rows(DataFile(data), template, encoder, max_length, over_long, folder)

    return load_or_make(cache, lambda: compute_key(data, template, encoder, "rows", max_length, over_long), make)


def load_or_make(cache: Path | None, key: Callable[[], str], make: Callable[[Path], TokenStore]) -> TokenStore:
    """Load the store with this key from ``cache``; make it if it is missing or damaged, or if there is no cache."""
    if cache is None:
        # A memory-mapped file stays readable after it was deleted.
        with tempfile.TemporaryDirectory(prefix="filial-") as folder:
            return make(Path(folder) / "store")
    place = cache / key()
    with _lock(cache, place.name):
        return TokenStore.open(place) or make(place)


def compute_key(data: Path, template: Template, encoder: Encoder, *options: Any) -> str:
    """Hash everything that determines the rows. Returns 32 hex digits.

    That is the bytes of the file, the tokenizer, the options, the versions of filial and of the tokenizing libraries,
    the code that prepares, and the template: its class, options, source files and its output for the first records,
    which also shows changes in code that it calls.
    """
    with open(data, "rb") as f:
        content = hashlib.file_digest(f, "sha256").hexdigest()
    about = [
        FORMAT, __version__, version("tokenizers"), version("transformers"), _hash_code(template), content,
        data.suffixes, options, _describe_tokenizer(encoder.tokenizer), _describe_template(template),
        _hash_sample(data, template),
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(about)).hexdigest()[:32]


def _hash_code(template: Template) -> str:
    """Hash the source files that determine rows; filial's version alone does not change while they are edited.

    They read records, render them (the template and the classes that it is derived from), compute ids and mask, and
    write the rows.
    """
    kinds = [kind for kind in type(template).__mro__ if issubclass(kind, Template)]
    files = {path for part in (formats.read, Record, *kinds, Encoder, StoreWriter) for path in _list_sources(part)}
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def _list_sources(part: Any) -> set[Path]:
    """Return the source files of a class or function: those of its package, chat templates included.

    A module that is in no package is one file: what else is in its folder need not belong to it.
    """
    source = inspect.getsourcefile(part)
    if source is None:
        return set()
    folder = Path(source).parent
    if not getattr(inspect.getmodule(part), "__package__", None):
        return {Path(source)}
    return {*folder.rglob("*.py"), *folder.rglob("*.jinja")}


def _describe_tokenizer(tokenizer: Any) -> list[Any]:
    """Describe everything of a tokenizer that rows depend on; truncation and padding of earlier calls are left out."""
    spec = msgspec.json.decode(tokenizer.backend_tokenizer.to_str())
    spec |= {"truncation": None, "padding": None}
    specials = sorted(tokenizer.special_tokens_map.items(), key=str)
    described = msgspec.json.encode([spec, [[name, str(token)] for name, token in specials]], order="sorted")
    template = getattr(tokenizer, "chat_template", None)
    return [hashlib.sha256(described).hexdigest(), template]


def _describe_template(template: Template) -> list[Any]:
    """Describe a template by class and options."""
    kind = type(template)
    return [kind.__module__, kind.__qualname__, template.model_dump(mode="json")]


def _hash_sample(data: Path, template: Template) -> list[Any]:
    """Hash what the template writes for the first records."""
    out: list[Any] = []
    for record in islice((r for r in DataFile(data) if isinstance(r, Record)), SAMPLE_RECORDS):
        try:
            out.append([[span.text, span.train, span.special] for span in template.render(record)])
        except UsageError as error:
            out.append(str(error))
        except Exception as error:
            out.append(type(error).__name__)
    return [hashlib.sha256(repr(out).encode("utf-8", "surrogatepass")).hexdigest()]


@contextmanager
def _lock(cache: Path, name: str) -> Iterator[None]:
    """Lock a store, so that one process makes it and the others wait and find it."""
    with explain_write_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        lock = open(cache / f".{name}.lock", "a")  # noqa: SIM115 - closed below, which releases the lock
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
