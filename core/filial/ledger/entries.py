"""One answer as the ledger stores it, sealed so that any damage is noticed."""

from __future__ import annotations

import hashlib
import zlib

import msgspec

from filial.teaching import Reply

SEAL = 16
"""Bytes of one half of a checksum."""
NO_ENTRY = (TypeError, AttributeError, ValueError)
"""What hashing a value that was never stored ends in: a damaged page may hold any type, and a key of any length."""
_encode_reply = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(Reply).decode


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """``request`` and ``reply`` are compressed JSON; ``row`` is the place in the file.

    ``checksum``: 16 bytes over the reply, which is all that serving an answer needs, and 16 over the rest. In a
    damaged file a field may be anything.
    """

    key: str
    identity: str
    request: bytes
    reply: bytes
    checksum: bytes
    written: str = ""
    row: int = 0

    @property
    def sound(self) -> bool:
        """Whether this is what was once stored under this key."""
        try:
            seal = _seal(self.key, self.identity, self.request, self.reply)
        except NO_ENTRY:
            return False
        return self.checksum in (seal, seal[:SEAL])  # the short one is from before there was the second half

    def decoded(self) -> tuple[bytes, Reply]:
        """The canonical request and the reply."""
        return zlib.decompress(self.request), _decode_reply(zlib.decompress(self.reply))


def sealed(key: str, identity: str, request: bytes, reply: Reply) -> Entry:
    """The entry of a new answer; ``request`` is canonical."""
    asked, answered = zlib.compress(request, 1), zlib.compress(_encode_reply(reply), 1)
    seal = _seal(key, identity, asked, answered)
    return Entry(key=key, identity=identity, request=asked, reply=answered, checksum=seal)


def served(key: str, reply: bytes, checksum: bytes) -> Reply | None:
    """The reply of an entry, if it is the one that was stored under this key."""
    try:
        if checksum[:SEAL] != _checksum(key, reply):
            return None
    except NO_ENTRY:
        return None
    return msgspec.structs.replace(_decode_reply(zlib.decompress(reply)), key=key)


def _checksum(key: str, reply: bytes) -> bytes:
    return hashlib.blake2b(reply, digest_size=SEAL, key=key.encode()).digest()


def _seal(key: str, identity: str, request: bytes, reply: bytes) -> bytes:
    h = hashlib.blake2b(request, digest_size=SEAL, key=key.encode())
    h.update(identity.encode())
    return _checksum(key, reply) + h.digest()
