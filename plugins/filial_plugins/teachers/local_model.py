"""A model in memory that continues prompts, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from filial import Reply, Request, TeacherError, Template, UsageError
from filial_plugins.local.cores import threads
from filial_plugins.local.models import stops
from filial_plugins.local.pretrained import import_torch, load_model, load_tokenizer
from filial_plugins.teachers.local_batches import Job, Outcome
from filial_plugins.teachers.local_prompts import Read, as_chat, as_text, as_trained, read
from filial_plugins.teachers.local_sampling import Sampler, Sampling


class Options(Protocol):
    """What a teacher says about its model: how it is loaded, where it computes, in what batches, how it is asked."""

    @property
    def code(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def dtype(self) -> Literal["auto", "float32", "bfloat16", "float16"]: ...
    @property
    def threads(self) -> int | Literal["auto"]: ...
    @property
    def chat(self) -> Literal["auto", "template", "plain"]: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def batch_tokens(self) -> int: ...

    @property
    def pinned(self) -> str | None:
        """The revision to load, where one is named."""

    @property
    def trained_with(self) -> Template | None:
        """The template that the model was trained with, where the teacher was told."""

    def limit(self, request: Request) -> int:
        """Most tokens of the answer to a request."""

    def sampling(self, request: Request) -> Sampling | None:
        """How the answer to a request is drawn; None for greedily."""


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt of a batch: its tokens, at most how many new ones, how they are drawn (None: greedily), where the
    answer ends, and whether anybody still waits for it. The last ``said`` of its tokens belong to the answer."""

    ids: list[int]
    new: int
    sampling: Sampling | None
    stop: tuple[str, ...]
    gone: Callable[[], bool]
    said: int = 0

    def after(self, ids: list[int]) -> Row:
        """This row with a part of its answer."""
        drawn = None if self.sampling is None else replace(self.sampling, drawn=self.sampling.drawn + len(ids))
        return replace(self, ids=self.ids + ids, new=self.new - len(ids), sampling=drawn, said=self.said + len(ids))


class LocalModel:
    """A model, its tokenizer and what the teacher's options say about both. Not for two threads at once.

    Raises:
        UsageError: the model cannot be loaded, or not to that device.
    """

    def __init__(self, options: Options, place: Path | str) -> None:
        self.options, self.torch = options, import_torch()
        self.torch.set_num_threads(threads(options.threads))
        origin: dict[str, Any] = {"revision": options.pinned, "run_code": options.code is not None}
        self.tokenizer = load_tokenizer(place, **origin)
        self.model = load_model(place, options.dtype, encoder_decoder=True, **origin).eval()
        self._clean_generation_config()
        self._move(options.device)
        self.encoder_decoder = bool(self.model.config.is_encoder_decoder)
        self.stop_ids = self._stop_ids()
        self.read = _reader(options, self.tokenizer, place, closed=self.encoder_decoder)
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.room = room or math.inf
        self.name = Path(place).name if isinstance(place, Path) else place

    def work(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Answer some of the jobs: those that cannot be asked, and the batch of the one that has waited longest."""
        outcomes: list[Outcome] = []
        ready = []
        for job in jobs:
            try:
                job.row = job.row or self._row(job)
                ready.append(job)
            except TeacherError as error:
                outcomes.append((job, error))
        return outcomes + (self._answered(self._batch(ready)) if ready else [])

    def _row(self, job: Job) -> Row:
        request, options = job.request, self.options
        ids = read(request, self.read)
        # The tokens of an answer stand behind the prompt, unless a decoder of their own writes them.
        room = self.room - 1 if self.encoder_decoder else self.room - len(ids)
        if room < 1 or len(ids) > self.room:
            raise TeacherError(
                "prompt-too-long", f"the prompt has {len(ids):,} tokens, and the model takes {self.room:,} in all"
            )
        size = self.model.get_input_embeddings().num_embeddings
        if max(ids, default=0) >= size:
            raise UsageError(
                f"{self.name}: the tokenizer writes token {max(ids)}, but the model knows only {size}: they do not "
                "belong together"
            )
        stop = tuple(text for text in request.stop if text)
        return Row(ids, int(min(options.limit(request), room)), options.sampling(request), stop, lambda: job.gone)

    def _batch(self, jobs: Sequence[Job]) -> list[Job]:
        """The first job and those nearest to it in length, as cutting all of them into batches puts them together."""
        batch: list[Job] = []
        new = 0
        for job in sorted(jobs, key=lambda job: len(job.row.ids)):
            new = max(new, job.row.new)
            tokens = (len(batch) + 1) * (len(job.row.ids) + new)
            if len(batch) == self.options.batch_size or (batch and tokens > self.options.batch_tokens):
                if jobs[0] in batch:
                    break
                batch, new = [], job.row.new
            batch.append(job)
        return batch

    def _answered(self, batch: Sequence[Job]) -> list[Outcome]:
        """The answers of a batch; in two halves where the device has no memory for the whole."""
        rows = [job.row for job in batch]
        try:
            continued = self._continued(rows)
        except self.torch.OutOfMemoryError:
            continued = None
        if continued is not None:
            return [(job, self._reply(job, ids)) for job, ids in zip(batch, continued, strict=True)]
        if self.model.device.type == "cuda":
            self.torch.cuda.empty_cache()
        if len(batch) > 1:
            half = len(batch) // 2
            return self._answered(batch[:half]) + self._answered(batch[half:])
        why = f"{len(rows[0].ids):,} tokens of prompt and {rows[0].new:,} of answer do not fit into the device's memory"
        return [(batch[0], TeacherError("out-of-memory", f"{why}; lower max_tokens, or choose a smaller dtype"))]

    def _continued(self, rows: Sequence[Row]) -> list[list[int] | None]:
        """The tokens after each prompt, the one that ended it included; None where the model computed no numbers."""
        watch, out = self._generated(rows)
        kept = [watch.kept(i, ids, self.stop_ids) for i, ids in enumerate(out)]
        goes_on = [i for i, ids in enumerate(kept) if ids and ids[-1] not in self.stop_ids and not watch.ended(i)]
        more = self._continued([rows[i].after(kept[i] or []) for i in goes_on]) if goes_on else []
        for i, ids in zip(goes_on, more, strict=True):
            kept[i] = None if ids is None else (kept[i] or []) + ids
        return kept

    def _generated(self, rows: Sequence[Row]) -> tuple[Watch, list[list[int]]]:
        """One run of the model's own generation. It may end before a short prompt has all its tokens: positions are
        counted for all rows, those that have come to their end included, and there are only so many of them."""
        torch = self.torch
        from transformers import GenerationConfig

        width, left = max(len(row.ids) for row in rows), not self.encoder_decoder
        pad = self.stop_ids[0] if self.stop_ids else 0
        ids = torch.tensor([_padded(row.ids, width, pad, left) for row in rows], device=self.model.device)
        mask = torch.tensor([_padded([1] * len(row.ids), width, 0, left) for row in rows], device=self.model.device)
        watch = Watch(torch, rows, self.tokenizer, 1 if self.encoder_decoder else width)
        config = GenerationConfig(
            max_new_tokens=int(min(max(row.new for row in rows), self.room - watch.start)), do_sample=False,
            num_beams=1, use_cache=True, eos_token_id=self.stop_ids or None, pad_token_id=pad,
        )  # fmt: skip
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids, attention_mask=mask, generation_config=config,
                logits_processor=[watch.numbers, Sampler(torch, [row.sampling for row in rows])],
                stopping_criteria=[watch],
            )  # fmt: skip
        return watch, out[:, watch.start :].tolist()

    def _reply(self, job: Job, ids: list[int] | None) -> Reply | TeacherError:
        row: Row = job.row
        if ids is None:
            return TeacherError(
                "not-a-number", f"the model computes no numbers in {self.model.dtype}; choose another dtype"
            )
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        ends = [at for stop in row.stop if (at := text.find(stop)) >= 0]
        whole = bool(ends) or (bool(ids) and ids[-1] in self.stop_ids)
        text = text[: min(ends, default=len(text))].strip()
        if whole and not text and not job.request.partial:
            spent = (len(row.ids), len(ids))
            return TeacherError("empty-answer", "the model ends its answer at once", answer="", billed=spent)
        return Reply(
            text=text, finish_reason="stop" if whole else "length", prompt_tokens=len(row.ids),
            completion_tokens=len(ids), model=self.name,
        )  # fmt: skip

    def _stop_ids(self) -> list[int]:
        """The tokens that end an answer; a causal model that begins another text has ended this one."""
        begin = None if self.encoder_decoder else self.tokenizer.bos_token_id
        return sorted({*stops(self.model, self.tokenizer), *([] if begin is None else [begin])})

    def _clean_generation_config(self) -> None:
        """Of what a model's author wished for its generation, keep what belongs to the vocabulary.

        Penalties and beams would make an answer depend on its neighbours' padding, or be no longer what was asked for.
        """
        from transformers import GenerationConfig

        wished = self.model.generation_config
        names = ("bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "suppress_tokens")
        self.model.generation_config = GenerationConfig(**{name: getattr(wished, name) for name in names})

    def _move(self, wish: str) -> None:
        device = wish if wish != "auto" else "cuda" if self.torch.cuda.is_available() else "cpu"
        try:
            self.model.to(device)
        except self.torch.OutOfMemoryError:
            raise UsageError(f"the model does not fit into the memory of {device}; choose a smaller dtype") from None
        except (RuntimeError, AssertionError) as error:
            why = str(error).splitlines()[0]
            raise UsageError(f"the device {device!r} cannot be used: {why}; choose device: cpu") from error


class Watch:
    """Follows the rows of a batch: which have come to their end, and which are no numbers."""

    def __init__(self, torch: Any, rows: Sequence[Row], tokenizer: Any, start: int) -> None:
        self._torch, self._rows, self._tokenizer, self.start = torch, rows, tokenizer, start
        self._ended: dict[int, int] = {}
        self._lost: set[int] = set()

    def numbers(self, input_ids: Any, scores: Any) -> Any:
        """A logits processor that changes nothing and notes the rows that are lost."""
        lost = scores.isnan().any(-1)
        if lost.any():
            self._lost |= set(lost.nonzero()[:, 0].tolist())
        return scores

    def __call__(self, input_ids: Any, scores: Any, **rest: Any) -> Any:
        """A stopping criterion: whether each row has its tokens, its stop text, or nobody who waits for it."""
        length = input_ids.shape[1] - self.start
        for i, row in enumerate(self._rows):
            if i not in self._ended and (
                length >= row.new or i in self._lost or row.gone() or self._said(row, input_ids[i])
            ):
                self._ended[i] = length
        return self._torch.tensor([i in self._ended for i in range(len(self._rows))], device=input_ids.device)

    def ended(self, i: int) -> bool:
        """Whether a row has come to an end other than a stop token."""
        return i in self._ended

    def kept(self, i: int, ids: list[int], stop_ids: Sequence[int]) -> list[int] | None:
        """A row's own tokens, of all that were generated."""
        if i in self._lost:
            return None
        ids = ids[: self._ended.get(i)]
        return ids[: next((k + 1 for k, token in enumerate(ids) if token in stop_ids), len(ids))]

    def _said(self, row: Row, ids: Any) -> bool:
        """Whether a stop text has just been completed; no token writes less than a byte of it."""
        if not row.stop:
            return False
        said = row.ids[len(row.ids) - row.said :] + ids[self.start :].tolist()
        last = max(len(stop.encode()) for stop in row.stop) + 1
        return self._holds(row, said[-last:]) and self._holds(row, said)

    def _holds(self, row: Row, ids: list[int]) -> bool:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return any(stop in text for stop in row.stop)


def _padded(values: list[int], width: int, pad: int, left: bool) -> list[int]:
    padding = [pad] * (width - len(values))
    return padding + values if left else values + padding


def _reader(options: Options, tokenizer: Any, place: Path | str, *, closed: bool) -> Read:
    """How this model reads a conversation; an encoder's texts are ``closed``."""
    chat, trained = options.chat, options.trained_with
    if chat == "auto" and trained is None and isinstance(place, Path):
        from filial_plugins.local.notes import load_template

        trained = load_template(place)
    if chat == "auto" and trained is not None:
        return as_trained(tokenizer, trained, closed=closed)
    if chat == "template" or (chat == "auto" and getattr(tokenizer, "chat_template", None) is not None):
        return as_chat(tokenizer, closed=closed)
    return as_text(tokenizer)
