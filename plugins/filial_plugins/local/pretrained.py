"""Loading what is on disk or on the hub: tokenizers and models, never by code that comes with them unless asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filial import FilialError, MissingExtra, UsageError

ADAPTER = "adapter_config.json"
"""What tells a folder of adapters from one of a whole model."""


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
    run_code: bool = False, to_train: bool = False,
) -> Any:  # fmt: skip
    """A language model from a model folder or hub id: safetensors only, and not by code that comes with it.

    Args:
        dtype: a floating-point type of torch; ``auto`` is the one it was saved in.
        encoder_decoder: whether the model may be one with an encoder; otherwise it must be causal.
        revision: branch, tag or commit of a hub id.
        run_code: run the code in the hub id's own repository, at ``revision``, for its user has named both.
        to_train: refuse quantised weights: most of what is learned is lost when it is merged into them.

    Raises:
        MissingExtra: torch or transformers is not installed, or peft, which adapters need.
        UsageError: there is no such model, or not the whole of it, or not in a form that is safe to load, or not one
            to train.
    """
    torch = import_torch()
    transformers = _transformers()
    _check_folder(path)
    if (Path(path) / ADAPTER).is_file():
        return _with_adapters(Path(path), dtype, to_train)
    origin = _origin(revision, run_code)
    with _explained(path, "model"):
        config = transformers.AutoConfig.from_pretrained(str(path), **origin)
        if config.is_encoder_decoder and not encoder_decoder:
            raise _encoder_unwanted(path)
        if to_train and getattr(config, "quantization_config", None) is not None:
            raise _quantised(path)
        auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        wanted = dtype if dtype == "auto" else getattr(torch, dtype)
        model, found = auto.from_pretrained(
            str(path), dtype=wanted, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True,
            **origin,
        )  # fmt: skip
        _check_weights(found, path)
        return model


def check_trainable(path: str, *, encoder_decoder: bool = False) -> None:
    """Refuse a model that is not for training, as far as its folder's settings tell; nothing is loaded or imported.

    What stands on the hub is known when it is loaded.

    Args:
        encoder_decoder: whether the model has to have an encoder; otherwise it must not.

    Raises:
        UsageError: the folder holds no model, or none that can be trained so.
    """
    folder = Path(path)
    if not folder.is_dir():
        return
    if (folder / ADAPTER).is_file():
        raise _adapters(folder)
    with _explained(path, "model"):
        config = json.loads((folder / "config.json").read_bytes())
        if not isinstance(config, dict):
            raise ValueError("its config.json is no JSON object")
    encoder = _has_encoder(config)
    if encoder is True and not encoder_decoder:
        raise _encoder_unwanted(path)
    if encoder is False and encoder_decoder:
        raise encoder_missing(path)
    if config.get("quantization_config") is not None:
        raise _quantised(path)


def _has_encoder(config: dict[str, Any]) -> bool | None:
    """Whether a model has an encoder beside its decoder, by its config.json; None: that does not say."""
    if isinstance(said := config.get("is_encoder_decoder"), bool):
        return said
    names = config.get("architectures") or ()
    return False if any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names) else None


def _encoder_unwanted(path: str | Path) -> UsageError:
    return UsageError(
        f"{path}: this is an encoder-decoder model; give a causal one, or choose a trainer for such models"
    )


def encoder_missing(path: str | Path) -> UsageError:
    """The error for a causal model where one with an encoder is needed."""
    return UsageError(f"{path}: this model has no encoder; train it with sft")


def _quantised(path: str | Path) -> UsageError:
    return UsageError(f"{path}: its weights are quantised; train the model that they were made from")


def _adapters(folder: Path) -> UsageError:
    return UsageError(f"{folder}: these are adapters; train the model they belong to, or one they are merged into")


def _check_weights(found: dict[str, Any], path: str | Path) -> None:
    """Refuse a model some of whose weights transformers had to make up."""
    wrong = [f"{name} is missing" for name in sorted(found["missing_keys"])]
    wrong += [
        f"{name} has the shape {tuple(there)} instead of {tuple(needed)}"
        for name, there, needed in sorted(found["mismatched_keys"])
    ]
    if wrong:
        more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        raise UsageError(
            f"{path}: its weights are not those that its config.json describes: {wrong[0]}{more}; copy the model "
            "again, or mend config.json"
        )


def _with_adapters(folder: Path, dtype: str, to_train: bool) -> Any:
    """The causal model that some adapters (LoRA) belong to, with them in it, as their folder's settings say."""
    if to_train:
        raise _adapters(folder)
    try:
        import peft
    except ImportError as error:
        raise MissingExtra(
            f"{folder}: this is an adapter, which needs peft, and that is not installed: pip install 'filial[lora]'"
        ) from error
    from transformers import GenerationConfig

    with _explained(folder, "model"):
        settings = peft.PeftConfig.from_pretrained(str(folder))
    base = load_model(settings.base_model_name_or_path or "", dtype)
    with _explained(folder, "adapter"):
        model = peft.PeftModel.from_pretrained(base, str(folder), config=settings).get_base_model()
        model.generation_config = GenerationConfig.from_pretrained(str(folder))
    return model


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
    except (FilialError, MemoryError):
        raise
    except Exception as error:  # damaged files make transformers, tokenizers and safetensors raise anything
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise
        own_code = "trust_remote_code" in str(error)
        why = "it needs code that comes with it, and that is not run" if own_code else _first_line(error)
        raise UsageError(f"{path}: no {what} can be loaded from here: {why}") from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
