"""One connected editor's conversation: bytes in, answers and notifications out, no I/O."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lofi.errors import Busy, InternalError, LofiError
from lofi.wire.jsonrpc import (
    Bad,
    LineReader,
    Notification,
    Request,
    Response,
    encode_error,
    encode_result,
)

logger = logging.getLogger(__name__)

BACKLOG_LIMIT_BYTES = 32 * 1024 * 1024
"""A client that reads nothing is let go before it costs more memory than this."""


UNANSWERED_LIMIT = 1000
"""More calls than this are not kept waiting for one client."""
INTRODUCTION = "initialize"
_ALWAYS_SERVED = ("cancel", "shutdown", "exit", "ping")


@dataclass(frozen=True, slots=True)
class Reply:
    """A result, and what may happen only once the client has been told."""

    result: Any
    after: Callable[[], None] | None = None


Spawn = Callable[[Coroutine[Any, Any, None]], None]


class Wire(Protocol):
    """The way to the client. `write` never waits; `backlog_bytes` is what has not left yet."""

    def write(self, line: bytes) -> None: ...

    def backlog_bytes(self) -> int: ...

    def drop(self) -> None:
        """Ends the connection at once."""


class Handler(Protocol):
    """Answers calls: at once, or with a coroutine to wait for."""

    def __call__(
        self, peer: Peer, method: str, params: Mapping[str, Any], request_id: int | str | None
    ) -> Any: ...


class Peer:
    """A client from its first byte to its last.

    Args:
        wire: where lines go.
        handle: answers a call with a value, a `Reply`, or a coroutine of either; raises
            `LofiError`.
        spawn: runs a coroutine for a call that takes its time.
        is_initialised: True where every byte on the transport is meant for this client anyway.
    """

    def __init__(
        self, wire: Wire, handle: Handler, spawn: Spawn, *, is_initialised: bool = False
    ) -> None:
        self._wire = wire
        self._handle = handle
        self._spawn = spawn
        self._reader = LineReader()
        self._is_gone = False
        self._is_introducing = False
        self._held: deque[Request | Notification] = deque()
        self._unanswered = 0
        self.is_initialised = is_initialised
        self.has_spoken = False
        self.name = "client"
        self.pid: int | None = None
        self.notifications: frozenset[str] | None = None
        self.defaults: dict[str, Any] = {}
        """`defaults.*` this client set for its own requests."""
        self.has_been_told = False
        """It has had its one notice that another client's settings stand."""

    def feed(self, chunk: bytes) -> None:
        """Takes bytes as the transport gave them and serves every call they complete."""
        for message in self._reader.feed(chunk):
            self.has_spoken = True
            if isinstance(message, Bad):
                logger.info("%s sent a line that is no message: %s", self.name, message.error)
                self.send(encode_error(message.id, message.error))
            elif isinstance(message, Response):
                logger.info("%s sent an answer nobody waits for", self.name)
            else:
                self._serve(message)

    def hears(self, method: str) -> bool:
        wanted = self.notifications
        return self.is_initialised and (wanted is None or method in wanted)

    def send(self, line: bytes) -> None:
        """Queues one line; lines are never interleaved."""
        if self._is_gone:
            return
        if self._wire.backlog_bytes() > BACKLOG_LIMIT_BYTES:
            logger.warning("%s does not read what it is sent; disconnected", self.name)
            self.leave()
            self._wire.drop()
            return
        self._wire.write(line)

    def leave(self) -> None:
        """Notes that the client has gone: nothing is written to it any more."""
        self._is_gone = True

    def _serve(self, message: Request | Notification) -> None:
        request_id = message.id if isinstance(message, Request) else None
        is_flood = max(len(self._held), self._unanswered) >= UNANSWERED_LIMIT
        if is_flood and message.method not in _ALWAYS_SERVED:
            many = Busy(
                f"{UNANSWERED_LIMIT} calls of this client are unanswered",
                hint="Wait for answers before you send more.",
            )
            self._refuse(request_id, message.method, many)
            return
        if self._is_introducing:
            # What follows an introduction must find it done, however long it takes.
            self._held.append(message)
            return
        try:
            answer = self._handle(self, message.method, message.params, request_id)
        except Exception as error:
            self._refuse(request_id, message.method, error)
            return
        if isinstance(answer, Coroutine):
            self._is_introducing = message.method == INTRODUCTION
            self._unanswered += 1
            self._spawn(self._finish(request_id, message.method, answer))
        else:
            self._answer(request_id, message.method, answer)

    async def _finish(
        self, request_id: int | str | None, method: str, answer: Coroutine[Any, Any, Any]
    ) -> None:
        try:
            result = await answer
        except Exception as error:
            self._refuse(request_id, method, error)
        else:
            self._answer(request_id, method, result)
        finally:
            self._unanswered -= 1
        if method == INTRODUCTION:
            self._is_introducing = False
            while self._held and not self._is_introducing:
                self._serve(self._held.popleft())

    def _answer(self, request_id: int | str | None, method: str, answer: Any) -> None:
        reply = answer if isinstance(answer, Reply) else Reply(answer)
        if request_id is not None:
            try:
                line = encode_result(request_id, reply.result)
            except (TypeError, ValueError) as error:  # a result no line can carry: our mistake
                self._refuse(request_id, method, error)
            else:
                self.send(line)
        if reply.after is not None:
            reply.after()

    def _refuse(self, request_id: int | str | None, method: str, error: Exception) -> None:
        if not isinstance(error, LofiError):
            logger.error("%s failed", method, exc_info=error)
            error = InternalError(f"{method} failed: {type(error).__name__}")
        if request_id is not None:
            self.send(encode_error(request_id, error))
