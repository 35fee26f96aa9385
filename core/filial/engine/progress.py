"""What people may see while a run goes on: the figures of a moment, and the interface of whoever shows them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from filial.gateway.gateway import GatewayStatus

if TYPE_CHECKING:
    from filial.engine.stage import Counters


class Reporter:
    """Shows how a run goes on; this one says nothing."""

    def stage(
        self, name: str, status: Callable[[], GatewayStatus] | None = None
    ) -> AbstractContextManager[Callable[[Counters], None]]:
        """Entered when a stage starts; the function is called with its counters after every record.

        ``status`` gives the gateway's figures, where there is a teacher. It may be called from any thread.
        """
        return nullcontext(lambda counters: None)

    def training(self) -> AbstractContextManager[Callable[[float, float, str], None]]:
        """Entered when training starts; the function takes (done, total, text)."""
        return nullcontext(lambda done, total, text: None)

    def note(self, text: str) -> None:
        """One line of news; from any thread."""
