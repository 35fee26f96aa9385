"""Conversations under the other names that data sets give them: LMSYS, WildChat, UltraChat, Firefly, Capybara."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from filial import Format, hookimpl
from filial.formats import Row
from filial_plugins.formats import names
from filial_plugins.formats.cells import BESIDE, holds_questions
from filial_plugins.formats.chats import ChatRows, is_column_of_turns


class Dialogues(ChatRows):
    """Conversations in a column ``conversation``, ``dialogue``, ``dialog``, ``chat``, ``turns``, ``data`` or
    ``trajectory``.

    The turns are objects with a speaker and a text (LMSYS, WildChat), objects or pairs of a question and its answer
    (Firefly, Capybara, ms-swift), or texts in turn (UltraChat). Only read.
    """

    talk: ClassVar = names.DIALOGUE
    optional = (*names.DIALOGUE, *BESIDE)
    priority = -5

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold a conversation, and not the questions of a benchmark."""
        alone = len(sample) == 1
        return sum(
            any(is_column_of_turns(row, name, alone) for name in self.talk) and not holds_questions(row)
            for row in sample
        )


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("dialogues", Dialogues)
