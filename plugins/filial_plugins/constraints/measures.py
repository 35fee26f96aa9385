"""What is a word, a sentence, a paragraph, a list item: the definitions that the checkers count by.

Only the standard library is used here: `filial rewards` copies this file into reward files. Every function takes any
text, in time that grows with its length.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

# Scripts that write no blanks between words: Thai, Lao, Burmese, Khmer, kana, Han.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_ENDS = re.compile(
    r"(?<![.!?\u2026\u061f\u0964])[.!?\u2026\u061f\u0964]++[\"'\u201d\u2019\u00bb)\]*_]*+(?=\s|\Z)"
    r"|(?<![\u3002\uff01\uff1f\uff61])[\u3002\uff01\uff1f\uff61]++[\u201d\u2019\u300d\u300f\uff09]*+"
)
_ABBREVIATIONS = {"mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "cf", "approx", "fig", "vol", "pp"}
_INITIALS = re.compile(r"[A-HJ-Z]|(?:[^\W\d_]\.)+[^\W\d_]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_RULE = re.compile(r"\s*(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})\Z")
_BULLET = re.compile(r"\s*[-*+\u2022\u2013]\s+(?=\S)")
_NUMBERED = re.compile(r"\s*(\d{1,9})[.)]\s+(?=\S)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?=[^\s#])")
_BOLD = re.compile(r"\*\*(?=[^\s*])[^*\n]+(?<=\S)\*\*")
_BRACKETS = re.compile(r"\[(?=[^\s\]])[^\[\]\n]{2,}\](?!\()")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def split_words(text: str) -> list[str]:
    """The words: texts between blanks that contain a letter or a digit ("well-known" is one, a dash is none).

    In scripts that write no blanks between words (Han, kana, Thai, Lao, Khmer, Burmese) every character is a word.
    """
    return [token for token in _TOKEN.findall(text) if _LETTER_OR_DIGIT.search(token)]


def split_lines(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line for line in _LINE_END.split(text) if line.strip()]


def split_paragraphs(text: str) -> list[str]:
    """The paragraphs: texts separated by blank lines."""
    found: list[list[str]] = [[]]
    for line in _LINE_END.split(text):
        if line.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return ["\n".join(part) for part in found if part]


def split_sentences(text: str) -> list[str]:
    """The sentences: texts that end with . ! ? or an ellipsis before a blank (no blank is needed after 。！？).

    A blank line ends a sentence too; a heading, a list item and a table row is one by itself, or several. The dot of
    an abbreviation (Dr., e.g.) and of initials ends none, nor does one within a word (3.5). A sentence holds a letter
    or a digit.
    """
    found = []
    for block in _split_blocks(text):
        start = 0
        for end in _ENDS.finditer(block):
            if end[0] != "." or not _is_short_form(block[max(0, end.start() - 12) : end.start()]):
                found.append(block[start : end.end()])
                start = end.end()
        found.append(block[start:])
    return [sentence.strip() for sentence in found if _LETTER_OR_DIGIT.search(sentence)]


def _split_blocks(text: str) -> list[str]:
    """Paragraphs, headings, list items and table rows, each on one line and without its mark."""
    blocks: list[list[str]] = [[]]
    for line in _LINE_END.split(text):
        mark = _BULLET.match(line) or _NUMBERED.match(line) or _HEADING.match(line)
        if not line.strip() or _RULE.match(line):
            blocks.append([])
        elif mark or line.lstrip().startswith("|"):
            blocks.append([line[mark.end() :] if mark else line])
            if not _BULLET.match(line) and not _NUMBERED.match(line):
                blocks.append([])
        else:
            blocks[-1].append(line)
    return [" ".join(block) for block in blocks if block]


def _is_short_form(before: str) -> bool:
    """Return whether the dot after this text belongs to an abbreviation or to initials."""
    parts = before.split()
    word = parts[-1].lstrip("\"'(\u201c*_[") if parts and not before[-1].isspace() else ""
    return word.lower() in _ABBREVIATIONS or _INITIALS.fullmatch(word) is not None


def find_questions(text: str) -> list[str]:
    """The sentences that end with a question mark, ignoring closing quotation marks and brackets."""
    closers = "\"'\u201d\u2019\u00bb\u300d\u300f\uff09)]*_ "
    return [
        sentence for sentence in split_sentences(text) if sentence.rstrip(closers)[-1:] in ("?", "\uff1f", "\u061f")
    ]


def count_characters(text: str) -> int:
    """Characters, blanks between them included, those around the text not (code points after NFC)."""
    return len(unicodedata.normalize("NFC", text.strip()))


def fold_text(text: str) -> str:
    """Return the text for comparison without case, composition and width of blanks."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def count_word(text: str, word: str) -> int:
    """Count a word in a text as a whole word, ignoring case; in scripts without blanks anywhere."""
    text, word = fold_text(text), fold_text(word)
    if not word:
        return 0
    if re.search(f"[{_UNSPACED}]", word):
        return text.count(word)
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text))


def lines_outside_fences(text: str) -> list[str]:
    """The lines outside fenced blocks of code."""
    found, fence = [], ""
    for line in _LINE_END.split(text):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark and not (mark[1][0] == "`" and "`" in line[mark.end() :]):
            fence = mark[1]
        else:
            found.append(line)
    return found


def find_bullets(text: str) -> list[str]:
    """The items of bulleted lists: lines with ``-``, ``*``, ``+``, ``•`` or ``–`` and a blank before the text."""
    marked = ((line, _BULLET.match(line)) for line in lines_outside_fences(text) if not _RULE.match(line))
    return [line[mark.end() :] for line, mark in marked if mark]


def find_item_numbers(text: str) -> list[int]:
    """The numbers of numbered list items (``1.`` or ``1)`` at the start of a line), in order."""
    return [int(mark[1]) for mark in map(_NUMBERED.match, lines_outside_fences(text)) if mark]


def find_headings(text: str) -> list[str]:
    """Markdown headings: lines that begin with one to six ``#`` and a blank."""
    marked = ((line, _HEADING.match(line)) for line in lines_outside_fences(text))
    return [line[mark.end() :] for line, mark in marked if mark]


def find_bold(text: str) -> list[str]:
    """Parts in Markdown's bold: ``**so**``, within one line."""
    return _BOLD.findall(text)


def find_placeholders(text: str) -> list[str]:
    """Parts in square brackets such as ``[name]``: two or more characters, not links."""
    return _BRACKETS.findall(text)


def find_numbers(text: str) -> list[str]:
    """Numbers in digits; "3.5" and "1,000" are one number each."""
    return _NUMBER.findall(text)


@lru_cache(maxsize=4096)
def _get_script(letter: str) -> str:
    """Return the script of a letter, the first word of its name in the Unicode database: "LATIN", "CJK", "" if none."""
    name = unicodedata.name(letter, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    return name.split(" ")[0].split("-")[0]


def compute_script_share(text: str, names: tuple[str, ...]) -> float:
    """Return the share of letters whose Unicode name begins with one of these words; 0 if there is no letter."""
    counts = Counter(text)
    letters = {char: n for char, n in counts.items() if unicodedata.category(char)[0] == "L"}
    whole = sum(letters.values())
    return sum(n for char, n in letters.items() if _get_script(char) in names) / whole if whole else 0.0
