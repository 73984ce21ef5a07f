"""The knobs of the player: what `playback.*` and `audio.*` settings say, and the mute button."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lofi.daemon.player.loudness import playback_gain
from lofi.daemon.player.mixer import volume_gain
from lofi.daemon.player.playable import PlayableTrack
from lofi.daemon.player.playlist import Loop

DEFAULTS: Mapping[str, Any] = {
    "playback.volume": 0.6,
    "playback.loop": "playlist",
    "playback.shuffle": False,
    "playback.crossfade_sec": 2.0,
    "playback.normalize": True,
    "audio.output": "auto",
    "audio.device": None,
}


class Controls:
    """The present values of the keys of `DEFAULTS`; those not given have their defaults."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._values = {**DEFAULTS, **{key: settings[key] for key in DEFAULTS if key in settings}}
        self.muted = False

    def take(self, key: str, value: object) -> None:
        """Takes over a changed setting."""
        self._values[key] = value

    @property
    def volume(self) -> float:
        """The level 0..1 as people set it."""
        return float(self._values["playback.volume"])

    @volume.setter
    def volume(self, level: float) -> None:
        self._values["playback.volume"] = round(max(0.0, min(level, 1.0)), 4)

    @property
    def gain(self) -> float:
        """The linear gain that the volume asks for, 0 when muted."""
        return 0.0 if self.muted else volume_gain(self.volume)

    @property
    def loop(self) -> Loop:
        mode: Loop | bool = self._values["playback.loop"]
        if isinstance(mode, bool):
            return "playlist" if mode else "off"
        return mode

    @property
    def shuffle(self) -> bool:
        return bool(self._values["playback.shuffle"])

    @property
    def crossfade_sec(self) -> float:
        return float(self._values["playback.crossfade_sec"])

    @property
    def output(self) -> str:
        return str(self._values["audio.output"])

    @property
    def device(self) -> str | None:
        value = self._values["audio.device"]
        return None if value is None else str(value)

    def gain_of(self, track: PlayableTrack) -> float:
        """Returns the linear gain that brings `track` to the common loudness, if that is wanted."""
        if not self._values["playback.normalize"]:
            return 1.0
        return playback_gain(track.lufs, track.true_peak_db)
