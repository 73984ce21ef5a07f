"""`generate`, `cancel`, `estimate`, and the queue."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from lofi.daemon.estimates import Estimates
from lofi.daemon.handlers import Call, Method
from lofi.daemon.library import Library
from lofi.daemon.orders import Orders
from lofi.daemon.peer import Reply
from lofi.daemon.queries import Queries
from lofi.errors import InvalidParams


class Queueing:
    def __init__(
        self, orders: Orders, queries: Queries, estimates: Estimates, library: Library
    ) -> None:
        self._library = library
        self._orders = orders
        self._queries = queries
        self._estimates = estimates

    def table(self) -> dict[str, Method]:
        orders = self._orders
        return {
            "generate": self.generate,
            "cancel": self.cancel,
            "estimate": self.estimate,
            "queue_status": lambda _: orders.status(),
            "queue_clear": lambda call: orders.clear(call.params.origin),
            "queue_move": lambda call: orders.move(call.params.track_id, call.params.position),
            "queue_pause": lambda _: orders.pause(paused=True),
            "queue_resume": lambda _: orders.pause(paused=False),
        }

    def generate(self, call: Call) -> Any:
        if not self._library.is_open:
            return self._generate_when_open(call)
        peer = call.peer
        return self._orders.generate(call.params.values, peer.defaults, peer.name)

    async def _generate_when_open(self, call: Call) -> Any:
        await self._library.opened()
        answer = self.generate(call)
        return await answer if isinstance(answer, Coroutine) else answer

    def cancel(self, call: Call) -> Reply:
        params = call.params
        if params.request_id is not None:
            if params.track_id is not None:
                raise InvalidParams("Give track_id or request_id, not both", param="request_id")
            end = self._queries.cancel(call.peer, params.request_id)
            return Reply({"cancelled": True, "request_id": params.request_id}, end)
        return self._orders.cancel(params.track_id)

    async def estimate(self, call: Call) -> dict[str, Any]:
        request = await self._orders.preview(call.params.values, call.peer.defaults, presume=True)
        return await self._estimates.of(request)
