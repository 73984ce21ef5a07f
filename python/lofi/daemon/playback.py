"""The player: what is playing, and what each request makes of it.

It owns the playlist and the state machine and tells the world; sound is the business of
`stage.py` and what lies below it. Method names are those of the wire, answers are wire objects.
Values are checked at the door; here they are taken as they come.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from lofi.daemon.decode import FileSource, Spool, SpoolSource
from lofi.daemon.desk import CLOSE_FADE_SEC, STOP_FADE_SEC
from lofi.daemon.device import Device, list_devices
from lofi.daemon.loudness import playback_gain
from lofi.daemon.mixer import volume_gain
from lofi.daemon.output import OpenSink, Output, open_sink
from lofi.daemon.playlist import Entry, Loop, Playlist
from lofi.daemon.stage import OpenSource, Stage, Take
from lofi.errors import (
    AudioPlaybackError,
    InvalidParams,
    InvalidTrackId,
    LofiError,
    NothingToPlay,
)

logger = logging.getLogger(__name__)

TICK_SEC = 0.25
STATE_SEC = 10.0
"""How often clients hear the position while something plays."""
RESTART_SEC = 3.0
"""`previous` later than this in a track starts it again."""
LISTENED_SEC = 30.0
GAIN_GLIDE_SEC = 2.0
DEFAULTS: Mapping[str, Any] = {
    "playback.volume": 0.6,
    "playback.loop": "playlist",
    "playback.shuffle": False,
    "playback.crossfade_sec": 2.0,
    "playback.normalize": True,
    "audio.output": "auto",
    "audio.device": None,
}

State = Literal["playing", "paused", "stopped"]
Reason = Literal["finished", "skipped", "stopped", "replaced", "error"]
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


@dataclass(slots=True, eq=False)
class Playing:
    """An entry that is at the stage, in one take or, after jumps, several."""

    entry: Entry
    take: Take
    path: Path | None
    """None while the track is being rendered."""
    spool: Spool | None
    is_announced: bool = False
    is_counted: bool = False

    @property
    def position_sec(self) -> float:
        return max(0.0, min(self.take.position_sec, self.entry.duration_sec))


class Player:
    """One pair of ears: the playlist, the state machine, the notifications of playback.

    Requests take effect in the order in which they come; each waits for the one before.

    Args:
        settings: starting values of the keys of `DEFAULTS`; those missing have their defaults.
        on_listened: called once per listened track (30 s or half of it), on the loop.
        opener, lister: how outputs are opened and found; tests have their own.
    """

    def __init__(
        self,
        tracks: Tracks,
        emit: Emit,
        clock: Clock,
        settings: Mapping[str, Any],
        on_listened: Callable[[str], None],
        *,
        opener: OpenSink = open_sink,
        lister: Callable[[], list[Device]] = list_devices,
    ) -> None:
        self._tracks = tracks
        self._emit = emit
        self._clock = clock
        self._settings = {**DEFAULTS, **{key: settings[key] for key in DEFAULTS if key in settings}}
        self._on_listened = on_listened
        self._playlist = Playlist()
        self._revision_told = 0
        self._state: State = "stopped"
        self._muted = False
        self._current: Playing | None = None
        self._next: Playing | None = None
        self._start_sec = 0.0
        """Where the current entry begins when it is played from `stopped`."""
        self._spools: dict[str, Spool] = {}
        self._live_keys: dict[str, set[int]] = {}
        """The entries that exist only because a track is being rendered."""
        self._files: dict[str, PlayableTrack] = {}
        """Files outside the cache that were played by path."""
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._state_told_at = 0.0
        self._stage = Stage(
            lambda fill: Output(
                output=self._settings["audio.output"],
                device=self._settings["audio.device"],
                clock=clock,
                fill=fill,
                notice=self._tell_error,
                opener=opener,
                lister=lister,
            ),
            volume=self._volume_gain,
            clock=clock,
            on_change=self._wake.set,
        )

    # Life.

    async def run(self) -> None:
        """Serves until cancelled: ends of tracks, the watchdog, the regular state. For the app's
        task group; opens no device before something plays."""
        while True:
            try:
                async with asyncio.timeout(TICK_SEC if self._stage.output.is_running else None):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            async with self._turn:
                try:
                    await self._attend()
                except LofiError as error:
                    self._tell_error(error)
                    self._halt("error")

    async def close(self) -> None:
        """Fades out over 50 ms and lets go of device, threads and files. Says nothing."""
        async with self._turn:
            self._count_listened()
            self._current = self._next = None
            self._state = "stopped"
            await self._stage.close()

    async def configure(self, key: str, value: object) -> None:
        """Takes over one changed setting, at once; other keys than those of `DEFAULTS` are ignored.

        Raises:
            AudioDeviceError: the output or device cannot be opened; the old one plays on.
        """
        if key not in DEFAULTS:
            return
        async with self._turn:
            await self._attend()
            output = self._stage.output
            if key == "audio.output":
                await output.choose(output=str(value), device=self._settings["audio.device"])
            elif key == "audio.device":
                await output.choose(device=None if value is None else str(value))
            self._settings[key] = value
            if key == "playback.volume":
                self._stage.set_volume(self._volume_gain)
            elif key == "playback.normalize":
                self._normalize()
            await self._settle()
            self._tell_state()

    # What there is to know.

    def state(self) -> dict[str, Any]:
        """Returns the `playback` object."""
        current, entry = self._current, self._playlist.current
        position_sec = self._start_sec if current is None else current.position_sec
        return {
            "state": self._state,
            "track_id": None if entry is None else entry.track_id,
            "title": None if entry is None else entry.title,
            "position_sec": round(position_sec, 3),
            "duration_sec": None if entry is None else entry.duration_sec,
            "volume": self._settings["playback.volume"],
            "muted": self._muted,
            "loop": self._loop,
            "shuffle": self._settings["playback.shuffle"],
            "crossfade_sec": self._settings["playback.crossfade_sec"],
            "index": self._playlist.index,
            "playlist_length": len(self._playlist),
            "device": self._stage.output.name or self._settings["audio.device"],
            "radio": False,
        }

    def upcoming(self, count: int) -> list[str]:
        """Returns the current entry's track and the next `count`, which eviction must spare."""
        return self._playlist.upcoming(count)

    async def playlist_get(self) -> dict[str, Any]:
        items = [
            {
                "track_id": entry.track_id,
                "title": entry.title,
                "duration_sec": entry.duration_sec,
                "prompt": entry.prompt,
            }
            for entry in self._playlist.entries
        ]
        return {
            "tracks": [entry.track_id for entry in self._playlist.entries],
            "items": items,
            "index": self._playlist.index,
            "revision": self._playlist.revision,
        }

    # Requests.

    async def play(
        self,
        *,
        track_id: str | None = None,
        path: str | None = None,
        position_sec: float | None = None,
        enqueue: Enqueue = "auto",
    ) -> dict[str, Any]:
        """Plays a track, or goes on with what there is.

        Raises:
            InvalidTrackId, AudioPlaybackError: no such track, or it cannot be decoded.
            NothingToPlay: no track was named and there is none.
        """
        async with self._turn:
            await self._attend()
            if track_id is None and path is None:
                await self._go_on(position_sec)
                return self.state()
            entry = await self._new_entry(track_id, path)
            if enqueue in ("next", "end") and self._state != "stopped":
                if enqueue == "next":
                    self._playlist.insert_next(entry)
                else:
                    self._playlist.append(entry)
                self._tell_playlist()
                await self._plan_next()
                return self.state()
            playing = await self._prepared(entry, position_sec or 0.0)
            if enqueue == "replace":
                self._playlist.clear()
            if enqueue == "end":
                self._playlist.append(entry)
            else:
                self._playlist.insert_next(entry)
            await self._switch(playing, "replaced")
            return self.state()

    async def pause(self) -> dict[str, Any]:
        async with self._turn:
            await self._attend()
            self._pause()
            return self.state()

    async def resume(self) -> dict[str, Any]:
        async with self._turn:
            await self._attend()
            if self._state == "paused":
                await self._resume()
            return self.state()

    async def toggle(self) -> dict[str, Any]:
        """Pauses what plays, else plays.

        Raises:
            NothingToPlay: there is no track at all.
        """
        async with self._turn:
            await self._attend()
            if self._state == "playing":
                self._pause()
            else:
                await self._go_on(None)
            return self.state()

    async def stop(self) -> dict[str, Any]:
        async with self._turn:
            await self._attend()
            if self._state != "stopped":
                self._halt("stopped")
            elif self._start_sec:
                self._start_sec = 0.0
                self._tell_state()
            return self.state()

    async def skip(self, *, count: int = 1) -> dict[str, Any]:
        """Goes `count` entries on.

        Raises:
            NothingToPlay: the playlist is empty.
        """
        async with self._turn:
            await self._attend()
            await self._step(count)
            return self.state()

    async def previous(self) -> dict[str, Any]:
        """Starts the track again if it is more than 3 s in, else plays the one before.

        Raises:
            NothingToPlay: the playlist is empty.
        """
        async with self._turn:
            await self._attend()
            current = self._current
            before = self._playlist.step(-1, self._loop)
            if current is not None and (current.position_sec > RESTART_SEC or before is None):
                await self._jump(current, 0.0)
            else:
                await self._step(-1 if before is not None else 0)
            return self.state()

    async def seek(
        self, *, position_sec: float | None = None, delta_sec: float | None = None
    ) -> dict[str, Any]:
        """Jumps within the current track; past its ends means to them.

        Raises:
            NothingToPlay: there is no current track.
        """
        async with self._turn:
            await self._attend()
            entry = self._playlist.current
            if entry is None:
                raise NothingToPlay("there is no track to seek in")
            if position_sec is None:
                if delta_sec is None:
                    raise InvalidParams("seek needs position_sec or delta_sec")
                position_sec = self.state()["position_sec"] + delta_sec
            target_sec = max(0.0, min(position_sec, entry.duration_sec))
            if self._current is None:
                self._start_sec = target_sec
                self._tell_state()
            else:
                await self._jump(self._current, target_sec)
            return self.state()

    async def volume_set(
        self, *, level: float | None = None, delta: float | None = None
    ) -> dict[str, Any]:
        if level is None:
            level = self._settings["playback.volume"] + (delta or 0.0)
        self._settings["playback.volume"] = round(max(0.0, min(level, 1.0)), 4)
        self._stage.set_volume(self._volume_gain)
        self._tell_state()
        return await self.volume_get()

    async def volume_get(self) -> dict[str, Any]:
        return {"level": self._settings["playback.volume"], "muted": self._muted}

    async def mute(self, *, muted: bool | None = None) -> dict[str, Any]:
        self._muted = not self._muted if muted is None else muted
        self._stage.set_volume(self._volume_gain)
        self._tell_state()
        return {"muted": self._muted}

    async def audio_devices(self) -> dict[str, Any]:
        output = self._stage.output
        available = [
            {
                "name": device.name,
                "id": device.id,
                "is_default": device.is_default,
                "sample_rate": device.sample_rate,
                "channels": device.channels,
            }
            for device in await output.devices()
        ]
        default = next((one["name"] for one in available if one["is_default"]), None)
        return {
            "current": output.name or self._settings["audio.device"] or default,
            "available": available,
            "backend": output.kind,
        }

    async def audio_device_set(self, *, device: str | None) -> dict[str, Any]:
        """Plays on `device`, or wherever the system's default is (None).

        Raises:
            AudioDeviceError: there is no such device; the old one plays on.
        """
        await self.configure("audio.device", device)
        return {"device": device}

    # Tracks that come and go.

    async def append(self, track: PlayableTrack) -> None:
        """Appends a finished track (`auto_play`); it starts if nothing plays. Call it after
        `generation_complete` was emitted."""
        async with self._turn:
            await self._attend()
            await self._append(self._entry_of(track))

    async def append_live(self, live: LiveTrack) -> None:
        """Appends a track that is being rendered; it starts, if nothing plays, as soon as it is
        sure to stay ahead."""
        async with self._turn:
            await self._attend()
            spool = Spool(
                live.spool_path,
                sample_rate=live.sample_rate,
                channels=live.channels,
                frames=live.frames_total,
                gain=live.gain,
                announced_at=live.announced_at,
            )
            spool.progress(live.frames_ready, self._clock.monotonic())
            self._spools[live.track_id] = spool
            entry = self._playlist.new_entry(
                live.track_id,
                title=live.title,
                prompt=live.prompt,
                duration_sec=live.frames_total / live.sample_rate,
            )
            self._live_keys[live.track_id] = {entry.key}
            await self._append(entry)

    def live_progress(self, track_id: str, frames: int) -> None:
        """The spool of `track_id` holds `frames` final frames now. Unknown ids are ignored."""
        spool = self._spools.get(track_id)
        if spool is not None:
            spool.progress(frames, self._clock.monotonic())
            self._stage.nudge()

    async def live_finished(self, track_id: str, track: PlayableTrack) -> None:
        """The file is complete. Call it after `generation_complete`; unknown ids are ignored. The
        spool may be deleted as soon as it returns."""
        async with self._turn:
            spool = self._spools.pop(track_id, None)
            if spool is None:
                return
            self._live_keys.pop(track_id, None)
            spool.finished = (track.path, track.gain or spool.gain)
            self._stage.nudge()
            for key in self._playlist.keys({track_id}):
                self._playlist.update(
                    key, title=track.title, prompt=track.prompt, duration_sec=track.duration_sec
                )
            self._tell_playlist()
            for playing in (self._current, self._next):
                if playing is not None and playing.spool is spool:
                    playing.path, playing.spool = track.path, None
                    playing.take.open_source = partial(FileSource, track.path)
                    position = self._playlist.position(playing.entry.key)
                    if position is not None:
                        playing.entry = self._playlist.entries[position]
            self._normalize()
            await self._attend()
            if self._current is not None and self._current.entry.track_id == track_id:
                self._tell_state()

    async def live_failed(self, track_id: str, *, cancelled: bool) -> None:
        """The job ended without a track: fades out, emits `playback_ended`, removes the entry. Call
        it before the job's terminal notification; unknown ids are ignored."""
        async with self._turn:
            await self._attend()
            spool = self._spools.pop(track_id, None)
            if spool is None:
                return
            keys = self._live_keys.pop(track_id, set())
            current = self._current
            is_sounding = current is not None and current.spool is spool
            was_playing = self._state == "playing"
            successor = self._playlist.step(1, "off")
            if is_sounding:
                self._halt("stopped" if cancelled else "error", fade_sec=CLOSE_FADE_SEC)
            self._playlist.remove(keys)
            self._tell_playlist()
            if is_sounding and was_playing and successor is not None:
                await self._start_from(successor)
            elif is_sounding:
                self._tell_state()
            await self._plan_next()

    async def forget(self, track_ids: Collection[str]) -> None:
        """Removes tracks that are about to be deleted; a sounding one stops first."""
        async with self._turn:
            await self._attend()
            current = self._current
            if current is not None and current.entry.track_id in track_ids:
                self._halt("stopped")
            self._playlist.remove(self._playlist.keys(track_ids))
            self._tell_playlist()
            await self._settle()

    # How it is done. All of this runs with the turn taken.

    @property
    def _loop(self) -> Loop:
        mode: Loop | bool = self._settings["playback.loop"]
        if isinstance(mode, bool):
            return "playlist" if mode else "off"
        return mode

    @property
    def _volume_gain(self) -> float:
        return 0.0 if self._muted else volume_gain(self._settings["playback.volume"])

    async def _attend(self) -> None:
        """Catches up with what was heard meanwhile."""
        for happening in self._stage.happenings():
            current = self._current
            if current is None or happening.take is not current.take:
                continue
            if happening.kind == "started":
                self._announce(current)
            elif happening.kind == "ended":
                await self._ended(current)
            else:
                self._tell_state()
        if await self._stage.watch():
            self._tell_state()
        self._count_listened()
        await self._plan_next()
        due = self._state_told_at + STATE_SEC
        if self._state == "playing" and self._clock.monotonic() >= due:
            self._tell_state()

    async def _settle(self) -> None:
        """Lets the stage follow a changed output, and plans anew."""
        await self._stage.refit()
        await self._plan_next()

    async def _ended(self, current: Playing) -> None:
        error = current.take.voice.stream.error
        if error is not None:
            self._tell_error(error, current.entry.track_id)
        successor, self._next = self._next, None
        self._leave(current, "finished" if error is None else "error")
        if successor is not None and self._stage.lead is successor.take:
            self._current = successor
            self._playlist.select(successor.entry)
            self._tell_playlist()
            return
        following = self._playlist.following(self._loop)
        if following is None or (error is not None and following is self._playlist.current):
            self._come_to_rest()
        else:
            await self._start_from(following)

    async def _start_from(self, entry: Entry) -> None:
        """Plays `entry`, or the next after it that can be played; stops if none can."""
        self._playlist.select(entry)
        for _ in range(len(self._playlist)):
            try:
                playing = await self._prepared(entry, 0.0)
            except LofiError as error:
                self._tell_error(error, entry.track_id)
            else:
                await self._switch(playing, "skipped")
                return
            following = self._playlist.step(1, self._loop)
            if following is None:
                break
            entry = following
            self._playlist.select(entry)
        self._come_to_rest()

    async def _prepared(self, entry: Entry, start_sec: float) -> Playing:
        spool = self._spools.get(entry.track_id)
        path: Path | None = None
        gain = 1.0
        open_source: OpenSource
        if spool is not None:
            open_source = partial(SpoolSource, spool)
        else:
            track = self._files.get(entry.track_id) or self._tracks.find(entry.track_id)
            if track is None:
                raise InvalidTrackId(f"there is no track {entry.track_id} any more")
            path, gain = track.path, self._gain_of(track)
            open_source = partial(FileSource, path)
        take = await self._stage.prepare(open_source, min(start_sec, entry.duration_sec), gain)
        return Playing(entry, take, path, spool)

    async def _switch(self, playing: Playing, reason: Reason) -> None:
        """Goes on with a prepared entry of the playlist."""
        if self._current is not None:
            self._leave(self._current, reason)
        self._next = None
        self._current = playing
        self._start_sec = 0.0
        self._playlist.select(playing.entry)
        self._state = "playing"
        self._tell_playlist()
        await self._stage.play(playing.take)
        await self._plan_next()

    async def _jump(self, current: Playing, target_sec: float) -> None:
        playing = await self._prepared(current.entry, target_sec)
        playing.take.listened_before_sec = current.take.listened_sec
        playing.is_announced, playing.is_counted = current.is_announced, current.is_counted
        self._next = None
        self._current = playing
        await self._stage.cut(playing.take)
        self._tell_state()
        await self._plan_next()

    async def _go_on(self, position_sec: float | None) -> None:
        if self._current is not None:
            if position_sec is not None:
                await self._jump(self._current, min(position_sec, self._current.entry.duration_sec))
            if self._state == "paused":
                await self._resume()
            return
        entry = self._playlist.current or self._playlist.step(0, "off")
        if entry is None:
            newest = self._tracks.newest()
            if newest is None:
                raise NothingToPlay("there is no track yet")
            entry = self._entry_of(newest)
            playing = await self._prepared(entry, position_sec or 0.0)
            self._playlist.append(entry)
        else:
            start_sec = self._start_sec if position_sec is None else position_sec
            playing = await self._prepared(entry, start_sec)
        await self._switch(playing, "replaced")

    async def _step(self, distance: int) -> None:
        if not len(self._playlist):
            raise NothingToPlay("the playlist is empty")
        entry = self._playlist.step(distance, self._loop)
        if entry is None:
            if self._state != "stopped":
                self._halt("skipped")
        elif self._state == "stopped":
            self._playlist.select(entry)
            self._start_sec = 0.0
            self._tell_playlist()
            self._tell_state()
        else:
            await self._switch(await self._prepared(entry, 0.0), "skipped")

    def _pause(self) -> None:
        if self._state == "playing":
            self._stage.pause()
            self._state = "paused"
            self._tell_turn("playback_paused")

    async def _resume(self) -> None:
        self._state = "playing"
        await self._stage.resume()
        self._tell_turn("playback_resumed")

    async def _append(self, entry: Entry) -> None:
        self._playlist.append(entry)
        self._tell_playlist()
        if self._state == "stopped":
            await self._start_from(entry)
        else:
            await self._plan_next()

    async def _plan_next(self) -> None:
        """Puts what follows behind the current track once that is decoded to its end."""
        if self._next is not None and self._stage.queued is not self._next.take:
            self._next = None  # dropped on the way to another output
        current, following = self._current, None
        if current is not None and current.take.voice.stream.is_complete:
            following = self._playlist.following(self._loop)
        if following is None or (current is not None and current.take.voice.stream.error):
            if self._next is not None:
                self._next = None
                await self._stage.queue(None)
            return
        if self._next is not None and self._next.entry.key == following.key:
            return
        try:
            self._next = await self._prepared(following, 0.0)
        except LofiError as error:
            logger.info("what follows cannot be played: %s", error)  # told when its turn comes
            self._next = None
        await self._stage.queue(None if self._next is None else self._next.take)

    def _halt(self, reason: Reason, *, fade_sec: float = STOP_FADE_SEC) -> None:
        """Falls silent at once; the playlist stays, the current track is at its start again."""
        self._stage.silence(fade_sec)
        if self._current is not None:
            self._leave(self._current, reason)
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self._current = self._next = None
        self._start_sec = 0.0
        self._state = "stopped"
        self._tell_playlist()
        self._tell_state()

    def _leave(self, playing: Playing, reason: Reason) -> None:
        self._count_listened()
        self._stage.release(playing.take)
        self._current = None
        if playing.is_announced:
            self._emit(
                "playback_ended",
                {
                    "track_id": playing.entry.track_id,
                    "reason": reason,
                    "position_sec": round(playing.position_sec, 3),
                },
            )

    def _announce(self, playing: Playing) -> None:
        if playing.is_announced:
            return
        playing.is_announced = True
        entry = playing.entry
        params: dict[str, Any] = {
            "track_id": entry.track_id,
            "path": None if playing.path is None else str(playing.path),
            "title": entry.title,
            "prompt": entry.prompt,
            "duration_sec": entry.duration_sec,
            "position_sec": round(playing.take.start_sec, 3),
            "index": self._playlist.index,
            "at": self._clock.timestamp(),
        }
        if playing.path is None:
            params["streaming"] = True
        self._emit("playback_started", params)
        self._tell_state()

    def _count_listened(self) -> None:
        current = self._current
        if current is None or current.is_counted or current.entry.track_id in self._files:
            return
        if current.take.listened_sec >= min(LISTENED_SEC, current.entry.duration_sec / 2) > 0:
            current.is_counted = True
            self._on_listened(current.entry.track_id)

    def _normalize(self) -> None:
        """Brings what is at the stage to the loudness it should have by now."""
        for playing in (self._current, self._next):
            if playing is None or playing.spool is not None:
                continue
            track_id = playing.entry.track_id
            track = self._files.get(track_id) or self._tracks.find(track_id)
            if track is not None:
                self._stage.set_gain(playing.take, self._gain_of(track), GAIN_GLIDE_SEC)

    def _gain_of(self, track: PlayableTrack) -> float:
        if not self._settings["playback.normalize"]:
            return 1.0
        return playback_gain(track.lufs, track.true_peak_db)

    async def _new_entry(self, track_id: str | None, path: str | None) -> Entry:
        if track_id is None:
            assert path is not None
            track = await asyncio.to_thread(_file_track, Path(path).expanduser().absolute())
            self._files[track.track_id] = track
            return self._entry_of(track)
        known = next((one for one in self._playlist.entries if one.track_id == track_id), None)
        if known is not None and (track_id in self._spools or track_id in self._files):
            entry = self._playlist.new_entry(
                track_id, title=known.title, prompt=known.prompt, duration_sec=known.duration_sec
            )
            if track_id in self._live_keys:
                self._live_keys[track_id].add(entry.key)
            return entry
        found = self._tracks.find(track_id)
        if found is None:
            raise InvalidTrackId(f"there is no track {track_id}")
        return self._entry_of(found)

    def _entry_of(self, track: PlayableTrack) -> Entry:
        return self._playlist.new_entry(
            track.track_id,
            title=track.title,
            prompt=track.prompt,
            duration_sec=track.duration_sec,
        )

    # What the world hears.

    def _tell_turn(self, method: str) -> None:
        """Tells of a pause or its end, then the state."""
        if self._current is not None:
            self._emit(
                method,
                {
                    "track_id": self._current.entry.track_id,
                    "position_sec": round(self._current.position_sec, 3),
                    "at": self._clock.timestamp(),
                },
            )
        self._tell_state()

    def _tell_state(self) -> None:
        self._state_told_at = self._clock.monotonic()
        self._emit("playback_state", {**self.state(), "at": self._clock.timestamp()})

    def _tell_playlist(self) -> None:
        if self._playlist.revision != self._revision_told:
            self._revision_told = self._playlist.revision
            self._emit(
                "playlist_changed",
                {
                    "tracks": [entry.track_id for entry in self._playlist.entries],
                    "index": self._playlist.index,
                    "length": len(self._playlist),
                    "revision": self._playlist.revision,
                },
            )

    def _tell_error(self, error: LofiError, track_id: str | None = None) -> None:
        params = {"code": error.code, "message": error.message, "hint": error.hint}
        if track_id is not None:
            params["track_id"] = track_id
        self._emit("playback_error", params)


def _file_track(path: Path) -> PlayableTrack:
    """Returns a file outside the cache as a track; its id is the digest of its path."""
    source = FileSource(path)
    try:
        if source.frames == 0:
            raise AudioPlaybackError(f"{path} holds no sound")
        return PlayableTrack(
            track_id=hashlib.sha256(str(path).encode()).hexdigest()[:16],
            path=path,
            title=path.stem,
            prompt="",
            duration_sec=source.frames / source.sample_rate,
        )
    finally:
        source.close()
