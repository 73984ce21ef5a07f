"""The mixing desk: everything that happens inside the device callback.

The loop speaks to it only through a queue of commands, and hears from it only through a queue of
events; neither side ever waits for the other. What it plays lies decoded in the voices' rings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from lofi.daemon.player.mixer import BLOCK_LIMIT_FRAMES, CHANNELS, Ramp, limit
from lofi.daemon.player.samples import Block, np
from lofi.daemon.player.stream import Stream

VOLUME_RAMP_SEC = 0.01
PAUSE_RAMP_SEC = 0.01
SEEK_RAMP_SEC = 0.005
STARVE_RAMP_SEC = 0.01
STOP_FADE_SEC = 0.02
"""With a period of 20 ms before it begins, silence is 40 ms after the request."""
CLOSE_FADE_SEC = 0.05


class Voice:
    """One track at the desk.

    Args:
        gain: of this track alone (its loudness).
        ramped: starts with the short ramp of a jump into the middle, else at full level.
    """

    def __init__(self, stream: Stream, *, gain: float = 1.0, ramped: bool = False) -> None:
        self.stream = stream
        self.delivered = 0
        """Frames that went to the device."""
        self.waits = 0
        """How often the decoder or the renderer was late."""
        self.gain = Ramp(gain)
        self.fade = Ramp(0.0 if ramped else 1.0)
        if ramped:
            self.fade.aim(1.0, round(SEEK_RAMP_SEC * stream.sample_rate))
        self._starve_frames = round(STARVE_RAMP_SEC * stream.sample_rate)
        self._is_waiting = True
        self._has_started = False

    @property
    def is_sounding(self) -> bool:
        """Whether more of it may be heard: not waiting, not faded out, not at its end."""
        is_faded_out = self.fade.left == 0 and self.fade.value == 0.0
        return not (self._is_waiting or is_faded_out or self.is_over)

    @property
    def is_over(self) -> bool:
        """Whether its last frame has been played."""
        return self.stream.is_complete and self.stream.ring.available == 0

    def render(self, out: Block, post: Callable[[Event], None]) -> int:
        """Fills `out`; returns how many frames of it, fewer than all if the track ended there."""
        stream = self.stream
        is_complete = stream.is_complete  # before looking at the ring: the order of the writer
        if self._is_waiting:
            if not (stream.is_ahead or is_complete):
                out.fill(0.0)
                return len(out)
            self._is_waiting = False
            if not self._has_started:
                self._has_started = True
                post(Event("started", self))
            else:
                self.fade.aim(1.0, self._starve_frames)
                post(Event("continued", self))
        available = stream.ring.available
        if is_complete or available >= len(out) + self._starve_frames:
            frames = stream.ring.read(out)
            self._shape(out[:frames])
            return frames
        # The writer is late. What is left is enough for a fade; after it, wait.
        frames = stream.ring.read(out[: min(len(out), available)])
        faded = min(frames, self._starve_frames)
        self._shape(out[: frames - faded])
        self.fade.aim(0.0, faded)
        self._shape(out[frames - faded : frames])
        out[frames:].fill(0.0)
        self._is_waiting = True
        self.waits += 1
        post(Event("waiting", self))
        return len(out)

    def _shape(self, block: Block) -> None:
        self.gain.apply(block)
        self.fade.apply(block)
        self.delivered += len(block)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a voice, in the order in which it is heard."""

    kind: Literal["started", "waiting", "continued", "ended"]
    voice: Voice


class Desk:
    """Mixes the leading voice, those fading out behind it, and what everybody hears of them.

    Args:
        on_event: called in the device's thread after each event; must not wait.
    """

    def __init__(self, sample_rate: int, *, volume: float, on_event: Callable[[], None]) -> None:
        self.sample_rate = sample_rate
        self.is_idle = True
        """Nothing will be heard until another command comes."""
        self._on_event = on_event
        self._commands: deque[Callable[[], None]] = deque()
        self._events: deque[Event] = deque()
        self._lead: Voice | None = None
        self._queued: Voice | None = None
        self._tails: list[Voice] = []
        self._volume = Ramp(volume)
        self._transport = Ramp(1.0)

    @cached_property
    def _scratch(self) -> Block:
        return np.zeros((BLOCK_LIMIT_FRAMES, CHANNELS), dtype=np.float32)

    # From the loop.

    def cut(self, voice: Voice | None, *, fade_sec: float = SEEK_RAMP_SEC) -> None:
        """Fades out what sounds, drops what is queued, and goes on with `voice`."""
        self._command(partial(self._cut, voice, self._frames(fade_sec)))

    def queue(self, voice: Voice | None) -> None:
        """Puts `voice` right behind the last frame of the leading one; None: nothing."""
        self._command(partial(self._queue, voice))

    def set_volume(self, gain: float) -> None:
        self._command(partial(self._volume.aim, gain, self._frames(VOLUME_RAMP_SEC)))

    def set_voice_gain(self, voice: Voice, gain: float, ramp_sec: float) -> None:
        self._command(partial(voice.gain.aim, gain, self._frames(ramp_sec)))

    def pause(self) -> None:
        """Fades out, then holds every voice where it is: no frame is lost."""
        self._command(partial(self._transport.aim, 0.0, self._frames(PAUSE_RAMP_SEC)))

    def resume(self) -> None:
        self._command(partial(self._transport.aim, 1.0, self._frames(PAUSE_RAMP_SEC)))

    def hold(self) -> None:
        """Holds every voice at once, before anything of it was heard."""
        self._command(partial(self._transport.aim, 0.0, 0))

    def unpause(self) -> None:
        """Ends a pause for a voice that was just put on: it is heard from its first frame."""
        self._command(self._unpause)

    def events(self) -> list[Event]:
        """Takes the events since the last call."""
        taken: list[Event] = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def _command(self, command: Callable[[], None]) -> None:
        self.is_idle = False
        self._commands.append(command)

    def _frames(self, seconds: float) -> int:
        return round(seconds * self.sample_rate)

    # In the device's thread.

    def fill(self, out: Block) -> None:
        """Writes the next frames into `out` [frames, 2]; all of them, whatever happens."""
        while self._commands:
            self._commands.popleft()()
        for start in range(0, len(out), BLOCK_LIMIT_FRAMES):
            self._mix(out[start : start + BLOCK_LIMIT_FRAMES])
        if not self._commands:
            self.is_idle = self._is_held or (self._lead is None and not self._tails)

    @property
    def _is_held(self) -> bool:
        return self._transport.left == 0 and self._transport.value == 0.0

    def _mix(self, out: Block) -> None:
        if self._is_held:
            out.fill(0.0)
            return
        heard = out
        if self._transport.target == 0.0:
            # Not one frame more than the ramp: the next is the first after resuming.
            heard = out[: self._transport.left]
            out[len(heard) :].fill(0.0)
        self._play_lead(heard)
        if self._tails:
            self._play_tails(heard)
        self._transport.apply(heard)
        self._volume.apply(heard)
        limit(heard)

    def _play_lead(self, out: Block) -> None:
        done = 0
        while self._lead is not None and done < len(out):
            done += self._lead.render(out[done:], self._post)
            if self._lead.is_over:
                self._post(Event("ended", self._lead))
                self._lead, self._queued = self._queued, None
        out[done:].fill(0.0)

    def _play_tails(self, out: Block) -> None:
        for voice in self._tails:
            block = self._scratch[: len(out)]
            frames = voice.render(block, self._ignore)
            out[:frames] += block[:frames]
        self._tails = [voice for voice in self._tails if voice.is_sounding]

    def _cut(self, voice: Voice | None, fade_frames: int) -> None:
        if self._is_held:
            self._tails.clear()
        elif self._lead is not None and self._lead.is_sounding:
            self._lead.fade.aim(0.0, fade_frames)
            self._tails.append(self._lead)
        self._lead, self._queued = voice, None

    def _queue(self, voice: Voice | None) -> None:
        if self._lead is None and voice is not None:
            self._lead = voice  # the one before it ended while the command was on its way
        else:
            self._queued = voice

    def _unpause(self) -> None:
        # In the middle of the ramp something still sounds; that must not step back up.
        self._transport.aim(1.0, 0 if self._is_held else self._frames(PAUSE_RAMP_SEC))

    def _post(self, event: Event) -> None:
        self._events.append(event)
        self._on_event()

    @staticmethod
    def _ignore(event: Event) -> None:
        """Nobody needs to know how a voice fares that is fading out."""
