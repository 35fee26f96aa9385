"""Mask personal data and keys in every request to a teacher."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Literal, get_args

from msgspec.structs import replace

from filial import Asker, Field, HookPlugin, Message, Reply, Request, hookimpl

Masked = Literal["email", "phone", "iban", "card", "ip", "key"]
ALL: tuple[Masked, ...] = get_args(Masked)

_KEY_MARK = re.compile(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY-----")
_KEY = re.compile(
    r"(?<![\w-])(?:"
    r"(?:sk|pk|rk)[-_](?=[\w-]*\d)[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
    r"|xox[a-z]-[\w-]{10,}|A[KS]IA[A-Z0-9]{16}|AIza[\w-]{30,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{30,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])(?=(?:[A-Za-z]*\d){4})[A-Za-z0-9]{32,}"
    r")(?![\w-])",
    re.DOTALL,
)
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]+@(?:[\w-]+\.)+[^\W\d_]{2,}")
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
)
# A sum is left alone: what has an operator between itself and another number.
_BEFORE = r"(?<![\w*+^-])(?<!\d\.)(?<!\d [*+×÷-] )"
_AFTER = r"(?!\w|\.\d| ?[*=^×÷]| [+-] \d)"
_CARD = re.compile(
    rf"{_BEFORE}(?<!\d{{4}} )(?:(?<!\d / )\d{{13,19}}(?! ?[+/-] ?\d)"
    r"|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})"
    rf"{_AFTER}(?! \d{{4}}(?!\d))"
)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}|6(?:011|4[4-9]\d|5\d\d|2\d\d)\d{12,15}"
)
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]*:)[0-9A-Fa-f:.]{4,}(?!\w)")
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = re.compile(rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\w|\.\w)")
_PHONE = re.compile(
    rf"{_BEFORE}(?:"
    r"(?<!\d )\+[1-9](?:\d{10,14}|(?=\d{0,4}[ (-])\d{0,2}(?:[ -]?\(\d{1,4}\))?(?:[ -]?\d){6,12}"
    r"|\d{0,2}(?:\.\d{2,4}){2,4})"
    r"|(?:1[ .-])?(?:\([2-9]\d\d\) ?[2-9]\d\d[ .-]|[2-9]\d\d([.-])[2-9]\d\d\1)\d{4}"
    rf"){_AFTER}"
)
_CALLED = re.compile(
    r"(\b(?:tel|telephone|phone|mobile|fax|whatsapp)(?:(?:\.| number| no\.?)(?: is|:)?|:| is| at) ?)"
    r"(?!\d{4}-\d\d-\d\d|\d{1,2}([./-])\d{1,2}\2\d)\+?\(?\d(?:[ ()/.-]{0,2}\d){6,14}(?!\w|[.,]\d)",
    re.IGNORECASE,
)


def redact(text: str, what: Collection[Masked] = ALL) -> str:
    """Mask a text: ``[email]``, ``[phone]``, ``[iban]``, ``[card]``, ``[ip]`` and ``[key]`` replace what they name.

    Numbers that are none of these stay: dates, decimals, sums, lists.
    """
    while (masked := _redact_once(text, what)) != text:  # masking one thing can make its neighbour match
        text = masked
    return text


class Redact(HookPlugin):
    """Mask personal data and keys in every request to a teacher.

    The ledger stores the masked request, so it does not contain the masked text either.
    """

    what: tuple[Masked, ...] = Field(default=ALL, min_length=1, description="What to mask.")

    @hookimpl
    async def ask(self, request: Request, proceed: Asker) -> Reply:
        said = tuple(map(self._mask_message, request.messages))
        return await proceed(request if said == request.messages else replace(request, messages=said))

    def _mask_message(self, message: Message) -> Message:
        calls = tuple(replace(call, arguments=redact(call.arguments, self.what)) for call in message.tool_calls)
        content, reasoning = redact(message.content, self.what), redact(message.reasoning, self.what)
        return replace(message, content=content, reasoning=reasoning, tool_calls=calls)


def _redact_once(text: str, what: Collection[Masked]) -> str:
    if "key" in what:
        text = _KEY.sub("[key]", _mask_private_keys(text))
    if "email" in what:
        text = _EMAIL.sub("[email]", text)
    if "iban" in what:
        text = _IBAN.sub(_mask_iban, text)
    if "card" in what:
        text = _CARD.sub(_mask_card, text)
    if "ip" in what:
        text = _IPV4.sub("[ip]", _IPV6.sub(_mask_ipv6, text))
    if "phone" in what:
        text = _CALLED.sub(r"\1[phone]", _PHONE.sub("[phone]", text))
    return text


redacted = redact
"""The name of `redact` in version 0.1."""


def _mask_private_keys(text: str) -> str:
    """Mask each text from the mark where a private key begins to the next mark where one ends.

    One expression for both marks would read to the end of the text from every mark that has no end.
    """
    parts, done, start = list[str](), 0, -1
    for mark in _KEY_MARK.finditer(text):
        if mark[1] == "BEGIN":
            start = mark.start() if start < 0 else start
        elif start >= 0:
            parts += [text[done:start], "[key]"]
            done, start = mark.end(), -1
    return "".join([*parts, text[done:]])


def _mask_iban(found: re.Match[str]) -> str:
    """Mask an IBAN if its check digits are right; words in capitals that follow it are not part of it."""
    groups = found[0].split(" ")
    for end in range(len(groups), 0, -1):
        account = "".join(groups[:end])
        if 15 <= len(account) <= 34 and int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1:
            return " ".join(["[iban]", *groups[end:]])
    return found[0]


def _mask_card(found: re.Match[str]) -> str:
    """Mask a card number if an issuer has such numbers and its last digit is the check digit (Luhn)."""
    digits = re.sub(r"\D", "", found[0])
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return "[card]" if _ISSUERS.fullmatch(digits) and sum(n // 10 + n % 10 for n in doubled) % 10 == 0 else found[0]


def _mask_ipv6(found: re.Match[str]) -> str:
    """Mask an IPv6 address that looks like one: ``1::2`` may be a slice, ``1:2:3:4:5:6:7:8`` a ratio."""
    text = found[0].rstrip(".")
    text = text if text.endswith("::") else text.rstrip(":")
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return found[0]
    groups = [group for group in text.split(":") if group]
    looks = len(groups) > 2 and ("::" in text or re.search("[a-fA-F]", text) or len(groups[0]) == 4)
    linked = len(groups) == 2 and re.fullmatch("(?=.*[a-fA-F]).{4}", groups[0])
    return f"[ip]{found[0][len(text) :]}" if looks or linked else found[0]
