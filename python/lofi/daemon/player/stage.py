"""Desk, feeder and output as one: takes of tracks go in, sound comes out at the output's rate.

It knows neither playlist nor notifications; `playback.py` decides what is played, this plays it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lofi.daemon.player import samples
from lofi.daemon.player.decode import Source
from lofi.daemon.player.desk import CLOSE_FADE_SEC, SEEK_RAMP_SEC, Desk, Voice
from lofi.daemon.player.device import PERIOD_MSEC, PERIODS
from lofi.daemon.player.output import Clock, Output
from lofi.daemon.player.samples import Block
from lofi.daemon.player.sink import CLOCK_RATE
from lofi.daemon.player.stream import Feeder, Stream
from lofi.errors import AudioPlaybackError

OPEN_LIMIT_SEC = 5.0
"""A file on a disk that sleeps takes seconds; one that takes longer is an error."""
IDLE_SEC = 3.0
"""After so much silence the output is stopped: an idle player costs nothing."""
CLOSE_LIMIT_SEC = 0.3

OpenSource = Callable[[float], Source]
"""Opens a track's source at a position in seconds."""


@dataclass(slots=True, eq=False)
class Take:
    """One stretch of listening to one track, from `start_sec` on."""

    voice: Voice
    start_sec: float
    open_source: OpenSource
    listened_before_sec: float = 0.0
    """Heard of the same playing before `start_sec` was jumped to."""

    @property
    def position_sec(self) -> float:
        """Where the next frame for the device stands in the track."""
        return self.start_sec + self._delivered_sec

    @property
    def listened_sec(self) -> float:
        """How long the track has been heard since it was put on, jumps or not."""
        return self.listened_before_sec + self._delivered_sec

    @property
    def _delivered_sec(self) -> float:
        return self.voice.delivered / self.voice.stream.sample_rate


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened to a take, in the order in which it is heard."""

    kind: Literal["started", "waiting", "continued", "ended"]
    take: Take


class Stage:
    """Plays takes.

    Args:
        make_output: makes the output around the given `fill`.
        volume: linear gain to start with.
        on_change: something happened that `happenings` tells, or a take is decoded to its end;
            called on the loop.
    """

    def __init__(
        self,
        make_output: Callable[[Callable[[Block], None]], Output],
        *,
        volume: float,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self.output = make_output(self._fill)
        self._clock = clock
        self._volume = volume
        self._on_change = on_change
        self._loop: asyncio.AbstractEventLoop | None = None
        self._desk = Desk(CLOCK_RATE, volume=volume, on_event=self._call_loop)
        self._feeder = Feeder(lambda stream: self._call_loop())
        self._lead: Take | None = None
        self._queued: Take | None = None
        self._is_held = False
        self._idle_since: float | None = None

    @property
    def lead(self) -> Take | None:
        """What sounds, or will as soon as it can."""
        return self._lead

    @property
    def queued(self) -> Take | None:
        """What will follow the last frame of what sounds."""
        return self._queued

    async def prepare(self, open_source: OpenSource, start_sec: float, gain: float) -> Take:
        """Returns a take whose first sound is decoded, or is known to come later.

        Raises:
            AudioDeviceError: no output can be had.
            AudioPlaybackError: the track cannot be decoded.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(samples.prepare)  # read already, but for sound before any job
        await self._fit(await self.output.open())
        return await self._prepared(open_source, start_sec, gain)

    async def cut(self, take: Take, fade_sec: float = SEEK_RAMP_SEC) -> None:
        """Goes on with `take` at once, heard or held as things are."""
        self._change_lead(take, fade_sec)
        if not self._is_held:
            await self._start()

    async def play(self, take: Take) -> None:
        """Goes on with `take` at once, heard even if the one before was held."""
        self._change_lead(take, SEEK_RAMP_SEC)
        self._is_held = False
        self._desk.unpause()
        await self._start()

    def silence(self, fade_sec: float) -> None:
        """Ends what sounds and forgets what was queued."""
        self._change_lead(None, fade_sec)
        self._is_held = False

    async def queue(self, take: Take | None) -> None:
        """Puts `take` right behind the last frame of what sounds, instead of what was there."""
        before, self._queued = self._queued, take
        self._desk.queue(None if take is None else take.voice)
        if before is not None:
            self._feeder.remove(before.voice.stream)

    def pause(self) -> None:
        self._is_held = True
        self._desk.pause()

    async def resume(self) -> None:
        self._is_held = False
        self._desk.resume()
        await self._start()

    def set_volume(self, gain: float) -> None:
        self._volume = gain
        self._desk.set_volume(gain)

    def set_gain(self, take: Take, gain: float, ramp_sec: float) -> None:
        self._desk.set_voice_gain(take.voice, gain, ramp_sec)

    def release(self, take: Take) -> None:
        """Lets go of a take that will not be heard, or was heard to its end."""
        self._feeder.remove(take.voice.stream)

    def nudge(self) -> None:
        """A spool grew: the decoder may go on."""
        self._feeder.nudge()

    def happenings(self) -> list[Happening]:
        """Takes what happened since the last call; an end moves the queued take to the lead."""
        told: list[Happening] = []
        for event in self._desk.events():
            lead = self._lead
            if lead is None or event.voice is not lead.voice:
                continue
            told.append(Happening(event.kind, lead))
            if event.kind == "ended":
                self._lead, self._queued = self._queued, None
        return told

    async def watch(self) -> bool:
        """Looks after the output; True if sound goes elsewhere from now on. Call it regularly."""
        now = self._clock.monotonic()
        if not self._desk.is_idle:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= IDLE_SEC and self.output.is_running:
            await self.output.rest()
        if await self.output.check():
            await self.refit()
            return True
        return False

    async def refit(self) -> None:
        """Follows the output to another sample rate, at the same position."""
        await self._fit(await self.output.open())

    async def close(self) -> None:
        """Fades out and lets go of everything."""
        if self.output.is_running and not self._desk.is_idle:
            self.silence(CLOSE_FADE_SEC)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_SEC):
                    while not self._desk.is_idle:
                        await asyncio.sleep(0.01)
            await asyncio.sleep(PERIODS * PERIOD_MSEC / 1000)  # what the device still holds
        await self.output.close()
        self._feeder.close()

    async def _prepared(self, open_source: OpenSource, start_sec: float, gain: float) -> Take:
        stream = Stream(lambda: open_source(start_sec), self._desk.sample_rate)
        self._feeder.add(stream)
        try:
            async with asyncio.timeout(OPEN_LIMIT_SEC):
                await asyncio.wrap_future(stream.opened)
        except TimeoutError as error:
            self._feeder.remove(stream)
            raise AudioPlaybackError(
                "the file did not open in time", hint="Is the disk there and awake?"
            ) from error
        except BaseException:
            self._feeder.remove(stream)
            raise
        return Take(Voice(stream, gain=gain, ramped=start_sec > 0), start_sec, open_source)

    def _change_lead(self, take: Take | None, fade_sec: float) -> None:
        self._desk.cut(None if take is None else take.voice, fade_sec=fade_sec)
        for gone in (self._lead, self._queued):
            if gone is not None:
                self._feeder.remove(gone.voice.stream)
        self._lead, self._queued = take, None

    async def _start(self) -> None:
        await self.output.start()
        self._idle_since = None
        await self.refit()  # another sink may have had to take its place
        self._on_change()

    async def _fit(self, sample_rate: int) -> None:
        if sample_rate == self._desk.sample_rate:
            return
        lead, queued = self._lead, self._queued
        self._desk = Desk(sample_rate, volume=self._volume, on_event=self._call_loop)
        self._lead, self._queued = None, None
        for gone in (lead, queued):
            if gone is not None:
                self._feeder.remove(gone.voice.stream)
        if lead is None:
            return
        moved = await self._prepared(lead.open_source, lead.position_sec, lead.voice.gain.target)
        if self._is_held:
            self._desk.hold()
        # The same take goes on: whoever holds it need not know.
        lead.listened_before_sec = lead.listened_sec
        lead.voice, lead.start_sec = moved.voice, moved.start_sec
        self._lead = lead
        self._desk.cut(lead.voice)

    def _fill(self, out: Block) -> None:
        desk = self._desk
        if self.output.sample_rate == desk.sample_rate:
            desk.fill(out)
        else:
            out.fill(0.0)  # the sink has changed and the desk follows

    def _call_loop(self) -> None:
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(self._on_change)
            except RuntimeError:  # the loop has ended; nobody is left to hear it
                return
