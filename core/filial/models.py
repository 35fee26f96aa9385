"""Local models: load them, let them answer, remember which template they were trained with."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from filial.components import Template
from filial.errors import MissingExtra, UsageError
from filial.labels import Encoder
from filial.records import Record

if TYPE_CHECKING:
    from filial.plugins import Manager

TEMPLATE_FILE = "filial_template.json"


def import_torch() -> Any:
    """PyTorch, with waiting threads told to spin for a moment only (unless the environment says otherwise).

    A thread that spins on a core which something else needs slows everything down; one that sleeps at once gains
    nothing from a second core. The setting is read once, when the library is loaded.

    Raises:
        MissingExtra: torch is not installed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        import torch
    except ImportError as error:
        raise _missing("torch") from error
    return torch


def threads(wish: int | Literal["auto"] = "auto") -> int:
    """How many threads torch should compute with.

    A number is taken as it is. ``auto`` counts the cores this process may use (affinity and the control group's
    quota) that nothing else is busy on (load average of the last minute): all of them on an idle machine, one on a
    busy one, where more would wait for each other most of the time.
    """
    if wish != "auto":
        return wish
    usable = cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.inf
    free = (os.cpu_count() or 1) - load
    return max(1, min(usable, int(free + 0.5))) if math.isfinite(free) else 1


def cores() -> int:
    """How many cores this process may use, by affinity and the control group's quota; at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, max(1, int(_quota()))) if math.isfinite(_quota()) else allowed


def _quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores the control group grants; infinite where it sets no limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()[:2]
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        return int(quota) / int(period) if quota not in ("max", "-1") else math.inf
    except (OSError, ValueError):
        return math.inf


def load_tokenizer(path: str | Path, *, revision: str | None = None, run_code: bool = False) -> Any:
    """The fast tokenizer of a model folder or hub id; ``revision`` and ``run_code`` as for `load_model`.

    Raises:
        MissingExtra: transformers is not installed.
        UsageError: there is no tokenizer.
    """
    transformers = _transformers()
    _check_folder(path)
    with _explained(path, "tokenizer"):
        return transformers.AutoTokenizer.from_pretrained(str(path), **_origin(revision, run_code))


def load_model(
    path: str | Path, dtype: str = "float32", *, encoder_decoder: bool = False, revision: str | None = None,
    run_code: bool = False,
) -> Any:  # fmt: skip
    """A language model from a model folder or hub id: safetensors only, and not by code that comes with it.

    Args:
        dtype: a floating-point type of torch; ``auto`` is the one it was saved in.
        encoder_decoder: whether the model may be one with an encoder; otherwise it must be causal.
        revision: branch, tag or commit of a hub id.
        run_code: run the code in the hub id's own repository, at ``revision``, for its user has named both.

    Raises:
        MissingExtra: torch or transformers is not installed.
        UsageError: there is no such model, or not in a form that is safe to load.
    """
    torch = import_torch()
    transformers = _transformers()
    _check_folder(path)
    origin = _origin(revision, run_code)
    with _explained(path, "model"):
        config = transformers.AutoConfig.from_pretrained(str(path), **origin)
        if config.is_encoder_decoder and not encoder_decoder:
            raise UsageError(f"{path}: this is an encoder-decoder model; give a causal one")
        auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        wanted = dtype if dtype == "auto" else getattr(torch, dtype)
        return auto.from_pretrained(str(path), dtype=wanted, use_safetensors=True, **origin)


def answer(
    model_dir: str | Path,
    records: Sequence[Record | str],
    template: Template,
    *,
    max_new_tokens: int = 256,
    batch_size: int = 32,
    thread_count: int | Literal["auto"] = "auto",
) -> list[str]:
    """What a model answers to each record, greedily.

    Args:
        records: questions; an answer that a record has is not shown to the model. A string is an instruction.
        template: the one the model was trained with; it is bound to the model's tokenizer here.
        max_new_tokens: tokens per answer at most, fewer where the model's context ends first.

    Returns:
        Answers in the order of ``records``, without blanks at both ends. Empty where a question leaves no room.

    Raises:
        MissingExtra, UsageError: as for `load_model` and `load_tokenizer`.
    """
    torch = import_torch()
    torch.set_num_threads(threads(thread_count))
    model, tokenizer = load_model(model_dir), load_tokenizer(model_dir)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return replies(
        model, tokenizer, records, template.bind(tokenizer), max_new_tokens=max_new_tokens, batch_size=batch_size
    )


def replies(
    model: Any,
    tokenizer: Any,
    records: Sequence[Record | str],
    template: Template,
    *,
    max_new_tokens: int = 256,
    batch_size: int = 32,
) -> list[str]:
    """As `answer`, for a model in memory and a template that is bound to its tokenizer."""
    encoder = Encoder(tokenizer)
    asked = [question(Record(instruction=r) if isinstance(r, str) else r) for r in records]
    prompts = [encoder.encode(template.render(r)).ids for r in asked]
    special = encoder.special_ids
    out = generate(model, prompts, stops(model, tokenizer), max_new_tokens=max_new_tokens, batch_size=batch_size)
    return [tokenizer.decode([i for i in ids if i not in special]).strip() for ids in out]


def question(record: Record) -> Record:
    """The record without its answer: what is left to answer."""
    if not record.messages:
        return record.replaced(output="") if record.output else record
    if record.messages[-1].role == "assistant" and len(record.messages) > 1:
        return record.replaced(messages=record.messages[:-1])
    return record


def stops(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: those the model names and the tokenizer's end token."""
    named = model.generation_config.eos_token_id
    ids = {*(named if isinstance(named, Iterable) else [named]), tokenizer.eos_token_id}
    return sorted(i for i in ids if i is not None)


def generate(
    model: Any, prompts: Sequence[list[int]], stop: Sequence[int], *, max_new_tokens: int, batch_size: int = 32
) -> list[list[int]]:
    """Greedy continuations, without the stop token, in the order of the prompts.

    Prompts of like length share a batch, padded on the left and masked, so that positions count from each prompt's
    own first token. The same prompts in the same batches give the same tokens.
    """
    torch = import_torch()
    room = getattr(model.config, "max_position_embeddings", None) or math.inf
    results: list[list[int]] = [[] for _ in prompts]
    order = sorted((i for i, p in enumerate(prompts) if len(p) < room), key=lambda i: (len(prompts[i]), i))
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(order), batch_size):
            batch = order[at : at + batch_size]
            width = len(prompts[batch[-1]])
            new = int(min(max_new_tokens, room - width))
            for i, tokens in zip(batch, _continued(torch, model, [prompts[i] for i in batch], stop, new), strict=True):
                end = next((k for k, token in enumerate(tokens) if token in stop), len(tokens))
                results[i] = tokens[:end]
    model.train(was_training)
    return results


def _continued(torch: Any, model: Any, prompts: list[list[int]], stop: Sequence[int], new: int) -> list[list[int]]:
    """One batch through the model's own generation loop; rows may run on after their stop token."""
    from transformers import GenerationConfig

    width = len(prompts[-1])
    ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    config = GenerationConfig(
        max_new_tokens=new, do_sample=False, num_beams=1, repetition_penalty=1.0, use_cache=True,
        eos_token_id=list(stop) or None, pad_token_id=stop[0] if stop else 0,
    )  # fmt: skip
    out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    return [list(row) for row in out[:, width:].tolist()]


def save_template(model_dir: str | Path, spec: dict[str, Any]) -> None:
    """Note in a model's folder which template it was trained with, as a recipe would: ``{"use": name, options}``.

    Raises:
        FilialError: the folder cannot be written, or the disk is full.
    """
    from filial.store import write_bytes

    write_bytes(Path(model_dir) / TEMPLATE_FILE, msgspec.json.format(msgspec.json.encode(spec), indent=2) + b"\n")


def load_template(model_dir: str | Path, manager: Manager | None = None) -> Template | None:
    """The template a model was trained with; None if its folder does not say.

    Without a manager, only installed templates are known.

    Raises:
        UsageError: the note cannot be read, or names a template that is not installed.
    """
    path = Path(model_dir) / TEMPLATE_FILE
    if not path.is_file():
        return None
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: {error}; write a template's name and options there, or delete the file") from error
    from filial.plugins import Manager

    template = (manager or Manager()).build("templates", spec)
    assert isinstance(template, Template)
    return template


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise _missing("transformers") from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _missing(package: str) -> MissingExtra:
    return MissingExtra(f"local models need {package}, which is not installed: pip install 'filial[train]'")


def _check_folder(path: str | Path) -> None:
    """A path that is no folder must look like a hub id, or the message would be about the network."""
    text = str(path)
    if not Path(text).is_dir() and (Path(text).is_absolute() or text.startswith((".", "~")) or text.count("/") > 1):
        raise UsageError(f"{text}: no such folder; give a folder with config.json and model.safetensors, or a hub id")


def _origin(revision: str | None, run_code: bool) -> dict[str, Any]:
    """Arguments of ``from_pretrained``; code in another repository is taken at the same commit, or not at all."""
    code = {"code_revision": revision} if run_code else {}
    return {"revision": revision or "main", "trust_remote_code": run_code, **code}


@contextmanager
def _explained(path: str | Path, what: str) -> Iterator[None]:
    """Errors of transformers as one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        own_code = "trust_remote_code" in str(error)
        why = "it needs code that comes with it, and that is not run" if own_code else _first_line(error)
        raise UsageError(f"{path}: no {what} can be loaded from here: {why}") from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
