"""A lack of memory, told in one sentence that says what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filial import FilialError

CPU = "can't allocate memory"  # torch has an error of its own for devices only


@contextmanager
def enough(torch: Any) -> Iterator[None]:
    """Within, a lack of memory is the user's to mend, not a fault of ours.

    Raises:
        FilialError: there was not enough.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and CPU not in str(error):
            raise
        why = next(iter(str(error).splitlines()), "")
        raise FilialError(
            f"there is not enough memory to train like this ({why}): halve batch_size and double grad_accumulation, "
            "which is the same update; if that is not enough, allow shorter rows only, or set gradient_checkpointing: "
            "true or dtype: bfloat16"
        ) from error
