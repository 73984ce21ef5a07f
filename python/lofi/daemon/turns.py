"""Runs calls one after another in the order they were asked for.

Requests that change playback take effect in the order received, whoever sent them, and a slow one
(opening a device) must hold up neither the reader of a connection nor a worker's frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Turns:
    """A line of calls and the one task that serves it."""

    def __init__(self) -> None:
        self._line: asyncio.Queue[tuple[Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = (
            asyncio.Queue()
        )

    def ask(self, call: Callable[[], Awaitable[T]]) -> asyncio.Future[T]:
        """Lines `call` up now and returns the future of its result."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._line.put_nowait((call, future))
        return future

    def tell(self, call: Callable[[], Awaitable[object]]) -> None:
        """Lines `call` up; nobody waits, so a failure is logged."""
        self.ask(call).add_done_callback(_log_failure)

    async def run(self) -> None:
        """Serves until cancelled."""
        while True:
            call, future = await self._line.get()
            if future.cancelled():
                continue
            try:
                result = await call()
            except asyncio.CancelledError:
                future.cancel()
                raise
            except Exception as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)


def _log_failure(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.warning("%s", error)
