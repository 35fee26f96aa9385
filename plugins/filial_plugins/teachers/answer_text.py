"""Read the text of an answer: take the reasoning out of it, and the marks of the chat format that do not belong there.

What models and servers write is in the tables at the top. A mark counts only where models write it: reasoning stands at
the beginning, marks of the format at both ends. Elsewhere a text may be about such marks, and stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Marks(NamedTuple):
    """How a family of models encloses its reasoning, as two patterns.

    ``alone``: the closing mark also ends reasoning whose opening mark was in the prompt.
    """

    opening: str
    closing: str
    alone: bool = True


_WORDS = r"think(?:ing)?|thoughts?|reason(?:ing)?"
REASONING = (
    Marks(r"<(?:\w+:)?think(?:ing)?>", r"</(?:\w+:)?think(?:ing)?>"),  # DeepSeek, Qwen, GLM, Seed, MiniMax and others
    Marks(r"<thoughts?>", r"</thoughts?>"),  # EXAONE Deep, Gemini behind some gateways
    Marks(r"<reason(?:ing)?>", r"</reason(?:ing)?>"),
    Marks(r"<(?:scratchpad|inner_monologue)>", r"</(?:scratchpad|inner_monologue)>"),
    Marks(r"<details type=[\"']reasoning[\"'][^>]*>", r"</details>", alone=False),  # Open WebUI
    Marks(r"\[THINK\]", r"\[/THINK\]"),  # Mistral
    Marks(r"◁think▷", r"◁/think▷"),  # Kimi-VL
    Marks(r"<\|open\|>think<\|sep\|>", r"<\|close\|>think<\|sep\|>"),  # Kimi K3
    Marks(r"<\|channel>(?:thought\b)?", r"<channel\|>"),  # Gemma 4
    Marks(r"<unused94>(?:thought\b)?", r"<unused95>"),  # MedGemma
    Marks(r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),  # Cohere
    Marks(r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    Marks(  # OpenThinker, Sky-T1: <|begin_of_thought|>; Solar: <|think|>
        rf"<\|(?:begin_of_|start_of_)?(?:{_WORDS})(?:_start|_begin)?\|>",
        rf"<\|(?:/|end_of_|end_)(?:{_WORDS})\|>|<\|(?:{_WORDS})_end\|>",
    ),
    Marks(r"Here(?:'s| is) my thought process:", r"Here(?:'s| is) my response:", alone=False),  # Granite 3.2
)
ANSWERS = (
    (r"<answer>", r"</answer>"),  # Hunyuan, GLM-4.1V
    (r"<response>", r"</response>"),  # ERNIE 4.5
    (r"<\|begin_of_solution\|>", r"<\|end_of_solution\|>"),
    (r"<\|START_RESPONSE\|>", r"<\|END_RESPONSE\|>"),
    (r"<\|open\|>response<\|sep\|>", r"<\|close\|>response<\|sep\|>"),
    (r"<\|begin_of_box\|>", r"<\|end_of_box\|>"),
)
"""What encloses the answer after reasoning; the last four also without reasoning."""
_STARTS = (
    r"<\|im_start\|>(?:assistant\b)?|<\|start_header_id\|>assistant<\|end_header_id\|>|<start_of_turn>model\b|"
    r"<\|turn>model\b|<\|[Aa]ssistant\|>|<｜Assistant｜>|<\|CHATBOT_TOKEN\|>|<\|begin_of_text\|>|<bos>|"
    r"<｜begin▁of▁sentence｜>|\[/INST\]|\[\|assistant\|\]|(?:<\|start\|>assistant)?<\|message\|>|\ufeff"
)
"""How a turn of the model begins."""
_ENDS = (
    r"<\|(?:im_end|eot_id|eom_id|eot|eom|eos|end|return|call|stop|end_?of_?text|end_?of_?turn|end_?of_?sentence|"
    r"END_OF_TURN_TOKEN|END_RESPONSE|endofassistant|role_end|user|observation|diff_marker|fim_pad)\|>|"
    r"</s>|<eos>|<eod>|<eoa>|<eot>|<EOT>|<end_of_turn>|<turn\|>|<end_of_utterance>|<end_of_text>|<seed:eos>|"
    r"<｜(?:end▁of▁sentence|User)｜>|\[\|endofturn\|\]|\[EOS\]|\[e~\["
)
"""How a turn ends."""
_NEXT = (
    r"<\|(?:im_start|start_header_id|start|begin_of_text|user|system|turn)\|?>|<start_of_turn>|<｜User｜>|\[INST\]|<s>"
)
"""How the next turn begins, in models that go on after the end of theirs."""

_FIRST = re.compile(
    r"\s*(?:"
    + "|".join(f"(?P<m{i}>{marks.opening})" for i, marks in enumerate(REASONING))
    + "|"
    + "|".join(marks.closing for marks in REASONING if marks.alone)
    + ")",
    re.IGNORECASE,
)
_CLOSING = [re.compile(marks.closing, re.IGNORECASE) for marks in REASONING]
_UNQUOTED = [re.compile(rf"""(?<![`"'])(?:{marks.closing})""", re.IGNORECASE) for marks in REASONING]
_OPENING = re.compile("|".join(marks.opening for marks in REASONING if marks.alone), re.IGNORECASE)
_CLOSED = "|".join(marks.closing for marks in REASONING if marks.alone)
_ALONE = re.compile(
    rf"""(?<![`"'])(?:{_CLOSED})(?=[ \t]*(?:[\r\n]|\Z))|(?<=[.!?…。！？])(?:{_CLOSED})|(?<=\n)(?:{_CLOSED})(?=\S)""",
    re.IGNORECASE,
)
_ANY = re.compile(f"{_OPENING.pattern}|{_CLOSED}", re.IGNORECASE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_BEGIN = re.compile(rf"\s*(?:{_STARTS})")
_END = re.compile(rf"(?:{_ENDS})\s*(?=\Z|{_ENDS}|{_NEXT})")
_TURN = re.compile(_NEXT)
_WRAPPED = [re.compile(rf"{opening}(.*?)(?:{closing}\s*)?\Z", re.DOTALL) for opening, closing in ANSWERS]
_JSON, _SCANNER = re.compile(r'\{\s*["}]|\[\s*["{\[\]\d-]'), json.JSONDecoder()

# gpt-oss (harmony): each message has a channel, and the answer is in the channel "final".
_CHANNEL = re.compile(r"(?:<\|start\|>[^<]*)?<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_MESSAGE_END = re.compile(rf"<\|(?:end|return|call)\|>|{_CHANNEL.pattern}")
_LATER = re.compile(r"<\|end\|>\s*<\|start\|>assistant<\|channel\|>\s*(?:final|commentary)\b")
_MARKS_LOST = re.compile(r"analysis(?=[A-Z])(.*?)assistant\s?final(.*)\Z", re.DOTALL)


class SplitAnswer(NamedTuple):
    """An answer without its reasoning, and the reasoning.

    Attributes:
        removed: whether marks of reasoning were removed.
        remaining: whether such marks remain in the text.
        leaked: the first mark of the chat format that was removed; empty if there was none.
    """

    text: str
    reasoning: str
    removed: bool
    remaining: bool
    leaked: str = ""


def split_answer(answer: str, mentioned: Callable[[str], bool] = lambda mark: False) -> SplitAnswer:
    """Separate the reasoning in an answer from the rest, and remove marks of the chat format at both ends.

    Reasoning is at the beginning, sometimes in several blocks; a block that is never closed extends to the end. A
    closing mark alone ends reasoning whose opening mark was in the prompt, if it stands where models write it: at the
    end or the beginning of a line or right after a sentence, and not in fenced code or quotes. An end of turn is
    removed with what follows it. An answer without marks is unchanged.

    Args:
        mentioned: whether the prompt has a mark; an answer to it may end with this mark.
    """
    if not any(sign in answer for sign in "<[◁") and not answer.lstrip().startswith(("analysis", "Here", "\ufeff")):
        return SplitAnswer(answer, "", False, False)  # most answers hold no mark of any kind
    text, leaked = answer, ""
    while begin := _BEGIN.match(text):
        text, leaked = text[begin.end() :].lstrip(), leaked or begin[0].strip()
    channels = _split_channels(text)
    rest, thoughts = channels or _split_blocks(text)
    removed = channels is not None or len(rest) != len(text)
    if removed:
        text = rest.lstrip()
    if (end := _find_end(text)) and not mentioned(end[0].strip()):
        text, leaked = text[: end.start()], leaked or end[0].strip()
    for wrapped in _WRAPPED if removed else _WRAPPED[2:]:
        if inner := wrapped.match(text):
            text, removed = inner[1].strip(), True
    return SplitAnswer(text, join_reasoning(thoughts), removed, _ANY.search(text) is not None, leaked)


def _split_blocks(text: str) -> tuple[str, list[str]]:
    """Return what follows the reasoning at the beginning of a text, and the reasoning."""
    thoughts, place = list[str](), 0
    while tag := _FIRST.match(text, place):
        start, family = tag.end(), int((tag.lastgroup or "m-1")[1:])
        if family < 0:
            place = start
            continue
        end = _UNQUOTED[family].search(text, start) or _CLOSING[family].search(text, start)
        if end is None and not REASONING[family].alone:
            break
        thoughts.append(text[start : end.start() if end else len(text)])
        place = end.end() if end else len(text)
    if not place and (end := _find_closing(text)):
        thoughts.append(text[: end.start()])
        place = end.end()
        while (tag := _FIRST.match(text, place)) and not tag.lastgroup:
            place = tag.end()
    return text[place:], thoughts


def _find_closing(text: str) -> re.Match[str] | None:
    """Return the closing mark that ends reasoning whose opening mark was in the prompt; None if there is none."""
    end = _ALONE.search(_blank_code(text))
    if not end or _OPENING.search(text, 0, end.start()) or (text.lstrip()[:1] in "{[" and _read_json(text)):
        return None
    return end


def _split_channels(text: str) -> tuple[str, list[str]] | None:
    """Return the final message and the other messages of an answer in channels; None if it is not one."""
    text = text.lstrip()
    if lost := _MARKS_LOST.match(text):
        return lost[2], [lost[1]]
    if not (first := _CHANNEL.match(text)):
        if not (later := _LATER.search(text)) or _FENCE.search(text, 0, later.start()):
            return None
        thoughts, place = [text[: later.start()].removeprefix("analysis").removeprefix("<|message|>")], later.start()
        place += len("<|end|>")
    else:
        thoughts, place = list[str](), first.start()
    while channel := _CHANNEL.search(text, place):
        if channel[1] == "final":
            return text[channel.end() :], thoughts
        end = _MESSAGE_END.search(text, channel.end())
        thoughts.append(text[channel.end() : end.start() if end else len(text)])
        place = end.start() if end else len(text)
    return "", thoughts


def _find_end(text: str) -> re.Match[str] | None:
    """Return the first end of turn after which the text ends or another turn begins.

    There is none in fenced code, or in a text that shows how turns begin: it is about the format.
    """
    if not _END.search(text) or not (end := _END.search(_blank_code(text))) or _TURN.search(text, 0, end.start()):
        return None
    return end


def find_json(text: str) -> str:
    """Return the JSON in an answer without the words and Markdown fences around it, if there is one value only; else
    the text unchanged."""
    try:
        json.loads(text)
        return text
    except (ValueError, RecursionError):
        blocks = (re.sub(r"\A[A-Za-z0-9]*\s+", "", block) for block in text.split("```")[1::2])
        found = {block: value for block in blocks if (value := _read_json(block)) is not None}
        found = found or dict(_find_values(text))
    found = {block: value for block, value in found.items() if isinstance(value, dict)} or found  # "as in [1]"
    block = next(iter(found), text)
    return block if all(value == found[block] for value in found.values()) else text


def _find_values(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the outermost objects and lists in a text, up to one that is broken: what is inside is only a part."""
    end = 0
    for opening in _JSON.finditer(text):
        if opening.start() >= end:
            try:
                value, end = _SCANNER.raw_decode(text, opening.start())
            except (ValueError, RecursionError):
                return
            yield text[opening.start() : end], value


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _blank_code(text: str) -> str:
    """Return the text with spaces in place of fenced code, so that positions stay; an unclosed fence is not code."""
    kept, place = list[str](), 0
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence[1].startswith(opening[1]):
            kept += text[place : opening.start()], " " * (fence.end() - opening.start())
            place, opening = fence.end(), None
    return "".join((*kept, text[place:]))


def join_reasoning(thoughts: list[str]) -> str:
    """Join blocks of reasoning to one text, without repetitions."""
    return "\n\n".join(dict.fromkeys(filter(None, map(str.strip, thoughts))))
