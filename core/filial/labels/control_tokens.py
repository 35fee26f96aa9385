"""A tokenizer in which only control text can produce control tokens.

Every fast tokenizer replaces the strings of special tokens in any text, also in a user's data. Here a private copy of
the tokenizer is made in which each special token has another string of the same length, made of private-use characters.
Control text is written with those strings, data is not changed. So ``</s>`` in a data set stays five characters, while
the whole text is still tokenized at once, by the tokenizer's own rules, with offsets into the original text.
"""

from __future__ import annotations

import json
import re
from typing import Any

from filial.contracts.errors import UsageError

# Plane 15 names the tokens, one code point each; the filler from plane 16 brings the string to its length.
FIRST, FILLER = 0xF0000, "\U0010fffd"


def backend_of(tokenizer: Any) -> Any:
    """Return the ``tokenizers`` object inside a fast tokenizer.

    Raises:
        UsageError: a slow tokenizer; it cannot say from which characters a token was made.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not getattr(tokenizer, "is_fast", False):
        why = f"{type(tokenizer).__name__} is a slow tokenizer and gives no offsets"
        cure = "load a fast one (a model folder with a tokenizer.json)"
        raise UsageError(f"{why}, so the tokens of an answer cannot be found; {cure}")
    return backend


def special_tokens(tokenizer: Any) -> frozenset[str]:
    """Return the strings of a fast tokenizer's special tokens."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    return frozenset({*tokenizer.all_special_tokens, *added})


_AS_WRITTEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_LOOKALIKE = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|<｜[^｜<>\s]{1,40}｜>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)


def lookalikes(text: str) -> list[str]:
    """Return the strings in data that look like a control token of any published kind. All of them stay text."""
    return _LOOKALIKE.findall(text) if "<" in text or "[" in text else []


class ControlTokens:
    """The special tokens of a tokenizer, and its copy in which they have private strings.

    Attributes:
        ids: id by the special token's string, such as ``{"</s>": 2}``.
        copy: the tokenizer (a ``tokenizers.Tokenizer``) for text that `to_private` returned; it adds no tokens, and
            never truncates or pads, whatever is set on the original.
        lengths: length in characters by the special token's id.
        greedy: a special token includes blanks next to it (``lstrip``, ``rstrip``).
    """

    def __init__(self, tokenizer: Any, shift: int = 0) -> None:
        backend = backend_of(tokenizer)
        spec = _spec(backend, tokenizer)
        special = {a["content"]: a for a in spec["added_tokens"] if a["special"]}
        for content in tokenizer.all_special_tokens:
            if content not in special:
                special[content] = {"id": tokenizer.convert_tokens_to_ids(content), "content": content, **_AS_WRITTEN}
                spec["added_tokens"].append(special[content])
        self.ids = {content: int(a["id"]) for content, a in special.items()}
        self.lengths = {a["id"]: len(content) for content, a in special.items()}
        self.greedy = any(a["lstrip"] or a["rstrip"] for a in special.values())
        self._shift = shift
        self._first = FIRST + shift * len(special)
        self._alias = {c: chr(self._first + i) + FILLER * (len(c) - 1) for i, c in enumerate(special)}
        self._private = re.compile(f"[{chr(self._first)}-{chr(self._first + max(len(special), 1) - 1)}]")
        longest_first = sorted(map(re.escape, special), key=len, reverse=True)
        self._pattern = re.compile("|".join(longest_first)) if special else None
        self.copy = self._build_copy(spec, type(backend))

    def to_private(self, text: str) -> str:
        """Replace the string of each special token in control text by its private one of the same length."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda m: self._alias[m[0]], text)

    def collides_with(self, text: str) -> bool:
        """Return whether data contains private characters of this copy: then use another ``shift``."""
        return not text.isascii() and self._private.search(text) is not None

    def is_one_stretch(self, private: str) -> bool:
        """Return whether no text follows a special token, so that all text is one piece for the tokenizer."""
        found = self._private.search(private)
        return found is None or not private[found.start() + 1 :].strip(FILLER)

    def with_next_block(self, tokenizer: Any) -> ControlTokens:
        """Return the same tokenizer with the next block of private characters."""
        return ControlTokens(tokenizer, self._shift + 1)

    def _build_copy(self, spec: dict[str, Any], kind: Any) -> Any:
        alias, model = self._alias, spec["model"]
        added = {alias.get(a["content"], a["content"]): a["id"] for a in spec["added_tokens"]}
        for a in spec["added_tokens"]:
            if a["content"] in alias:
                # Matched on the text as written: a normalizer must not touch control text.
                a.update(content=alias[a["content"]], normalized=False)
        if isinstance(model["vocab"], dict):
            model["vocab"] = {alias.get(piece, piece): i for piece, i in model["vocab"].items()}
        else:
            model["vocab"] = [[alias.get(piece, piece), score] for piece, score in model["vocab"]]
        if "merges" in model:
            model["merges"] = [m for m in model["merges"] if not _uses_special_token(m, alias)]
        if model.get("unk_token") in alias:
            model["unk_token"] = alias[model["unk_token"]]
        # The encoder adds BOS and the like. Truncation and padding may be left over from earlier calls.
        spec.update(post_processor=None, truncation=None, padding=None)
        copy = kind.from_str(json.dumps(spec))
        wrong = [content for content, i in added.items() if copy.token_to_id(content) != i]
        if wrong:
            raise UsageError(
                f"this tokenizer's added tokens change their ids when it is stored and read again ({len(wrong)} of "
                f"{len(added)}, first id {added[wrong[0]]}); save it with save_pretrained and load that"
            )
        return copy


def _spec(backend: Any, tokenizer: Any) -> dict[str, Any]:
    try:
        return dict(json.loads(backend.to_str()))
    except Exception as error:
        why = f"{type(tokenizer).__name__} has a part written in Python and cannot be copied ({error})"
        raise UsageError(f"{why}; use a tokenizer that saves to tokenizer.json") from error


def _uses_special_token(merge: Any, alias: dict[str, str]) -> bool:
    """Return whether a merge makes or uses a special token (some converted vocabularies contain such merges)."""
    left, right = merge if isinstance(merge, list) else merge.split(" ", 1)
    return left in alias or right in alias or left + right in alias
