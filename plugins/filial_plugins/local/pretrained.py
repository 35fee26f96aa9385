"""Load tokenizers and models from disk or the hub, without running code that comes with them unless the user asks."""

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
    """Import PyTorch, with waiting threads that spin only briefly (unless the environment sets it).

    A spinning thread takes a core from other work; one that sleeps at once gains nothing from a second core. OpenMP
    reads the setting once, when the library is loaded.

    Raises:
        MissingExtra: torch is not installed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        import torch
    except ImportError as error:
        raise _make_missing_extra("torch") from error
    return torch


def load_tokenizer(path: str | Path, *, revision: str | None = None, run_code: bool = False) -> Any:
    """Load the fast tokenizer of a model folder or hub id; ``revision`` and ``run_code`` as in `load_model`.

    Raises:
        MissingExtra: transformers is not installed.
        UsageError: there is no tokenizer.
    """
    transformers = _import_transformers()
    _check_folder(path)
    with _explain_errors(path, "tokenizer"):
        return transformers.AutoTokenizer.from_pretrained(str(path), **_make_hub_options(revision, run_code))


def load_model(
    path: str | Path, dtype: str = "float32", *, encoder_decoder: bool = False, revision: str | None = None,
    run_code: bool = False, to_train: bool = False,
) -> Any:  # fmt: skip
    """Load a language model from a folder or hub id: from safetensors only, without running code that comes with it.

    Args:
        dtype: a floating-point type of torch; ``auto`` is the one it was saved in.
        encoder_decoder: whether an encoder-decoder model is allowed; otherwise it must be causal.
        revision: branch, tag or commit of a hub id.
        run_code: run the code in the hub id's own repository, at ``revision``; the user has named both.
        to_train: refuse quantized weights: merging into them would lose most of what is learned.

    Raises:
        MissingExtra: torch or transformers is not installed, or peft, which adapters need.
        UsageError: there is no such model, it is incomplete, its format is unsafe to load, or it cannot be trained.
    """
    torch = import_torch()
    transformers = _import_transformers()
    _check_folder(path)
    if (Path(path) / ADAPTER).is_file():
        return _load_with_adapters(Path(path), dtype, to_train)
    origin = _make_hub_options(revision, run_code)
    with _explain_errors(path, "model"):
        config = transformers.AutoConfig.from_pretrained(str(path), **origin)
        if config.is_encoder_decoder and not encoder_decoder:
            raise _make_encoder_error(path)
        if to_train and getattr(config, "quantization_config", None) is not None:
            raise _make_quantised_error(path)
        auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        wanted = dtype if dtype == "auto" else getattr(torch, dtype)
        model, found = auto.from_pretrained(
            str(path), dtype=wanted, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True,
            **origin,
        )  # fmt: skip
        _check_weights(found, path)
        return model


def check_trainable(path: str, *, encoder_decoder: bool = False) -> None:
    """Check the configuration of a local model folder. Nothing is loaded or imported.

    A model on the hub is checked when it is loaded.

    Args:
        encoder_decoder: whether the model must have an encoder; otherwise it must have none.

    Raises:
        UsageError: the folder has no model, or one that this trainer cannot train.
    """
    folder = Path(path)
    if not folder.is_dir():
        return
    if (folder / ADAPTER).is_file():
        raise _make_adapter_error(folder)
    with _explain_errors(path, "model"):
        config = json.loads((folder / "config.json").read_bytes())
        if not isinstance(config, dict):
            raise ValueError("its config.json is not a JSON object")
    encoder = _has_encoder(config)
    if encoder is True and not encoder_decoder:
        raise _make_encoder_error(path)
    if encoder is False and encoder_decoder:
        raise make_no_encoder_error(path)
    if config.get("quantization_config") is not None:
        raise _make_quantised_error(path)


def _has_encoder(config: dict[str, Any]) -> bool | None:
    """Return whether a model has an encoder, by its config.json; None if that does not say."""
    if isinstance(said := config.get("is_encoder_decoder"), bool):
        return said
    names = config.get("architectures") or ()
    return False if any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names) else None


def _make_encoder_error(path: str | Path) -> UsageError:
    return UsageError(
        f"{path}: this is an encoder-decoder model; give a causal model, or choose a trainer for encoder-decoder models"
    )


def make_no_encoder_error(path: str | Path) -> UsageError:
    """Return the error for a causal model where an encoder-decoder model is needed."""
    return UsageError(f"{path}: this model has no encoder; train it with sft")


def _make_quantised_error(path: str | Path) -> UsageError:
    return UsageError(f"{path}: its weights are quantized; train the original model")


def _make_adapter_error(folder: Path) -> UsageError:
    return UsageError(f"{folder}: this is an adapter; train its base model, or the merged model")


def _check_weights(found: dict[str, Any], path: str | Path) -> None:
    """Refuse a model for which transformers had to initialize some weights."""
    wrong = [f"{name} is missing" for name in sorted(found["missing_keys"])]
    wrong += [
        f"{name} has the shape {tuple(there)} instead of {tuple(needed)}"
        for name, there, needed in sorted(found["mismatched_keys"])
    ]
    if wrong:
        more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        raise UsageError(
            f"{path}: its weights do not match its config.json: {wrong[0]}{more}; copy the model again, or fix "
            "config.json"
        )


def _load_with_adapters(folder: Path, dtype: str, to_train: bool) -> Any:
    """Load the causal model that a folder of adapters (LoRA) names, and add the adapters."""
    if to_train:
        raise _make_adapter_error(folder)
    try:
        import peft
    except ImportError as error:
        raise MissingExtra(
            f"{folder}: this is an adapter, which needs peft, which is not installed: pip install 'filial[lora]'"
        ) from error
    from transformers import GenerationConfig

    with _explain_errors(folder, "model"):
        settings = peft.PeftConfig.from_pretrained(str(folder))
    base = load_model(settings.base_model_name_or_path or "", dtype)
    with _explain_errors(folder, "adapter"):
        model = peft.PeftModel.from_pretrained(base, str(folder), config=settings).get_base_model()
        model.generation_config = GenerationConfig.from_pretrained(str(folder))
    return model


def _import_transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise _make_missing_extra("transformers") from error
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _make_missing_extra(package: str) -> MissingExtra:
    return MissingExtra(f"local models need {package}, which is not installed: pip install 'filial[train]'")


def _check_folder(path: str | Path) -> None:
    """Refuse a path that is neither a folder nor like a hub id; otherwise the error would be about the network."""
    text = str(path)
    if not Path(text).is_dir() and (Path(text).is_absolute() or text.startswith((".", "~")) or text.count("/") > 1):
        raise UsageError(f"{text}: no such folder; give a folder with config.json and model.safetensors, or a hub id")


def _make_hub_options(revision: str | None, run_code: bool) -> dict[str, Any]:
    """Return arguments of ``from_pretrained``. Code in another repository is used at the same commit or not at all."""
    code = {"code_revision": revision} if run_code else {}
    return {"revision": revision or "main", "trust_remote_code": run_code, **code}


@contextmanager
def _explain_errors(path: str | Path, what: str) -> Iterator[None]:
    """Raise errors of transformers as a `UsageError` in one sentence."""
    try:
        yield
    except (FilialError, MemoryError):
        raise
    except Exception as error:  # damaged files make transformers, tokenizers and safetensors raise anything
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            raise
        own_code = "trust_remote_code" in str(error)
        why = "it needs code that comes with it, which is not run" if own_code else _first_line(error)
        raise UsageError(f"{path}: no {what} can be loaded from here: {why}") from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
