"""From spans to token ids and a loss mask; `filial.labels.encoder` has the rules in full."""

from __future__ import annotations

from filial.labels.controls import lookalikes, special_tokens
from filial.labels.cutting import Unencodable
from filial.labels.encoder import IGNORE, Encoded, Encoder, Text, encode

__all__ = ["IGNORE", "Encoded", "Encoder", "Text", "Unencodable", "encode", "lookalikes", "special_tokens"]
