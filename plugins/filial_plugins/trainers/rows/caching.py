"""Stores that are kept: what was prepared once is found again by what it was made from."""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from filial import Record, Template, UsageError, __version__
from filial.labels import Encoder
from filial_plugins.trainers.rows.over_long import OverLong
from filial_plugins.trainers.rows.preparing import DataFile, prepare
from filial_plugins.trainers.rows.store import FORMAT, TokenStore, told

SAMPLE = 100
"""Records that are rendered to tell one template's code from another's."""


def prepared(
    data: Path, template: Template, encoder: Encoder, max_length: int, over_long: OverLong, cache: Path | None
) -> TokenStore:
    """The store for a data file: the one in ``cache`` if it is whole and was made from the same, else a new one.

    Args:
        template: bound to the encoder's tokenizer.
        cache: folder of stores. None: the store is kept nowhere and lives as long as the object.

    Raises:
        UsageError: the data cannot be read, or the tokenizer lacks a token that the template needs.
        FilialError: the store cannot be written.
    """

    def make(folder: Path) -> TokenStore:
        return prepare(DataFile(data), template, encoder, max_length, over_long, folder)

    return kept(cache, lambda: key(data, template, encoder, "rows", max_length, over_long), make)


def kept(cache: Path | None, key: Callable[[], str], make: Callable[[Path], TokenStore]) -> TokenStore:
    """The store that bears this key in ``cache``, made if it is not there or damaged; without a cache, made."""
    if cache is None:
        # A mapped file lives on after its name is gone.
        with tempfile.TemporaryDirectory(prefix="filial-") as folder:
            return make(Path(folder) / "store")
    place = cache / key()
    with _held(cache, place.name):
        return TokenStore.open(place) or make(place)


def key(data: Path, template: Template, encoder: Encoder, *options: Any) -> str:
    """32 hex digits of everything that the rows follow from.

    That is the file's bytes, the tokenizer, the options, filial's version and the code that prepares, and the template:
    its class, source file, options and what it makes of the first records, which also tells a change in code that it
    calls.
    """
    with open(data, "rb") as f:
        content = hashlib.file_digest(f, "sha256").hexdigest()
    about = [
        FORMAT, __version__, _code(), content, data.suffixes, options,
        _tokenizer(encoder.tokenizer), _template(template), _sample(data, template),
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(about)).hexdigest()[:32]


def _code() -> str:
    """A hash of the sources that decide what rows are; a version alone would not tell while they are worked on."""
    sources = [*Path(__file__).parent.glob("*.py"), Path(inspect.getfile(Encoder))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()


def _tokenizer(tokenizer: Any) -> list[Any]:
    """All of a tokenizer that rows depend on; not the truncation and padding that some call left set."""
    spec = msgspec.json.decode(tokenizer.backend_tokenizer.to_str())
    spec |= {"truncation": None, "padding": None}
    specials = sorted(tokenizer.special_tokens_map.items(), key=str)
    described = msgspec.json.encode([spec, [[name, str(token)] for name, token in specials]], order="sorted")
    template = getattr(tokenizer, "chat_template", None)
    return [hashlib.sha256(described).hexdigest(), template]


def _template(template: Template) -> list[Any]:
    kind = type(template)
    source = inspect.getsourcefile(kind)
    code = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else ""
    return [kind.__module__, kind.__qualname__, template.model_dump(mode="json"), code]


def _sample(data: Path, template: Template) -> list[Any]:
    """What the template makes of the first records."""
    out: list[Any] = []
    for record in islice((r for r in DataFile(data) if isinstance(r, Record)), SAMPLE):
        try:
            out.append([[span.text, span.train, span.special] for span in template.render(record)])
        except UsageError as error:
            out.append(str(error))
        except Exception as error:
            out.append(type(error).__name__)
    return [hashlib.sha256(repr(out).encode("utf-8", "surrogatepass")).hexdigest()]


@contextmanager
def _held(cache: Path, name: str) -> Iterator[None]:
    """Let one process at a time look for a store and make it; the others then find it."""
    with told(cache):
        cache.mkdir(parents=True, exist_ok=True)
        lock = open(cache / f".{name}.lock", "a")  # noqa: SIM115 - closed below, which lets go of the lock
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
