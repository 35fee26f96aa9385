"""A model on this machine: a folder, or a name on the hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import PrivateAttr, model_validator

from filial import FREE, Bound, Field, Price, Reply, Request, Teacher, Template, UsageError, hookimpl, resolve
from filial_plugins.teachers.local_batches import BatchQueue, Outcome, PendingRequest
from filial_plugins.teachers.local_model import LocalModel
from filial_plugins.teachers.local_prompts import add_schema
from filial_plugins.teachers.local_sampling import Sampling

TEMPLATE_TOKENS = 256
"""More than a template puts round a conversation."""
_WITHOUT_EFFECT = ("device", "threads", "batch_size", "batch_tokens")
_NOTHING_LOADED = {"_queue": None, "_loaded": None, "_fingerprint": ""}
_HASHED_SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".txt")


class Transformers(Teacher):
    """A local causal or encoder-decoder model, run by transformers: a chat model, FLAN-T5, or a model trained by
    filial.

    Requests that wait at the same time are answered together, in batches of similar length. An answer depends on the
    model, the request and the options only, not on the other requests of the batch, if the arithmetic of the device
    rounds equally (in float32 nearly always, in half precision not always). At temperature 0, the default, the
    likeliest token is taken each time, and each draw gives the same text; above it, draws differ.

    Weights are read from safetensors only. Code that comes with a model is run only if ``code`` names its repository
    and commit.
    """

    requires: ClassVar[tuple[str, ...]] = ("torch", "transformers")
    extra: ClassVar[str] = "train"

    model: str = Field(min_length=1, description="Folder of a model, pkg:PACKAGE/FOLDER, or its name on the hub.")
    revision: str | None = Field(None, min_length=1, description="Branch, tag or commit of a model on the hub.")
    code: str | None = Field(
        None,
        pattern=r"^[^@\s]+@[0-9a-f]{40}$",
        description="Run the code that comes with a model on the hub: its name and a commit, as NAME@COMMIT.",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|(cuda|xpu)(:\d+)?)$", description="Where to compute.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Precision of weights and computation; auto is the one the model was saved in."
    )
    threads: int | Literal["auto"] = Field("auto", description="CPU threads; auto counts the idle cores.")
    chat: Literal["auto", "template", "plain"] = Field(
        "auto",
        description="How messages are written: by the tokenizer's chat template, or as plain text with blank lines "
        "between. auto: as filial trained the model, else by the template if there is one, else plain.",
    )
    temperature: float = Field(0.0, ge=0, description="Sampling temperature; 0 takes the likeliest token.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling: share of probability kept.")
    top_k: int | None = Field(None, ge=1, description="Sample from this number of likeliest tokens.")
    seed: int = Field(0, description="Seed of sampling.")
    max_tokens: int = Field(512, ge=1, description="Maximum tokens of an answer.")
    batch_size: int = Field(32, ge=1, description="Maximum requests per batch.")
    batch_tokens: int = Field(32_768, ge=1, description="Maximum tokens of a batch: prompts, answers and padding.")
    timeout: float = Field(1800.0, gt=0, description="Maximum seconds per attempt, including the wait for others.")
    _queue: BatchQueue | None = PrivateAttr(None)
    _loaded: LocalModel | None = PrivateAttr(None)
    _fingerprint: str = PrivateAttr("")
    _trained_with: Template | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _check_code(self) -> Transformers:
        if self.code is not None:
            name, _, commit = self.code.partition("@")
            if name != self.model or self.revision not in (None, commit):
                raise ValueError(
                    f"code names {self.code}, but the model is {self.model}@{self.revision or 'its newest revision'}; "
                    "only the code of the model itself is run, at the commit that is used"
                )
        return self

    @property
    def pinned(self) -> str | None:
        """The revision to load, if one is named."""
        return self.code.partition("@")[2] if self.code else self.revision

    def locate(self, base: Path) -> Self:
        """Return a copy with the path of a folder beside the recipe; a name on the hub is unchanged."""
        path = resolve(self.model, base)
        return self.model_copy(update={"model": str(path)}) if path.is_dir() else self

    @property
    def trained_with(self) -> Template | None:
        """The template that the model was trained with, if `for_template` has set it."""
        return self._trained_with

    def for_template(self, template: Template) -> Teacher:
        """Return this model with a template instead of the one its folder names, unless ``chat`` says how to ask."""
        made = self.model_copy()
        made._trained_with = template
        return made

    def identity(self) -> dict[str, Any]:
        """Return the model and everything that determines its answers, without device and batches.

        A folder is identified by the content of its files, so a model that was trained again at the same path is
        another one.

        Raises:
            UsageError: there is no such folder.
        """
        place = self._find_model()
        if isinstance(place, Path) and not self._fingerprint:
            self._fingerprint = _hash_folder(place)
        described = {name: value for name, value in super().identity().items() if name not in _WITHOUT_EFFECT}
        return {**described, "model": self._fingerprint or self.model}

    def price(self) -> Price:
        return FREE

    def bound(self, request: Request) -> Bound:
        sent = super().bound(Request(messages=add_schema(request)))
        return Bound(sent.prompt + TEMPLATE_TOKENS, self.limit(request))

    async def reply(self, request: Request) -> Reply:
        """Return one answer, computed in a batch.

        Raises:
            TeacherError: the prompt is empty, is not text, does not fit the chat template (``unfit-conversation``) or
                the model's context (``prompt-too-long``); the answer is empty; the device lacks memory for it.
            UsageError: the model cannot be loaded.
        """
        if self._queue is None:
            self._queue = BatchQueue(self._answer_requests)
        return await self._queue.answer(request)

    async def close(self) -> None:
        if self._queue is not None:
            await self._queue.close()
        self._queue = self._loaded = None

    def limit(self, request: Request) -> int:
        """Return most tokens of the answer to a request."""
        return self.max_tokens if request.max_tokens is None else request.max_tokens

    def sampling(self, request: Request) -> Sampling | None:
        """Return how the answer to a request is drawn; None for greedily."""
        temperature = self.temperature if request.temperature is None else request.temperature
        if not temperature:
            return None
        turns = [[turn.role, turn.content] for turn in request.messages]
        seed = json.dumps([self.seed, request.seed, request.draw, turns])
        return Sampling(temperature, self.top_k, self.top_p if request.top_p is None else request.top_p, seed)

    def _answer_requests(self, jobs: list[PendingRequest]) -> list[Outcome]:
        """Answer some of the requests; called in a thread."""
        if self._loaded is None:
            self._loaded = LocalModel(self, self._find_model())
        return self._loaded.answer_requests(jobs)

    def _find_model(self) -> Path | str:
        """Return the model's folder, or its name on the hub."""
        path = resolve(self.model)
        if not path.is_dir() and not self.model.startswith("pkg:"):
            return self.model
        if not (path / "config.json").is_file():
            raise UsageError(f"{self.model}: this folder has no model, since it has no config.json; name another one")
        if self.code or self.revision:
            raise UsageError(f"{self.model}: a folder has no revisions, and its code is not run; remove both options")
        return path

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out the model in memory: a copy, here or in another process, loads its own."""
        return {**super().__getstate__(), "__pydantic_private__": self._unload_state()}

    def __copy__(self) -> Transformers:
        made = super().__copy__()
        made.__pydantic_private__ = self._unload_state()
        return made

    def _unload_state(self) -> dict[str, Any]:
        return {**_NOTHING_LOADED, "_trained_with": self._trained_with}


def _hash_folder(folder: Path) -> str:
    """Hash the files of a model that determine its answers."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _HASHED_SUFFIXES and path.is_file():
            with path.open("rb") as file:
                whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    register("transformers", Transformers)
