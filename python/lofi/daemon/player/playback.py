"""The player's door: each request of the wire that has to do with sound, and each track that comes
or goes.

Method names are those of the wire, answers are wire objects. Values are checked before they come
here. `programme.py` decides what is on, `stage.py` plays it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lofi.daemon.player import samples
from lofi.daemon.player.bulletin import Bulletin, Reason
from lofi.daemon.player.controls import DEFAULTS, Controls
from lofi.daemon.player.device import Device, list_devices
from lofi.daemon.player.memory import Memory
from lofi.daemon.player.output import OpenSink, Output, open_sink
from lofi.daemon.player.playable import Clock, Emit, LiveTrack, PlayableTrack, Tracks
from lofi.daemon.player.playlist import Playlist
from lofi.daemon.player.programme import Programme
from lofi.daemon.player.shelf import Shelf
from lofi.daemon.player.stage import Stage
from lofi.errors import AudioDeviceError, InvalidParams, LofiError, NothingToPlay

__all__ = ["Clock", "Emit", "Enqueue", "LiveTrack", "PlayableTrack", "Player", "Tracks"]

TICK_SEC = 0.25
RESTART_SEC = 3.0
"""`previous` later than this in a track starts it again."""

Enqueue = Literal["auto", "next", "end", "replace"]


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
        self._clock = clock
        self._controls = Controls(settings)
        self._playlist = Playlist()
        self._shelf = Shelf(tracks, self._playlist)
        self._bulletin = Bulletin(emit, clock)
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stage = Stage(
            lambda fill: Output(
                output=self._controls.output,
                device=self._controls.device,
                clock=clock,
                fill=fill,
                notice=self._bulletin.error,
                opener=opener,
                lister=lister,
            ),
            volume=self._controls.gain,
            clock=clock,
            on_change=self._wake.set,
        )
        self._programme = Programme(
            playlist=self._playlist,
            shelf=self._shelf,
            stage=self._stage,
            controls=self._controls,
            bulletin=self._bulletin,
            clock=clock,
            on_listened=on_listened,
        )

    @staticmethod
    async def prepare() -> None:
        """Makes ready for the first sound what takes a while."""
        await asyncio.to_thread(samples.prepare)

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
                    await self._programme.attend()
                except LofiError as error:
                    self._bulletin.error(error)
                    self._programme.halt("error")

    async def close(self) -> None:
        """Fades out over 50 ms and lets go of device, threads and files. Says nothing."""
        async with self._turn:
            self._programme.close()
            await self._stage.close()

    async def configure(self, key: str, value: object) -> None:
        """Takes over one changed setting, at once; other keys than those of `DEFAULTS` are ignored.

        An output that cannot be opened is told as `playback_error`, and the old one plays on.
        """
        try:
            await self._configure(key, value)
        except AudioDeviceError as error:
            self._bulletin.error(error)

    async def _configure(self, key: str, value: object) -> None:
        if key not in DEFAULTS:
            return
        async with self._turn:
            await self._programme.attend()
            output = self._stage.output
            if key == "audio.output":
                await output.choose(output=str(value), device=self._controls.device)
            elif key == "audio.device":
                await output.choose(device=None if value is None else str(value))
            self._controls.take(key, value)
            if key == "playback.volume":
                self._stage.set_volume(self._controls.gain)
            elif key == "playback.normalize":
                self._programme.normalize()
            await self._programme.settle()
            self._programme.tell_state()

    # What there is to know.

    def state(self) -> dict[str, Any]:
        """Returns the `playback` object."""
        return self._programme.playback()

    def upcoming(self, count: int) -> list[str]:
        """Returns the current entry's track and the next `count`, which eviction must spare."""
        return self._playlist.upcoming(count)

    def memory(self) -> Memory:
        """Returns what another daemon needs to go on from here."""
        return self._programme.memory()

    async def recall(self, memory: Memory) -> None:
        """Goes back to what was on in an earlier life, paused, unless something is on now."""
        async with self._turn:
            if not self._playlist.entries:
                self._programme.recall(memory)

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
            await self._programme.attend()
            if track_id is None and path is None:
                await self._programme.go_on(position_sec)
                return self.state()
            if track_id is not None:
                entry = self._shelf.entry_for(track_id)
            else:
                file = Path(path or "").expanduser().absolute()
                entry = await asyncio.to_thread(self._shelf.entry_for_file, file)
            if enqueue in ("next", "end") and self._programme.current is not None:
                if enqueue == "next":
                    self._playlist.insert_next(entry)
                else:
                    self._playlist.append(entry)
                self._programme.tell_playlist()
                await self._programme.plan_next()
                return self.state()
            # Before anything changes: a track that cannot be played leaves all as it was.
            playing = await self._programme.prepared(entry, position_sec or 0.0)
            if enqueue == "replace":
                self._playlist.clear()
            if enqueue == "end":
                self._playlist.append(entry)
            else:
                self._playlist.insert_next(entry)
            await self._programme.switch(playing, "replaced")
            return self.state()

    async def pause(self) -> dict[str, Any]:
        async with self._turn:
            await self._programme.attend()
            self._programme.pause()
            return self.state()

    async def resume(self) -> dict[str, Any]:
        async with self._turn:
            await self._programme.attend()
            await self._programme.resume()
            return self.state()

    async def toggle(self) -> dict[str, Any]:
        """Pauses what plays, else plays.

        Raises:
            NothingToPlay: there is no track at all.
        """
        async with self._turn:
            await self._programme.attend()
            if self._programme.state == "playing":
                self._programme.pause()
            else:
                await self._programme.go_on(None)
            return self.state()

    async def stop(self) -> dict[str, Any]:
        async with self._turn:
            await self._programme.attend()
            if self._programme.state != "stopped":
                self._programme.halt("stopped")
            elif self._programme.start_sec:
                self._programme.start_sec = 0.0
                self._programme.tell_state()
            return self.state()

    async def skip(self, *, count: int = 1) -> dict[str, Any]:
        """Goes `count` entries on.

        Raises:
            NothingToPlay: the playlist is empty.
        """
        async with self._turn:
            await self._programme.attend()
            await self._programme.step(count)
            return self.state()

    async def previous(self) -> dict[str, Any]:
        """Starts the track again if it is more than 3 s in, else plays the one before.

        Raises:
            NothingToPlay: the playlist is empty.
        """
        async with self._turn:
            await self._programme.attend()
            current = self._programme.current
            before = self._playlist.step(-1, self._controls.loop)
            if current is not None and (current.position_sec > RESTART_SEC or before is None):
                await self._programme.jump(current, 0.0)
            else:
                await self._programme.step(-1 if before is not None else 0)
            return self.state()

    async def seek(
        self, *, position_sec: float | None = None, delta_sec: float | None = None
    ) -> dict[str, Any]:
        """Jumps within the current track; past its ends means to them.

        Raises:
            NothingToPlay: there is no current track.
        """
        async with self._turn:
            await self._programme.attend()
            entry = self._playlist.current
            if entry is None:
                raise NothingToPlay("there is no track to seek in")
            if position_sec is None:
                if delta_sec is None:
                    raise InvalidParams("seek needs position_sec or delta_sec")
                position_sec = self.state()["position_sec"] + delta_sec
            target_sec = max(0.0, min(position_sec, entry.duration_sec))
            if self._programme.current is None:
                self._programme.start_sec = target_sec
                self._programme.tell_state()
            else:
                await self._programme.jump(self._programme.current, target_sec)
            return self.state()

    async def volume_set(
        self, *, level: float | None = None, delta: float | None = None
    ) -> dict[str, Any]:
        if level is None:
            level = self._controls.volume + (delta or 0.0)
        self._controls.volume = level
        self._stage.set_volume(self._controls.gain)
        self._programme.tell_state()
        return await self.volume_get()

    async def volume_get(self) -> dict[str, Any]:
        return {"level": self._controls.volume, "muted": self._controls.muted}

    async def mute(self, *, muted: bool | None = None) -> dict[str, Any]:
        self._controls.muted = not self._controls.muted if muted is None else muted
        self._stage.set_volume(self._controls.gain)
        self._programme.tell_state()
        return {"muted": self._controls.muted}

    async def audio_devices(self) -> dict[str, Any]:
        output = self._stage.output
        available = [asdict(device) for device in await output.devices()]
        default = next((one["name"] for one in available if one["is_default"]), None)
        return {
            "current": output.name or self._controls.device or default,
            "available": available,
            "backend": output.kind,
        }

    async def audio_device_set(self, *, device: str | None) -> dict[str, Any]:
        """Plays on `device`, or wherever the system's default is (None).

        Raises:
            AudioDeviceError: there is no such device; the old one plays on.
        """
        await self._configure("audio.device", device)
        return {"device": device}

    # Tracks that come and go.

    async def append(self, track: PlayableTrack) -> None:
        """Appends a finished track (`auto_play`); it starts if nothing plays. Call it after
        `generation_complete` was emitted."""
        async with self._turn:
            await self._programme.attend()
            await self._programme.append(self._shelf.entry(track))

    async def append_live(self, live: LiveTrack) -> None:
        """Appends a track that is being rendered; it starts, if nothing plays, as soon as it is
        sure to stay ahead."""
        async with self._turn:
            await self._programme.attend()
            await self._programme.append(self._shelf.begin(live, self._clock.monotonic()))

    def live_progress(self, track_id: str, frames: int) -> None:
        """The spool of `track_id` holds `frames` final frames now. Unknown ids are ignored."""
        if self._shelf.progress(track_id, frames, self._clock.monotonic()):
            self._stage.nudge()

    async def live_finished(self, track_id: str, track: PlayableTrack) -> None:
        """The file is complete. Call it after `generation_complete`; unknown ids are ignored. The
        spool may be deleted as soon as it returns."""
        async with self._turn:
            spool = self._shelf.finish(track_id, track)
            if spool is not None:
                self._stage.nudge()
                await self._programme.finish(spool, track)

    async def live_failed(self, track_id: str, *, cancelled: bool) -> None:
        """The job ended without a track: fades out, emits `playback_ended`, removes the entry. Call
        it before the job's terminal notification; unknown ids are ignored."""
        async with self._turn:
            await self._programme.attend()
            spool, keys = self._shelf.fail(track_id)
            if spool is not None:
                reason: Reason = "stopped" if cancelled else "error"
                await self._programme.fail(spool, keys, reason=reason)

    async def forget(self, track_ids: Collection[str]) -> None:
        """Removes tracks that are about to be deleted; a sounding one stops first."""
        async with self._turn:
            await self._programme.attend()
            await self._programme.remove(self._playlist.keys(track_ids))
