"""Connections that carry no answer of another request.

HTTP 1.1 numbers no answers: the next one on a connection counts as that of the latest request. One answer that an
endpoint sends twice, or sends after an error that it sent first, would shift all later answers of its connection. So a
connection is closed after an error, and if bytes wait on it while it is idle. An answer with the ``id`` of the answer
before it on the same connection is a fault, as far as the endpoint gives every answer an id of its own.
"""

from __future__ import annotations

import re
import select
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from filial import TeacherError

_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{1,200})"')
"""The id of a completion or of the first part of a stream. In a text of the answer the quotes would be escaped."""
REMEMBERED = 4096
"""Ids of answers that are remembered, to see whether the endpoint uses one again."""
ALIKE = 3
"""Answers with one and the same id, after which an endpoint counts as one that gives this id to all."""
_in_use: ContextVar[ResponseHandler] = ContextVar("in_use")


class Pool(aiohttp.TCPConnector):
    """All connections to one endpoint."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._last_ids: WeakKeyDictionary[ResponseHandler, bytes] = WeakKeyDictionary()
        self._seen: dict[bytes, None] = {}
        self._alike = 0
        self._repeats = False  # the endpoint gives an id to several answers, so ids say nothing

    async def connect(self, *args: Any, **options: Any) -> Connection:
        """Return a connection on which nothing waits."""
        while True:
            connection = await super().connect(*args, **options)
            protocol = connection.protocol
            assert protocol is not None
            is_new = protocol not in self._last_ids
            if is_new or not (protocol.should_close or _is_readable(connection)):
                self._last_ids.setdefault(protocol, b"")
                _in_use.set(protocol)
                return connection
            connection.close()

    def current(self) -> ResponseHandler:
        """Return the connection of the request that this task sent last."""
        return _in_use.get()

    def check_unique(self, held: ResponseHandler, raw: bytes) -> None:
        """Note the id of an answer.

        Raises:
            TeacherError: the answer before it on this connection had the same id, so it may belong to another request.
        """
        found = _ID.search(raw)
        if found is None or self._repeats:
            return
        told, before = found[1], self._last_ids.get(held)
        self._last_ids[held] = told
        if told not in self._seen:
            self._seen[told] = None
            if len(self._seen) > REMEMBERED:
                del self._seen[next(iter(self._seen))]
        elif told != before:  # on another connection, or later: no answer is sent twice in this way
            self._repeats = True
        else:
            held.force_close()
            if len(self._seen) > 1:
                detail = "the endpoint sent one answer twice, the second time as that of another request"
                raise TeacherError("repeated-answer", detail, retry=True, billed=None)
            self._alike += 1  # so far it has given no other id: perhaps it gives one id to all answers
            self._repeats = self._alike >= ALIKE


def _is_readable(connection: Connection) -> bool:
    """Return whether bytes, or the end, wait on a connection."""
    transport = connection.transport
    assert transport is not None
    number = transport.get_extra_info("socket").fileno()
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([number], [], [], 0)[0])
    waiting = select.poll()
    waiting.register(number, select.POLLIN)
    return bool(waiting.poll(0))
