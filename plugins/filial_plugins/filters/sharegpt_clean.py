"""Clean conversations copied from chat pages: FastChat's rules for ShareGPT (Vicuna's data), corrected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Literal

from msgspec.structs import replace
from pydantic import field_validator

from filial import Context, Drop, Field, Filter, Keep, Message, Record, hookimpl
from filial_plugins.filters import conversations as talk
from filial_plugins.filters.html_markdown import UnreadableHTML
from filial_plugins.filters.page_remnants import clean_as_fastchat, clean_carefully, should_convert, strip_invisible
from filial_plugins.texts import excerpt

STYLES: dict[str, dict[str, Any]] = {
    "filial": {
        "html": "auto",
        "escapes": False,
        "mending": "careful",
        "invisible": "strip",
        "edges": "all",
        "system": "keep",
        "tools": "keep",
        "repeats": "beginnings",
        "list_numbers": "neighbours",
    },
    "fastchat": {
        "html": "all",
        "escapes": True,
        "mending": "fastchat",
        "invisible": "cut",
        "edges": "one",
        "system": "drop",
        "tools": "drop",
        "repeats": "openings",
        "list_numbers": "keep",
    },
}
"""The value of each option by style, used where the option is not given."""
RATE_LIMITED = ("Too many requests in 1 hour. Try again later.",)
"""What the page says instead of an answer; with or without a "!" in front of it."""
Turns = list[Message]


def _style_option(name: str, what: str) -> Any:
    """Declare an option whose default is the style's value."""
    said = {True: "yes", False: "no"}
    values = "; ".join(f"{style} {said.get(table[name], table[name])}" for style, table in STYLES.items())
    return Field(None, description=f"{what} By style: {values}.")


class ShareGPTClean(Filter):
    """Clean conversations copied from chat pages, as FastChat cleaned ShareGPT's for Vicuna.

    The text of the turns stays; additions of the page are removed: HTML becomes Markdown, and "Copy code", "1 / 2" and
    "Copy12 chars / 3 words" are deleted. Turns before the first question and questions after the last answer are cut;
    everything from the first empty turn on is cut, too. A changed conversation is a new record, whose parent is the old
    one. A conversation is dropped for one of these reasons:

    * ``too-short``: no answer is left, or fewer than ``min_characters`` characters in all;

    * ``wrong-roles``: questions and answers do not alternate;

    * ``blocked-words``, ``blocked-answer``: a turn with one of ``blocked_words``, an answer that is an error of the
    page;

    * ``unreadable-html``: HTML too deeply nested or refused by the parser;

    * ``plugins``: plugins of the page took part, and the text does not show what they did;

    * ``repeated-id``, ``repeated-conversation``: an earlier record has this id or these turns;

    * ``wrong-list``, ``repeated-digits``, ``skipped-script``: see the options ``list_numbers``, ``repeated_digits`` and
    ``skip_scripts``.

    ``style: fastchat`` decides as lm-sys/FastChat does (fastchat/data/clean_sharegpt.py, optional_clean.py and
    filter_wrong_format.py; Apache-2.0), including its faults; each part of it is also an option. A record of one
    instruction and its output is cleaned as a conversation of two turns.
    """

    remembers = True
    requires = ("markdownify", "bs4")
    extra = "clean"

    style: Literal["filial", "fastchat"] = Field(
        "filial", description="filial's rules or FastChat's; sets the defaults of other options."
    )
    html: Literal["auto", "all", "off"] | None = _style_option(
        "html", "Which turns become Markdown: answers that begin with HTML, all turns, or none."
    )
    escapes: bool | None = _style_option(
        "escapes", 'Whether Markdown from HTML has a backslash before each "_" and "*".'
    )
    mending: Literal["careful", "fastchat"] | None = _style_option(
        "mending",
        "How code blocks, remnants of the page and blank lines are repaired: by the page's structure and only if "
        "necessary, or by FastChat's patterns.",
    )
    invisible: Literal["strip", "cut"] | None = _style_option(
        "invisible", "A turn that begins with an invisible character: remove it, or end the conversation there."
    )
    edges: Literal["all", "one"] | None = _style_option(
        "edges", "Turns to cut before the first question and after the last answer: all, or at most one at each end."
    )
    system: Literal["drop", "keep"] | None = _style_option("system", "What to do with a system text at the beginning.")
    tools: Literal["drop", "keep"] | None = _style_option(
        "tools", "Keep turns of tools as questions and answers, or drop them as wrong roles."
    )
    repeats: Literal["beginnings", "openings", "keep"] | None = _style_option(
        "repeats",
        "Which repeats to drop: beginnings of an earlier conversation; conversations with the first question "
        "and answer of an earlier one; none.",
    )
    list_numbers: Literal["neighbours", "fastchat", "keep"] | None = _style_option(
        "list_numbers",
        'When to drop an answer with wrong list numbers: two neighbouring lines "1. "; two such lines with no '
        "digit 2 between them (FastChat's later filter); nothing.",
    )
    same_id: Literal["drop", "keep"] = Field("drop", description="What to do with a record whose id occurred before.")
    plugins: Literal["drop", "keep"] = Field("drop", description='What to do with records tagged "plugins".')
    blocked_words: tuple[str, ...] = Field(
        ("openai", "chatgpt"), description="Words that no turn may contain, in any case, also inside other words."
    )
    blocked_answers: tuple[str, ...] = Field(
        RATE_LIMITED, description='Beginnings of answers that are errors of the page; a "!" may precede them.'
    )
    min_characters: int = Field(16, ge=0, description="Minimum characters of all turns together.")
    repeated_digits: int | None = Field(
        None, ge=2, description="Drop conversations with this many equal digits in a row (FastChat's option: 9)."
    )
    skip_scripts: tuple[talk.Script, ...] = Field(
        (), description="Drop conversations with more than half of the letters in one of these scripts."
    )

    @field_validator("blocked_words", "blocked_answers")
    @classmethod
    def _check_phrases(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        if not all(phrase.strip() for phrase in phrases):
            raise ValueError("one of the phrases is empty and would match every text; remove it")
        return phrases

    @property
    def chosen(self) -> SimpleNamespace:
        """The settings of the style, with the options that are given by themselves."""
        given = {name: value for name in STYLES[self.style] if (value := getattr(self, name)) is not None}
        return SimpleNamespace(**{**STYLES[self.style], **given})

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        chosen = self.chosen
        system, turns = _split_system(list(record.turns()), chosen)
        cut = _cut_edges(turns, chosen)
        clean = cut if isinstance(cut, Drop) else self._clean_turns(system, cut, chosen)
        if isinstance(clean, Drop):
            return clean
        drop = self._check_conversation(clean, chosen) or self._check_repeats(record, system, clean, chosen, ctx)
        return drop or _make_keep(record, [*system, *clean])

    def _clean_turns(self, system: Turns, turns: Turns, chosen: SimpleNamespace) -> Turns | Drop:
        """Clean the turns up to the first that is empty; return them, or the drop of the conversation."""
        if drop := self._find_blocked(system):
            return drop
        out: Turns = []
        for i, turn in enumerate(turns):
            if drop := _check_role(i, turn, chosen) or self._find_blocked([turn]):
                return drop
            try:
                new = _clean_turn(turn, chosen)
            except UnreadableHTML as error:
                return Drop("unreadable-html", f"turn {i + 1}: {error}")
            if new is None:
                break
            if drop := self._find_blocked([new]):
                return drop
            out.append(new)
        length = sum(len(turn.content) for turn in out)
        del out[len(out) // 2 * 2 :]
        if chosen.mending == "careful":
            length = sum(len(turn.content) for turn in out)
        if not out:
            return Drop("too-short", "no answer is left")
        if length < self.min_characters:
            return Drop("too-short", f"{length} characters, at least {self.min_characters} wanted")
        return out

    def _find_blocked(self, turns: Turns) -> Drop | None:
        for turn in turns:
            small = turn.content.lower()
            for word in self.blocked_words:
                if word.lower() in small:
                    return Drop("blocked-words", f"a turn contains {word!r}")
            said = turn.content.removeprefix("!")
            if turn.role == "assistant" and said.startswith(self.blocked_answers):
                return Drop("blocked-answer", f"an answer is {excerpt(said)!r}")
        return None

    def _check_conversation(self, turns: Turns, chosen: SimpleNamespace) -> Drop | None:
        """Check the cleaned turns together: list numbers, repeated digits, script."""
        for turn in turns:
            lost = chosen.list_numbers == "fastchat" and talk.has_fastchat_list_fault(turn.content)
            if chosen.list_numbers == "neighbours" and turn.role == "assistant":
                lost = talk.list_restarts(turn.content)
            if lost:
                return Drop("wrong-list", f"the numbers of a list begin again in {excerpt(turn.content)!r}")
            if self.repeated_digits and (
                found := talk.repeated_digit_pattern(self.repeated_digits).search(turn.content)
            ):
                return Drop("repeated-digits", f"a turn contains {found[0]!r}")
        if self.skip_scripts and (script := talk.find_script([turn.content for turn in turns], self.skip_scripts)):
            return Drop("skipped-script", f"it is written in {script}")
        return None

    def _check_repeats(
        self, record: Record, system: Turns, turns: Turns, chosen: SimpleNamespace, ctx: Context
    ) -> Drop | None:  # fmt: skip
        """Compare with earlier conversations; remember a conversation that is none of them."""
        known: talk.SeenConversations = ctx.memory.setdefault("known", talk.SeenConversations())
        if self.same_id == "drop" and record.id and record.id in known.ids:
            return Drop("repeated-id", f"an earlier record has the id {excerpt(record.id)!r}")
        if self.plugins == "drop" and "plugins" in record.tags:
            return Drop("plugins", "the page's plugins took part")
        drop = None
        if chosen.repeats == "beginnings":
            found = talk.compute_digests([*system, *turns])
            drop = known.repeats(found, found[-1], record.id, "it says what stands in") if found else None
        elif chosen.repeats == "openings":
            first = talk.compute_digests(turns[:2])
            drop = known.repeats(first, first[0], record.id, "its first question and answer are those of")
        if drop is None:
            known.ids.add(record.id)
        return drop


def _split_system(turns: Turns, chosen: SimpleNamespace) -> tuple[Turns, Turns]:
    """Split turns into the system text that is kept (no turn or one) and the rest."""
    first = 1 if chosen.system == "keep" and turns[0].role == "system" else 0
    return turns[:first], turns[first:]


def _cut_edges(turns: Turns, chosen: SimpleNamespace) -> Turns | Drop:
    """Return the turns from the first question to the last answer, if there are any."""
    alone = Drop("too-short", f"none of {len(turns)} turns answers another")
    if len(turns) < 2:
        return alone
    if chosen.edges == "all":
        first = next((i for i, turn in enumerate(turns) if turn.role == "user"), len(turns))
        last = next((i for i in range(len(turns), 0, -1) if turns[i - 1].role in ("assistant", "tool_call")), 0)
        return turns[first:last] if last - first > 1 else alone
    turns = turns[1:] if turns[0].role != "user" else turns
    turns = turns[:-1] if len(turns) > 1 and turns[-1].role == "user" else turns
    return turns if len(turns) > 1 else alone


def _check_role(i: int, turn: Message, chosen: SimpleNamespace) -> Drop | None:
    """Check that questions and answers take turns; return a drop if they do not.

    Where tools are allowed, their calls are answers and their results are questions, as in LLaMA-Factory's data.
    """
    wanted = (("user", "tool"), ("assistant", "tool_call"))[i % 2]
    allowed = wanted if chosen.tools == "keep" else wanted[:1]
    if turn.role in allowed and (i or turn.role == "user"):
        return None
    return Drop("wrong-roles", f"the role of turn {i + 1} is {turn.role}, not {allowed[0]}")


def _clean_turn(turn: Message, chosen: SimpleNamespace) -> Message | None:
    """Return the cleaned turn, or None if it says nothing; the conversation then ends before it."""
    text = turn.content
    if turn.role in ("user", "assistant"):
        clean = clean_carefully if chosen.mending == "careful" else clean_as_fastchat
        text = clean(text, html=should_convert(text, turn.role, chosen.html), escapes=chosen.escapes)
    if chosen.invisible == "strip":
        text = strip_invisible(text)
    elif not text[:1].isprintable():
        return None
    return replace(turn, content=text) if text or turn.tool_calls else None


def _make_keep(record: Record, turns: Sequence[Message]) -> Keep:
    """Return a `Keep` with the cleaned record, in the form in which the record came (messages, or instruction and
    output).
    """
    if tuple(turns) == record.turns():
        return Keep()
    if record.messages:
        return Keep(record=record.replaced(messages=tuple(turns)))
    *system, question, answer = turns
    told = system[0].content if system else ""
    mended = record.replaced(system=told, output=answer.content, reasoning=answer.reasoning)
    if question.content != record.question():
        mended = mended.replaced(instruction=question.content, input="")
    return Keep(record=mended)


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("sharegpt-clean", ShareGPTClean)
