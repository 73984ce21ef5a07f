"""Hands each notification to every connected editor, in one order for all."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from lofi.wire.jsonrpc import encode_notification

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Somebody connected, who may not want to hear everything."""

    def hears(self, method: str) -> bool: ...

    def send(self, line: bytes) -> None: ...


class Events:
    """The listeners, and the last word: after `close` nothing is sent any more."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._is_closed = False

    def add(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def remove(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, method: str, params: Mapping[str, Any]) -> None:
        """Sends a notification to all. Encoded once; never waits."""
        if self._is_closed:
            return
        line = encode_notification(method, params)
        for listener in list(self._listeners):
            if listener.hears(method):
                listener.send(line)

    def close(self) -> None:
        """Ends notifications: what follows is the answer to `shutdown`, the last line written."""
        self._is_closed = True
