"""What the world hears of playback: each notification's members, in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lofi.daemon.player.playable import Clock, Emit
from lofi.daemon.player.playlist import Entry, Playlist
from lofi.errors import LofiError

Reason = Literal["finished", "skipped", "stopped", "replaced", "error"]


class Bulletin:
    """Writes the notifications of playback and hands them on at once."""

    def __init__(self, emit: Emit, clock: Clock) -> None:
        self._emit = emit
        self._clock = clock
        self._revision_told = 0
        self.state_told_at = 0.0
        """When the last `playback_state` went out (monotonic seconds)."""

    def started(
        self, entry: Entry, *, path: Path | None, position_sec: float, index: int | None
    ) -> None:
        """A track is heard from now on; one without a path is still being rendered."""
        params: dict[str, Any] = {
            "track_id": entry.track_id,
            "path": None if path is None else str(path),
            "title": entry.title,
            "prompt": entry.prompt,
            "duration_sec": entry.duration_sec,
            "position_sec": round(position_sec, 3),
            "index": index,
            "at": self._clock.timestamp(),
        }
        if path is None:
            params["streaming"] = True
        self._emit("playback_started", params)

    def paused(self, entry: Entry, position_sec: float) -> None:
        self._emit("playback_paused", self._moment(entry, position_sec))

    def resumed(self, entry: Entry, position_sec: float) -> None:
        self._emit("playback_resumed", self._moment(entry, position_sec))

    def ended(self, entry: Entry, reason: Reason, position_sec: float) -> None:
        params = {"reason": reason, "position_sec": round(position_sec, 3)}
        self._emit("playback_ended", {"track_id": entry.track_id, **params})

    def state(self, playback: dict[str, Any]) -> None:
        self.state_told_at = self._clock.monotonic()
        self._emit("playback_state", {**playback, "at": self._clock.timestamp()})

    def playlist(self, playlist: Playlist) -> None:
        """Tells of the playlist if it has changed since the last time."""
        if playlist.revision != self._revision_told:
            self._revision_told = playlist.revision
            params = {
                "tracks": [entry.track_id for entry in playlist.entries],
                "index": playlist.index,
                "length": len(playlist),
                "revision": playlist.revision,
            }
            self._emit("playlist_changed", params)

    def error(self, error: LofiError, track_id: str | None = None) -> None:
        params = {"code": error.code, "message": error.message, "hint": error.hint}
        if track_id is not None:
            params["track_id"] = track_id
        self._emit("playback_error", params)

    def _moment(self, entry: Entry, position_sec: float) -> dict[str, Any]:
        return {
            "track_id": entry.track_id,
            "position_sec": round(position_sec, 3),
            "at": self._clock.timestamp(),
        }
