"""What is on and what comes next: the state machine of the player.

Requests (`playback.py`) and the stage's events both end here, one at a time; sound is the stage's,
words are the bulletin's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from lofi.daemon.player.bulletin import Bulletin, Reason
from lofi.daemon.player.controls import Controls
from lofi.daemon.player.decode import FileSource, Spool
from lofi.daemon.player.desk import CLOSE_FADE_SEC, STOP_FADE_SEC
from lofi.daemon.player.memory import Memory, State
from lofi.daemon.player.playable import Clock, PlayableTrack
from lofi.daemon.player.playing import Playing, prepare
from lofi.daemon.player.playlist import Entry, Playlist
from lofi.daemon.player.shelf import Shelf
from lofi.daemon.player.stage import Stage
from lofi.errors import LofiError, NothingToPlay

logger = logging.getLogger(__name__)

STATE_SEC = 10.0
"""How often clients hear the position while something plays."""
LISTENED_SEC = 30.0
GAIN_GLIDE_SEC = 2.0


class Programme:
    """Carries the playlist through time.

    Args:
        on_listened: called once per track that was heard for 30 s or half of it.
    """

    def __init__(
        self,
        *,
        playlist: Playlist,
        shelf: Shelf,
        stage: Stage,
        controls: Controls,
        bulletin: Bulletin,
        clock: Clock,
        on_listened: Callable[[str], None],
    ) -> None:
        self.state: State = "stopped"
        self.current: Playing | None = None
        self.start_sec = 0.0
        """Where the current entry begins when it is played from `stopped`."""
        self._next: Playing | None = None
        self._playlist = playlist
        self._shelf = shelf
        self._stage = stage
        self._controls = controls
        self._bulletin = bulletin
        self._clock = clock
        self._on_listened = on_listened

    def playback(self) -> dict[str, Any]:
        """Returns the `playback` object."""
        entry, controls = self._playlist.current, self._controls
        position_sec = self.start_sec if self.current is None else self.current.position_sec
        return {
            "state": self.state,
            "track_id": None if entry is None else entry.track_id,
            "title": None if entry is None else entry.title,
            "position_sec": round(position_sec, 3),
            "duration_sec": None if entry is None else entry.duration_sec,
            "volume": controls.volume,
            "muted": controls.muted,
            "loop": controls.loop,
            "shuffle": controls.shuffle,
            "crossfade_sec": controls.crossfade_sec,
            "index": self._playlist.index,
            "playlist_length": len(self._playlist),
            "device": self._stage.output.name or controls.device,
            "radio": False,
        }

    async def attend(self) -> None:
        """Catches up with what was heard meanwhile. To be called before each request, and
        whenever the stage reports a change or some time has passed."""
        for happening in self._stage.happenings():
            current = self.current
            if current is None or happening.take is not current.take:
                continue
            if happening.kind == "started":
                current.is_heard = True
                self._announce(current)
            elif happening.kind == "ended":
                await self._ended(current)
            else:
                self.tell_state()
        if await self._stage.watch():
            self.tell_state()
        self._count_listened()
        await self.plan_next()
        due = self._bulletin.state_told_at + STATE_SEC
        if self.state == "playing" and self._clock.monotonic() >= due:
            self.tell_state()

    async def _ended(self, current: Playing) -> None:
        error = current.take.voice.stream.error
        if error is not None:
            self._bulletin.error(error, current.entry.track_id)
        successor, self._next = self._next, None
        self._leave(current, "finished" if error is None else "error")
        if successor is not None and self._stage.lead is successor.take:
            self.current = successor
            self._playlist.select(successor.entry)
            self.tell_playlist()
            if self.state != "playing":
                self.tell_state()  # a pause fell between the two
            return
        following = self._playlist.following(self._controls.loop)
        if following is None or (error is not None and following is self._playlist.current):
            self._come_to_rest()
        else:
            await self.start_from(following)

    async def start_from(self, entry: Entry) -> None:
        """Plays `entry`, or the next after it that can be played; stops if none can."""
        self._playlist.select(entry)
        for _ in range(len(self._playlist)):
            try:
                playing = await self.prepared(entry, 0.0)
            except LofiError as error:
                self._bulletin.error(error, entry.track_id)
            else:
                await self.switch(playing, "skipped")
                return
            following = self._playlist.step(1, self._controls.loop)
            if following is None:
                break
            entry = following
            self._playlist.select(entry)
        self._come_to_rest()

    async def prepared(self, entry: Entry, start_sec: float) -> Playing:
        """Returns `entry` ready to be heard from `start_sec` on; raises what `prepare` does."""
        return await prepare(entry, start_sec, self._shelf, self._stage, self._controls)

    async def switch(self, playing: Playing, reason: Reason) -> None:
        """Goes on with a prepared entry of the playlist."""
        if self.current is not None:
            self._leave(self.current, reason)
        self._next = None
        self.current = playing
        self.start_sec = 0.0
        self._playlist.select(playing.entry)
        self.state = "playing"
        self.tell_playlist()
        await self._stage.play(playing.take)
        await self.plan_next()

    async def jump(self, current: Playing, target_sec: float) -> None:
        """Goes on with the same entry at another place."""
        playing = await self.prepared(current.entry, target_sec)
        playing.take.listened_before_sec = current.take.listened_sec
        playing.is_heard, playing.is_announced = current.is_heard, current.is_announced
        playing.is_counted = current.is_counted
        self._next = None
        self.current = playing
        await self._stage.cut(playing.take)
        self.tell_state()
        await self.plan_next()

    async def go_on(self, position_sec: float | None) -> None:
        """Resumes, else plays the current entry, else the newest track.

        Raises:
            NothingToPlay: there is none.
        """
        if self.current is not None:
            if position_sec is not None:
                await self.jump(self.current, min(position_sec, self.current.entry.duration_sec))
            await self.resume()
            return
        entry = self._playlist.current or self._playlist.step(0, "off")
        if entry is None:
            newest = self._shelf.newest()
            if newest is None:
                raise NothingToPlay("there is no track yet")
            entry = self._shelf.entry(newest)
            playing = await self.prepared(entry, position_sec or 0.0)
            self._playlist.append(entry)
        else:
            start_sec = self.start_sec if position_sec is None else position_sec
            playing = await self.prepared(entry, start_sec)
        await self.switch(playing, "replaced")

    async def step(self, distance: int) -> None:
        """Goes `distance` entries on; past the end of a list that is not looped, stops.

        Raises:
            NothingToPlay: the playlist is empty.
        """
        if not len(self._playlist):
            raise NothingToPlay("the playlist is empty")
        entry = self._playlist.step(distance, self._controls.loop)
        if entry is None:
            if self.state != "stopped":
                self.halt("skipped")
        elif self.state == "stopped":
            self._playlist.select(entry)
            self.start_sec = 0.0
            self.tell_playlist()
            self.tell_state()
        else:
            await self.switch(await self.prepared(entry, 0.0), "skipped")

    def memory(self) -> Memory:
        """Returns what is on, for another life."""
        return Memory(
            items=tuple(self._shelf.item(entry) for entry in self._playlist.entries),
            index=self._playlist.index,
            position_sec=self.playback()["position_sec"],
            state=self.state,
            volume=self._controls.volume,
            muted=self._controls.muted,
        )

    def recall(self, memory: Memory) -> None:
        """Puts what was on once back in its place; what was heard then is paused now."""
        self._controls.volume, self._controls.muted = memory.volume, memory.muted
        self._stage.set_volume(self._controls.gain)
        position_sec = self._shelf.bring_back(memory)
        if memory.state != "stopped" and self._playlist.current is not None:
            self.state, self.start_sec = "paused", position_sec
        self.tell_playlist()
        self.tell_state()

    def pause(self) -> None:
        if self.state == "playing":
            self._stage.pause()
            self.state = "paused"
            if self.current is not None:
                self._bulletin.paused(self.current.entry, self.current.position_sec)
            self.tell_state()

    async def resume(self) -> None:
        if self.state == "paused" and self.current is None:
            await self.go_on(None)  # paused in an earlier life of the daemon
        elif self.state == "paused":
            self.state = "playing"
            await self._stage.resume()
            if self.current is not None:
                self._announce(self.current)
                self._bulletin.resumed(self.current.entry, self.current.position_sec)
            self.tell_state()

    async def append(self, entry: Entry) -> None:
        """Appends `entry`; it starts if nothing is on."""
        self._playlist.append(entry)
        if self.current is None:
            await self.start_from(entry)  # which tells of the playlist, once
        else:
            self.tell_playlist()
            await self.plan_next()

    async def plan_next(self) -> None:
        """Puts what follows behind the current track once that is decoded to its end."""
        if self._next is not None and self._stage.queued is not self._next.take:
            self._next = None  # dropped on the way to another output
        current, following = self.current, None
        if current is not None and current.take.voice.stream.is_complete:
            following = self._playlist.following(self._controls.loop)
        if following is None or (current is not None and current.take.voice.stream.error):
            if self._next is not None:
                self._next = None
                await self._stage.queue(None)
            return
        if self._next is not None and self._next.entry.key == following.key:
            return
        try:
            self._next = await self.prepared(following, 0.0)
        except LofiError as error:
            logger.info("what follows cannot be played: %s", error)  # told when its turn comes
            self._next = None
        await self._stage.queue(None if self._next is None else self._next.take)

    def halt(self, reason: Reason, *, fade_sec: float = STOP_FADE_SEC) -> None:
        """Falls silent at once; the playlist stays, the current track is at its start again."""
        self._stage.silence(fade_sec)
        if self.current is not None:
            self._leave(self.current, reason)
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self.current = self._next = None
        self.start_sec = 0.0
        self.state = "stopped"
        self.tell_playlist()
        self.tell_state()

    def _leave(self, playing: Playing, reason: Reason) -> None:
        self._count_listened()
        self._stage.release(playing.take)
        self.current = None
        if playing.is_announced:
            self._bulletin.ended(playing.entry, reason, playing.position_sec)

    def _announce(self, playing: Playing) -> None:
        """Tells of a track once it is heard; one paused before that, when it goes on."""
        if playing.is_heard and self.state == "playing" and not playing.is_announced:
            playing.is_announced = True
            self._bulletin.started(
                playing.entry,
                path=None if playing.track is None else playing.track.path,
                position_sec=playing.take.start_sec,
                index=self._playlist.index,
            )
            self.tell_state()

    def _count_listened(self) -> None:
        current = self.current
        if current is None or current.is_counted or self._shelf.is_file(current.entry.track_id):
            return
        if current.take.listened_sec >= min(LISTENED_SEC, current.entry.duration_sec / 2) > 0:
            current.is_counted = True
            self._on_listened(current.entry.track_id)

    def normalize(self) -> None:
        """Brings what is at the stage to the loudness it should have by now."""
        for playing in (self.current, self._next):
            if playing is not None and playing.track is not None:
                gain = self._controls.gain_of(playing.track)
                self._stage.set_gain(playing.take, gain, GAIN_GLIDE_SEC)

    async def finish(self, spool: Spool, track: PlayableTrack) -> None:
        """The spool's track is complete: those who hear it go on with the file."""
        for key in self._playlist.keys({track.track_id}):
            self._playlist.update(
                key, title=track.title, prompt=track.prompt, duration_sec=track.duration_sec
            )
        self.tell_playlist()
        for playing in (self.current, self._next):
            position = None if playing is None else self._playlist.position(playing.entry.key)
            if playing is not None and playing.spool is spool and position is not None:
                playing.entry = self._playlist.entries[position]
                playing.track, playing.spool = track, None
                playing.take.open_source = partial(FileSource, track.path)
        self.normalize()
        if self.current is not None and self.current.track is track:
            self.tell_state()

    async def fail(self, spool: Spool, keys: set[int], *, reason: Reason) -> None:
        """The spool's track will never be complete: its entries leave, the next one plays."""
        is_sounding = self.current is not None and self.current.spool is spool
        was_playing = self.state == "playing"
        successor = self._playlist.step(1, "off")
        if is_sounding:
            self.halt(reason, fade_sec=CLOSE_FADE_SEC)
        self._playlist.remove(keys)
        self.tell_playlist()
        if is_sounding:
            if was_playing and successor is not None and successor in self._playlist.entries:
                await self.start_from(successor)
            else:
                self.tell_state()
        await self.plan_next()

    async def remove(self, keys: list[int]) -> None:
        """Takes entries out of the playlist; if the current one is on, it stops first."""
        selected = self._playlist.current
        if self.current is not None and self.current.entry.key in keys:
            self.halt("stopped")
        self._playlist.remove(keys)
        if self.current is None and selected is not None and selected.key in keys:
            self._come_to_rest()  # the place to start from was one in what has left
        else:
            self.tell_playlist()
        await self.plan_next()

    async def settle(self) -> None:
        """Lets the stage follow a changed output, and plans anew."""
        if self._stage.output.sample_rate is not None:  # else nothing is open, and nothing need be
            await self._stage.refit()
        await self.plan_next()

    def close(self) -> None:
        """Nothing is on any more; says nothing."""
        self._count_listened()
        self.current = self._next = None
        self.state = "stopped"

    def tell_state(self) -> None:
        self._bulletin.state(self.playback())

    def tell_playlist(self) -> None:
        self._bulletin.playlist(self._playlist)
