"""Method name to function; thin. Each room of methods has a file here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lofi.daemon.peer import Peer
from lofi.errors import ShuttingDown
from lofi.wire import methods

Method = Callable[["Call"], Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who asks, and what."""

    peer: Peer
    method: str
    params: Any
    """The method's own dataclass."""
    given: frozenset[str]
    """The names that were sent: an absent `rating` is not a null one."""
    request_id: int | str | None


class Handlers:
    """Parses a call's parameters and hands it to its room.

    A room returns a value, a `Reply`, or a coroutine of either for what takes its time.
    """

    def __init__(self, *tables: Mapping[str, Method]) -> None:
        self._table: dict[str, Method] = {}
        for table in tables:
            self._table.update(table)
        self.is_closed = False

    @property
    def names(self) -> list[str]:
        """Returns the methods there are, in the order of the protocol."""
        return [name for name in methods.METHODS if name in self._table]

    def __call__(
        self, peer: Peer, method: str, params: Mapping[str, Any], request_id: int | str | None
    ) -> Any:
        """Answers one call.

        Raises:
            LofiError: what the client is told.
        """
        if request_id is None and method == "exit":
            method = "shutdown"
        parsed = methods.parse(method, params)
        if self.is_closed and method not in ("shutdown", "ping"):
            raise ShuttingDown("The daemon is ending", hint="Start it again in a moment.")
        return self._table[method](Call(peer, method, parsed, frozenset(params), request_id))
