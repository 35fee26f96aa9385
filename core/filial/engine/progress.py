"""Progress of a run: the interface of reporters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from filial.gateway.gateway import GatewayStatus

if TYPE_CHECKING:
    from filial.engine.stage import Counters


class Reporter:
    """Shows the progress of a run; this one shows nothing."""

    def stage(
        self, name: str, status: Callable[[], GatewayStatus] | None = None
    ) -> AbstractContextManager[Callable[[Counters], None]]:
        """Enter when a stage starts; the function is called with its counters after every record.

        ``status`` returns the gateway's figures, if there is a teacher. It may be called from any thread.
        """
        return nullcontext(lambda counters: None)

    def training(self) -> AbstractContextManager[Callable[[float, float, str], None]]:
        """Enter when training starts; the function takes (done, total, text)."""
        return nullcontext(lambda done, total, text: None)

    def note(self, text: str) -> None:
        """Show one line; may be called from any thread."""
