"""Long requests that a worker answers: analysis, waveforms, export, import, loading a model."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from lofi.daemon.heartbeat import Heartbeat
from lofi.daemon.lane import LaneRunner, Operation
from lofi.daemon.peer import Peer
from lofi.daemon.player.playable import Clock
from lofi.daemon.queue import Lane
from lofi.errors import NotCancellable
from lofi.wire.frames import Load, Operate
from lofi.wire.jsonrpc import encode_notification

USUAL_TOKENS = 400
"""Of a song's words: half of an answer of unknown length is thought to be there by then."""


class Queries:
    """Operations on the lanes, each tied to the request that asked for it."""

    def __init__(self, lanes: Mapping[Lane, LaneRunner], clock: Clock) -> None:
        self._lanes = lanes
        self._clock = clock
        self._running: dict[tuple[int, int | str], tuple[LaneRunner, Operation]] = {}

    async def operate(
        self,
        operation: str,
        params: Mapping[str, Any],
        *,
        peer: Peer,
        method: str,
        request_id: int | str | None,
        lane: Lane = Lane.LIGHT,
        backend: str = "",
        model: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Returns the operation's answer; the asking client hears of its progress meanwhile.

        Raises:
            GenerationCancelled: somebody cancelled the request.
            LofiError: what the worker says.
        """
        job_id = secrets.token_hex(6)
        message = Operate(job_id, operation, dict(params), backend, dict(model or {}))
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        progress = _Told(peer, method, request_id)
        heartbeat = Heartbeat(progress.say, self._clock)

        def on_step(done: int, total: int) -> None:
            progress.advance(done, total)
            heartbeat.beat()

        work = Operation(message, job_id, future, on_step)
        key = (id(peer), request_id) if request_id is not None else None
        if key is not None:
            self._running[key] = (self._lanes[lane], work)
        try:
            self._lanes[lane].ask(work)
            heartbeat.start()
            return await future
        finally:
            heartbeat.stop()
            if key is not None:
                self._running.pop(key, None)

    async def load(
        self, lane: Lane, backend: str, model: Mapping[str, Any], recipe: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Brings a model into a worker's memory before it is needed."""
        job_id = secrets.token_hex(6)
        future: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        message = Load(job_id, backend, dict(model), dict(recipe))
        self._lanes[lane].ask(Operation(message, job_id, future, _ignore))
        return await future

    def cancel(self, peer: Peer, request_id: int | str) -> Callable[[], None]:
        """Returns what ends the peer's long request.

        Raises:
            NotCancellable: it has ended, or never was.
        """
        found = self._running.get((id(peer), request_id))
        if found is None:
            raise NotCancellable(
                f"No long request {request_id!r} is running",
                hint="It has been answered already, or another client sent it.",
                status=None,
            )
        runner, operation = found
        return lambda: runner.cancel_operation(operation)

    def drop(self, peer: Peer) -> None:
        """A client has gone, and with it whoever waited for its long requests."""
        for (owner, _), (runner, operation) in list(self._running.items()):
            if owner == id(peer):
                runner.cancel_operation(operation)


class _Told:
    """`operation_progress` for one client."""

    def __init__(self, peer: Peer, method: str, request_id: int | str | None) -> None:
        self._peer = peer
        self._method = method
        self._request_id = request_id
        self._percent = 0
        self._message = ""

    def advance(self, done: int, total: int) -> None:
        if total > 0:
            self._percent = max(self._percent, min(99, 100 * done // total))
            self._message = ""
        elif done > 0:  # only words come without anyone knowing how many
            self._percent = 100 * done // (done + USUAL_TOKENS)
            self._message = f"{done} tokens"

    def say(self) -> None:
        if self._request_id is None or not self._peer.hears("operation_progress"):
            return
        params = {
            "request_id": self._request_id,
            "method": self._method,
            "percent": self._percent,
            "message": self._message,
        }
        self._peer.send(encode_notification("operation_progress", params))


def _ignore(done: int, total: int) -> None:
    pass
