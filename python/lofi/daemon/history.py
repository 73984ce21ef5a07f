"""What was generated, played and failed: a local file of lines, at most 5000 of them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lofi.daemon import durable
from lofi.wire.jsonrpc import loads

logger = logging.getLogger(__name__)

EVENT_LIMIT = 5000
SLACK = 500
"""The file is rewritten once it is this much over the limit, not at every line."""
KINDS = ("generated", "played", "failed")


class History:
    """Events in the order they happened; the file is read when first asked for.

    Args:
        write: runs a function off the event loop, one after the other.
    """

    def __init__(self, path: Path, write: Callable[[Callable[[], None]], None]) -> None:
        self._path = path
        self._write = write
        self._events: list[dict[str, Any]] | None = None

    def add(self, kind: str, time: str, members: Mapping[str, Any]) -> None:
        """Notes an event."""
        event = {"time": time, "kind": kind, **members}
        events = self._all()
        events.append(event)
        if len(events) > EVENT_LIMIT + SLACK:
            del events[:-EVENT_LIMIT]
            self._rewrite()
        else:
            line = json.dumps(event, separators=(",", ":")) + "\n"
            self._write(lambda: self._append(line))

    def events(self, kind: str | None, limit: int, before: str | None) -> list[dict[str, Any]]:
        """Returns the newest events first."""
        chosen = [
            event
            for event in reversed(self._all()[-EVENT_LIMIT:])
            if kind in (None, event["kind"]) and (before is None or event["time"] < before)
        ]
        return chosen[:limit]

    def prompts(self, query: str | None, limit: int) -> list[dict[str, Any]]:
        """Returns the prompts of generated tracks, the most used first."""
        words = (query or "").lower().split()
        found: dict[str, dict[str, Any]] = {}
        for event in self._all():
            prompt = event.get("prompt")
            if event["kind"] != "generated" or not isinstance(prompt, str) or not prompt:
                continue
            if not all(word in prompt.lower() for word in words):
                continue
            entry = found.setdefault(
                prompt,
                {"prompt": prompt, "count": 0, "last_used": "", "seeds": [], "track_ids": []},
            )
            entry["count"] += 1
            entry["last_used"] = event["time"]
            entry["request"] = event.get("request") or {"prompt": prompt}
            for name, value in (("seeds", event.get("seed")), ("track_ids", event["track_id"])):
                if value is not None and value not in entry[name]:
                    entry[name].append(value)
        ordered = sorted(
            found.values(), key=lambda entry: (entry["count"], entry["last_used"]), reverse=True
        )
        return ordered[:limit]

    def clear(self, kind: str | None) -> int:
        """Forgets every event, or those of one kind; returns how many."""
        events = self._all()
        kept = [event for event in events if kind is not None and event["kind"] != kind]
        removed = len(events) - len(kept)
        self._events = kept
        self._rewrite()
        return removed

    def _all(self) -> list[dict[str, Any]]:
        if self._events is None:
            self._events = _read(self._path)
        return self._events

    def _append(self, line: str) -> None:
        durable.make_folder(self._path.parent)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, durable.FILE_MODE)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def _rewrite(self) -> None:
        lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in self._all())

        def write() -> None:
            durable.make_folder(self._path.parent)
            temporary = durable.unfinished_name(self._path.parent, self._path.stem, ".tmp")
            temporary.write_text(lines, encoding="utf-8")
            durable.install(temporary, self._path)

        self._write(write)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    events = []
    for line in text.splitlines():
        try:
            event = loads(line)
        except (ValueError, RecursionError):
            continue  # the last line of a crash
        is_event = isinstance(event, dict) and event.get("kind") in KINDS
        if is_event and isinstance(event.get("time"), str) and "track_id" in event:
            events.append(event)
    return events
