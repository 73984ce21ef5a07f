"""The player: what is playing, and what each request makes of it.

It owns the playlist and the state machine and tells the world; samples are the business of
`desk.py` and `stream.py`, devices that of `output.py`. Method names are those of the wire, answers
are wire objects. Values are checked at the door; here they are taken as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Enqueue = Literal["auto", "next", "end", "replace"]
Emit = Callable[[str, dict[str, Any]], None]
"""Hands a notification (method, params) to every client, in order, without waiting."""


@dataclass(frozen=True, slots=True)
class PlayableTrack:
    """A finished track of the cache, as far as a player cares."""

    track_id: str
    path: Path
    title: str
    prompt: str
    duration_sec: float
    lufs: float | None = None
    true_peak_db: float | None = None
    gain: float | None = None
    """The one gain between the spool's samples and the file's (`Done.value["gain"]`)."""


@dataclass(frozen=True, slots=True)
class LiveTrack:
    """A track that is still being rendered; its spool grows as raw interleaved float32."""

    track_id: str
    spool_path: Path
    sample_rate: int
    channels: int
    frames_total: int
    gain: float = 1.0
    """Provisional gain to play the spool at (`SoundAnnounced.gain`)."""
    frames_ready: int = 0
    title: str = ""
    prompt: str = ""
    announced_at: float | None = None
    """`Clock.monotonic()` when `SoundAnnounced` came: lets one stretch tell the rendering speed."""


class Tracks(Protocol):
    """The tracks there are; unique prefixes are resolved by whoever keeps this."""

    def find(self, track_id: str) -> PlayableTrack | None: ...

    def newest(self) -> PlayableTrack | None: ...


class Clock(Protocol):
    def monotonic(self) -> float: ...

    def timestamp(self) -> str:
        """Returns now as RFC 3339 UTC with milliseconds."""
        ...


class Player:
    """One pair of ears: the playlist, the state machine, the notifications of playback.

    Args:
        settings: starting values by key (`playback.volume`, `playback.loop`, `playback.shuffle`,
            `playback.crossfade_sec`, `playback.normalize`, `audio.output`, `audio.device`); those
            missing have the documented defaults.
        on_listened: called once per listened track (30 s or half of it), on the loop.
    """

    def __init__(
        self,
        tracks: Tracks,
        emit: Emit,
        clock: Clock,
        settings: Mapping[str, Any],
        on_listened: Callable[[str], None],
    ) -> None: ...

    async def run(self) -> None:
        """Serves until cancelled: ends of tracks, the watchdog, the regular state. For the app's
        task group; opens no device before something plays."""

    async def close(self) -> None:
        """Fades out over 50 ms and lets go of device, threads and files. Says nothing."""

    async def configure(self, key: str, value: object) -> None:
        """Takes over one changed setting, at once; other keys than those above are ignored."""

    def state(self) -> dict[str, Any]:
        """Returns the `playback` object."""
        raise AssertionError

    async def play(
        self,
        *,
        track_id: str | None = None,
        path: str | None = None,
        position_sec: float | None = None,
        enqueue: Enqueue = "auto",
    ) -> dict[str, Any]:
        raise AssertionError

    async def pause(self) -> dict[str, Any]:
        raise AssertionError

    async def resume(self) -> dict[str, Any]:
        raise AssertionError

    async def toggle(self) -> dict[str, Any]:
        raise AssertionError

    async def stop(self) -> dict[str, Any]:
        raise AssertionError

    async def skip(self, *, count: int = 1) -> dict[str, Any]:
        raise AssertionError

    async def previous(self) -> dict[str, Any]:
        raise AssertionError

    async def seek(
        self, *, position_sec: float | None = None, delta_sec: float | None = None
    ) -> dict[str, Any]:
        raise AssertionError

    async def volume_set(
        self, *, level: float | None = None, delta: float | None = None
    ) -> dict[str, Any]:
        raise AssertionError

    async def volume_get(self) -> dict[str, Any]:
        raise AssertionError

    async def mute(self, *, muted: bool | None = None) -> dict[str, Any]:
        raise AssertionError

    async def audio_devices(self) -> dict[str, Any]:
        raise AssertionError

    async def audio_device_set(self, *, device: str | None) -> dict[str, Any]:
        raise AssertionError

    async def playlist_get(self) -> dict[str, Any]:
        raise AssertionError

    async def append(self, track: PlayableTrack) -> None:
        """Appends a finished track (`auto_play`); it starts if nothing plays. Call it after
        `generation_complete` was emitted."""

    async def append_live(self, live: LiveTrack) -> None:
        """Appends a track that is being rendered; it starts, if nothing plays, as soon as it is
        sure to stay ahead."""

    def live_progress(self, track_id: str, frames: int) -> None:
        """The spool of `track_id` holds `frames` final frames now. Unknown ids are ignored."""

    async def live_finished(self, track_id: str, track: PlayableTrack) -> None:
        """The file is complete. Call it after `generation_complete`; unknown ids are ignored. The
        spool may be deleted as soon as it returns."""

    async def live_failed(self, track_id: str, *, cancelled: bool) -> None:
        """The job ended without a track: fades out, emits `playback_ended`, removes the entry. Call
        it before the job's terminal notification; unknown ids are ignored."""

    async def forget(self, track_ids: Collection[str]) -> None:
        """Removes tracks that are about to be deleted; a sounding one stops first."""

    def upcoming(self, count: int) -> list[str]:
        """Returns the current entry's track and the next `count`, which eviction must spare."""
        raise AssertionError
