"""Turn spans into token ids and a loss mask; `filial.labels.encoder` states the rules in full."""

from __future__ import annotations

from filial.labels.control_tokens import lookalikes, special_tokens
from filial.labels.encoder import Encoded, Encoder, Text, encode
from filial.labels.token_splitting import Unencodable

__all__ = ["Encoded", "Encoder", "Text", "Unencodable", "encode", "lookalikes", "special_tokens"]
