"""Explain errors about too little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filial import FilialError

CPU_MESSAGE = "can't allocate memory"  # torch has an error of its own for devices only


@contextmanager
def explain_memory_errors(torch: Any) -> Iterator[None]:
    """Raise errors about too little memory as a `FilialError` that says which options to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and CPU_MESSAGE not in str(error):
            raise
        why = next(iter(str(error).splitlines()), "")
        raise FilialError(
            f"there is not enough memory for this training ({why}): halve batch_size and double grad_accumulation, "
            "which is the same update; if that is not enough, lower the longest row, or set gradient_checkpointing: "
            "true or dtype: bfloat16"
        ) from error
