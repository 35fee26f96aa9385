"""Continue prompts with a model in memory, in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from filial import Reply, Request, TeacherError, Template, UsageError
from filial_plugins.local.cpu import choose_threads
from filial_plugins.local.generation import find_stop_ids
from filial_plugins.local.pretrained import import_torch, load_model, load_tokenizer
from filial_plugins.teachers.local_batches import Outcome, PendingRequest
from filial_plugins.teachers.local_prompts import (
    Reader,
    make_chat_reader,
    make_template_reader,
    make_text_reader,
    read_request,
)
from filial_plugins.teachers.local_sampling import Sampler, Sampling


class Options(Protocol):
    """What a teacher says about its model: loading, device, batches and form of the prompt."""

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
        """The template that the model was trained with, if the teacher knows it."""

    def limit(self, request: Request) -> int:
        """Most tokens of the answer to a request."""

    def sampling(self, request: Request) -> Sampling | None:
        """Return the sampling of a request's answer; None: greedy."""


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt of a batch.

    Attributes:
        ids: tokens of the prompt, and of the part of its answer that is done.
        max_new: most new tokens.
        sampling: how tokens are drawn; None: greedily.
        stop: texts that end the answer.
        is_cancelled: returns whether nobody waits for the answer any more.
        answered: how many of the last ``ids`` belong to the answer.
    """

    ids: list[int]
    max_new: int
    sampling: Sampling | None
    stop: tuple[str, ...]
    is_cancelled: Callable[[], bool]
    answered: int = 0

    def extend(self, ids: list[int]) -> PromptRow:
        """Return this row with a part of its answer added."""
        drawn = None if self.sampling is None else replace(self.sampling, drawn=self.sampling.drawn + len(ids))
        return replace(
            self, ids=self.ids + ids, max_new=self.max_new - len(ids), sampling=drawn, answered=self.answered + len(ids)
        )


class LocalModel:
    """A model, its tokenizer and the teacher's options for both. Not safe for use in two threads at once.

    Raises:
        UsageError: the model cannot be loaded, or not to that device.
    """

    def __init__(self, options: Options, place: Path | str) -> None:
        self.options, self.torch = options, import_torch()
        self.torch.set_num_threads(choose_threads(options.threads))
        origin: dict[str, Any] = {"revision": options.pinned, "run_code": options.code is not None}
        self.tokenizer = load_tokenizer(place, **origin)
        self.model = load_model(place, options.dtype, encoder_decoder=True, **origin).eval()
        self._clean_generation_config()
        self._move_to_device(options.device)
        self.encoder_decoder = bool(self.model.config.is_encoder_decoder)
        self.stop_ids = self._find_stop_ids()
        self.reader = _choose_reader(options, self.tokenizer, place, closed=self.encoder_decoder)
        room = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.context_length = room or math.inf
        self.name = Path(place).name if isinstance(place, Path) else place

    def answer_requests(self, jobs: Sequence[PendingRequest]) -> list[Outcome]:
        """Answer some requests: invalid ones with an error, and the batch of the one that has waited longest."""
        outcomes: list[Outcome] = []
        ready = []
        for job in jobs:
            try:
                job.row = job.row or self._make_row(job)
                ready.append(job)
            except TeacherError as error:
                outcomes.append((job, error))
        return outcomes + (self._answer_batch(self._choose_batch(ready)) if ready else [])

    def _make_row(self, job: PendingRequest) -> PromptRow:
        request, options = job.request, self.options
        ids = read_request(request, self.reader)
        # Prompt and answer share the context, except in an encoder-decoder model.
        room = self.context_length - 1 if self.encoder_decoder else self.context_length - len(ids)
        if room < 1 or len(ids) > self.context_length:
            raise TeacherError(
                "prompt-too-long",
                f"the prompt has {len(ids):,} tokens, but the model takes {self.context_length:,} in total",
            )
        size = self.model.get_input_embeddings().num_embeddings
        if max(ids, default=0) >= size:
            raise UsageError(
                f"{self.name}: the tokenizer writes token {max(ids)}, but the model has only {size} embeddings: they "
                "do "
                "not belong together"
            )
        stop = tuple(text for text in request.stop if text)
        return PromptRow(
            ids, int(min(options.limit(request), room)), options.sampling(request), stop, lambda: job.cancelled
        )

    def _choose_batch(self, jobs: Sequence[PendingRequest]) -> list[PendingRequest]:
        """Return the batch of the first request, of all requests sorted by length and cut into batches."""
        batch: list[PendingRequest] = []
        new = 0
        # A batch costs rows x (longest prompt + longest answer) tokens, padding included.
        for job in sorted(jobs, key=lambda job: len(job.row.ids)):
            new = max(new, job.row.max_new)
            tokens = (len(batch) + 1) * (len(job.row.ids) + new)
            if len(batch) == self.options.batch_size or (batch and tokens > self.options.batch_tokens):
                if jobs[0] in batch:
                    break
                batch, new = [], job.row.max_new
            batch.append(job)
        return batch

    def _answer_batch(self, batch: Sequence[PendingRequest]) -> list[Outcome]:
        """Answer a batch; in two halves if the device has too little memory for the whole."""
        rows = [job.row for job in batch]
        try:
            continued = self._continue(rows)
        except self.torch.OutOfMemoryError:
            continued = None
        if continued is not None:
            return [(job, self._make_reply(job, ids)) for job, ids in zip(batch, continued, strict=True)]
        if self.model.device.type == "cuda":
            self.torch.cuda.empty_cache()
        if len(batch) > 1:
            half = len(batch) // 2
            return self._answer_batch(batch[:half]) + self._answer_batch(batch[half:])
        size = f"{len(rows[0].ids):,} tokens of prompt and {rows[0].max_new:,} of answer"
        why = f"{size} do not fit into the device's memory"
        return [(batch[0], TeacherError("out-of-memory", f"{why}; lower max_tokens, or choose a smaller dtype"))]

    def _continue(self, rows: Sequence[PromptRow]) -> list[list[int] | None]:
        """Return the tokens after each prompt, with the token that ended it; None if the model computed no numbers."""
        watch, out = self._generate(rows)
        kept = [watch.cut_answer(i, ids, self.stop_ids) for i, ids in enumerate(out)]
        goes_on = [i for i, ids in enumerate(kept) if ids and ids[-1] not in self.stop_ids and not watch.has_ended(i)]
        more = self._continue([rows[i].extend(kept[i] or []) for i in goes_on]) if goes_on else []
        for i, ids in zip(goes_on, more, strict=True):
            kept[i] = None if ids is None else (kept[i] or []) + ids
        return kept

    def _generate(self, rows: Sequence[PromptRow]) -> tuple[RowTracker, list[list[int]]]:
        """Run the model's own generation once.

        It may end before a short prompt has all its tokens: positions are counted for all rows together, those that
        have ended included, and the context is limited.
        """
        torch = self.torch
        from transformers import GenerationConfig

        width, left = max(len(row.ids) for row in rows), not self.encoder_decoder
        pad = self.stop_ids[0] if self.stop_ids else 0
        ids = torch.tensor([_pad(row.ids, width, pad, left) for row in rows], device=self.model.device)
        mask = torch.tensor([_pad([1] * len(row.ids), width, 0, left) for row in rows], device=self.model.device)
        watch = RowTracker(torch, rows, self.tokenizer, 1 if self.encoder_decoder else width)
        config = GenerationConfig(
            max_new_tokens=int(min(max(row.max_new for row in rows), self.context_length - watch.start)),
            do_sample=False, num_beams=1, use_cache=True, eos_token_id=self.stop_ids or None, pad_token_id=pad,
        )  # fmt: skip
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=ids, attention_mask=mask, generation_config=config,
                logits_processor=[watch.note_nan_rows, Sampler(torch, [row.sampling for row in rows])],
                stopping_criteria=[watch],
            )  # fmt: skip
        return watch, out[:, watch.start :].tolist()

    def _make_reply(self, job: PendingRequest, ids: list[int] | None) -> Reply | TeacherError:
        row: PromptRow = job.row
        if ids is None:
            return TeacherError("not-a-number", f"the model computes NaN in {self.model.dtype}; choose another dtype")
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        ends = [at for stop in row.stop if (at := text.find(stop)) >= 0]
        whole = bool(ends) or (bool(ids) and ids[-1] in self.stop_ids)
        text = text[: min(ends, default=len(text))].strip()
        if whole and not text and not job.request.partial:
            spent = (len(row.ids), len(ids))
            return TeacherError("empty-answer", "the model ends its answer immediately", answer="", billed=spent)
        return Reply(
            text=text, finish_reason="stop" if whole else "length", prompt_tokens=len(row.ids),
            completion_tokens=len(ids), model=self.name,
        )  # fmt: skip

    def _find_stop_ids(self) -> list[int]:
        """Return the tokens that end an answer; for a causal model also BOS, which begins another text."""
        begin = None if self.encoder_decoder else self.tokenizer.bos_token_id
        return sorted({*find_stop_ids(self.model, self.tokenizer), *([] if begin is None else [begin])})

    def _clean_generation_config(self) -> None:
        """Keep only the token ids of the model's generation config.

        Penalties and beams would make an answer depend on the padding of its neighbours, or differ from what was asked
        for.
        """
        from transformers import GenerationConfig

        wished = self.model.generation_config
        names = ("bos_token_id", "eos_token_id", "decoder_start_token_id", "forced_bos_token_id", "suppress_tokens")
        self.model.generation_config = GenerationConfig(**{name: getattr(wished, name) for name in names})

    def _move_to_device(self, wish: str) -> None:
        device = wish if wish != "auto" else "cuda" if self.torch.cuda.is_available() else "cpu"
        try:
            self.model.to(device)
        except self.torch.OutOfMemoryError:
            raise UsageError(f"the model does not fit into the memory of {device}; choose a smaller dtype") from None
        except (RuntimeError, AssertionError) as error:
            why = str(error).splitlines()[0]
            raise UsageError(f"the device {device!r} cannot be used: {why}; choose device: cpu") from error


class RowTracker:
    """Tracks which rows of a batch have ended, and which have logits that are not numbers."""

    def __init__(self, torch: Any, rows: Sequence[PromptRow], tokenizer: Any, start: int) -> None:
        self._torch, self._rows, self._tokenizer, self.start = torch, rows, tokenizer, start
        self._ended: dict[int, int] = {}
        self._lost: set[int] = set()

    def note_nan_rows(self, input_ids: Any, scores: Any) -> Any:
        """Record the rows with NaN scores (a logits processor that changes nothing)."""
        lost = scores.isnan().any(-1)
        if lost.any():
            self._lost |= set(lost.nonzero()[:, 0].tolist())
        return scores

    def __call__(self, input_ids: Any, scores: Any, **rest: Any) -> Any:
        """Return for each row whether it has all its tokens, its stop text, or was cancelled (a stopping criterion)."""
        length = input_ids.shape[1] - self.start
        for i, row in enumerate(self._rows):
            if i not in self._ended and (
                length >= row.max_new or i in self._lost or row.is_cancelled() or self._has_stop_text(row, input_ids[i])
            ):
                self._ended[i] = length
        return self._torch.tensor([i in self._ended for i in range(len(self._rows))], device=input_ids.device)

    def has_ended(self, i: int) -> bool:
        """Return whether a row has ended for another reason than a stop token."""
        return i in self._ended

    def cut_answer(self, i: int, ids: list[int], stop_ids: Sequence[int]) -> list[int] | None:
        """Return a row's own tokens, of all that were generated; None if the model computed no numbers."""
        if i in self._lost:
            return None
        ids = ids[: self._ended.get(i)]
        return ids[: next((k + 1 for k, token in enumerate(ids) if token in stop_ids), len(ids))]

    def _has_stop_text(self, row: PromptRow, ids: Any) -> bool:
        """Return whether a stop text has just been completed."""
        if not row.stop:
            return False
        said = row.ids[len(row.ids) - row.answered :] + ids[self.start :].tolist()
        last = max(len(stop.encode()) for stop in row.stop) + 1
        return self._contains_stop(row, said[-last:]) and self._contains_stop(row, said)

    def _contains_stop(self, row: PromptRow, ids: list[int]) -> bool:
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return any(stop in text for stop in row.stop)


def _pad(values: list[int], width: int, pad: int, left: bool) -> list[int]:
    padding = [pad] * (width - len(values))
    return padding + values if left else values + padding


def _choose_reader(options: Options, tokenizer: Any, place: Path | str, *, closed: bool) -> Reader:
    """Choose how this model reads a conversation. For an encoder, ``closed`` adds the tokens that end a text."""
    chat, trained = options.chat, options.trained_with
    if chat == "auto" and trained is None and isinstance(place, Path):
        from filial.commands import load_template

        trained = load_template(place)
    if chat == "auto" and trained is not None:
        return make_template_reader(tokenizer, trained, closed=closed)
    if chat == "template" or (chat == "auto" and getattr(tokenizer, "chat_template", None) is not None):
        return make_chat_reader(tokenizer, closed=closed)
    return make_text_reader(tokenizer)
