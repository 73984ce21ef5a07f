"""Plays events into five buses and mixes them, one quantum at a time, before the master.

Everything that moves with time is a function of the absolute sample, never a counter, so that a
quantum's samples do not depend on how they were asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lofi.backends.procedural.ambience import Ambience
from lofi.backends.procedural.drum_kit import DrumKit
from lofi.backends.procedural.effects import (
    HALF_TAPS,
    QUANTUM,
    TONE_SIZE,
    Echo,
    Reverb,
    Tape,
    Tone,
    coloured,
    duck_curve,
)
from lofi.backends.procedural.loudness import k_weight
from lofi.backends.procedural.notes import BUSES, Event
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.score import Score, all_events
from lofi.backends.procedural.settings import HELD, SAMPLE_RATE, Settings
from lofi.backends.procedural.styles import REVERB_SENDS
from lofi.backends.procedural.timbres import Tones, gain_of
from lofi.backends.procedural.tones import Samples, sines, smoothstep

PREROLL_SEC = 3.2
TILT_DB = 0.55
LIFTS_DB = (1.0, 2.0, 2.4, 1.8)
"""How far one track may be brighter than another per octave, and its bells stronger: each is
recorded at a desk of its own."""
BRIGHT_TILT_DB, BRIGHT_TOUCH = 1.2, 0.25
"""What an octave of brightness asked for adds to the tilt, and to the velocity notes are struck
at: the low-pass alone moves little but the hiss."""
STEEPEST_DB = 1.0
"""No desk and no word tilt a track by more."""
LONGEST_RING_SEC = 9.0
DELAY = Tape.BASE + HALF_TAPS
"""Samples by which the mixer's output lags behind the score."""
BALANCE_DB = {"keys": 2.2, "lead": 2.8, "pad": 2.5, "bass": 2.0, "drums": 1.2}
"""How far the balance of one track may lie from its style's."""
BEHIND_DB, BEFORE_DB = -2.5, 2.5
"""Without drums, chords that swell carry no beat: they step behind the lead that strikes it."""
TREMOLO_HZ, TREMOLO_DEPTH = 4.6, 0.16
DOOR_CLOSES = 0.06
"""Share of a breakdown in which its door falls shut; an intro begins behind it."""
VIBES_HZ, VIBES_DEPTH = 5.2, 0.22


@dataclass(slots=True)
class _Voice:
    """One event that sounds now."""

    event: Event
    samples: Samples
    looped: bool
    attack: int
    release: int
    left: float
    right: float
    end: int
    """First sample at which it is silent."""


class Feed:
    """Hands out events as time goes by; writes the score just ahead of the music."""

    def __init__(self, score: Score, start: int, period: int | None) -> None:
        self._score = score
        self._next = 0
        self._waiting: list[Event] = []
        if period is not None:
            self._waiting = _circular(all_events(score), start, period)
            self._next = score.count

    def before(self, sample: int) -> list[Event]:
        """Returns the events not yet handed out that start before `sample`, in order."""
        fresh = False
        while self._next < self._score.count and self._score.start_sample(self._next) < sample:
            self._waiting += self._score.passage(self._next).events
            self._next += 1
            fresh = True
        if fresh:
            self._waiting.sort(key=_order)
        cut = 0
        while cut < len(self._waiting) and self._waiting[cut].start < sample:
            cut += 1
        ready, self._waiting = self._waiting[:cut], self._waiting[cut:]
        return ready


def _order(event: Event) -> tuple[int, str, str, int]:
    return (event.start, event.bus, event.instrument, event.midi)


def _circular(events: list[Event], start: int, period: int) -> list[Event]:
    """Returns the events of a loop as they fall from `start` to one turn after its end."""
    turns = -(-(round(LONGEST_RING_SEC * SAMPLE_RATE) - start) // period)
    copies = []
    for turn in range(-turns, 2):
        for event in events:
            at = event.start % period + turn * period
            if at < 2 * period:
                copies.append(replace(event, start=at))
    return sorted(copies, key=_order)


class Mixer:
    """The whole chain up to the gain. Call `quantum` again and again.

    Args:
        settings: the track.
        score: its score, written as far as needed.
        period: the loop's length in samples, or None.
    """

    def __init__(self, settings: Settings, score: Score, period: int | None = None) -> None:
        style = settings.style
        self._settings = settings
        self._period = period
        self.start = 0
        """Time of the next quantum's first sample, in samples of the score."""
        if period is not None:
            self.start = -QUANTUM * math.ceil(PREROLL_SEC * SAMPLE_RATE / QUANTUM)
        self._feed = Feed(score, self.start, period)
        self._tones = Tones()
        self.kit = DrumKit(settings)
        self._voices: list[_Voice] = []
        self._kicks: list[int] = []
        self.levels = bus_levels(settings)
        self._ambience = Ambience(settings, period)
        self._echo = Echo(round(0.75 * settings.beat_sec * SAMPLE_RATE))
        self._reverb = Reverb(settings.reverb, style.reverb_tail_sec)
        self._tape = Tape(settings.wobble, period)
        darkest = 0.1 if style.name == "ambient" else -TILT_DB  # it is dark already
        desk = Draws(settings.seed, "tilt")
        tilt_db = desk.between(darkest, TILT_DB) + BRIGHT_TILT_DB * settings.bright
        tilt_db = min(STEEPEST_DB, max(-STEEPEST_DB, tilt_db))
        lifts_db = tuple(desk.between(-lift, lift) for lift in LIFTS_DB)
        self._tone = Tone(settings.lowpass_hz, tilt_db, lifts_db)
        bar = settings.bar_sec * SAMPLE_RATE
        self._doors = [(s.start_bar * bar, s.bars * bar) for s in score.form.sections if s.door]
        self._weight = k_weight(TONE_SIZE)

    def quantum(self) -> tuple[Samples, float]:
        """Returns the next [2, QUANTUM] before gain, `DELAY` late, and its K-weighted power."""
        start, end = self.start, self.start + QUANTUM
        self._wake(end)
        used = {voice.event.bus for voice in self._voices}
        buses = {bus: np.zeros((2, QUANTUM)) for bus in BUSES if bus in used}
        fan = self._fan(start)
        for voice in self._voices:
            turning = fan if voice.event.instrument == "vibes" else None
            _play(voice, buses[voice.event.bus], start, turning)
        self._voices = [voice for voice in self._voices if voice.end > end]
        self._tremble(buses, start)
        self._press(buses, start)
        mixed = self._mix(buses)
        self._ambience.add(mixed, start)
        taped = self._tape.process(mixed, start)
        out, spectrum = self._tone.process(taped, self._shut(start))
        self.start = end
        weighed = np.sum(np.abs(spectrum) ** 2, axis=0) * self._weight
        size = 2 * (len(self._weight) - 1)
        return out, float(2 * np.sum(weighed)) / size / size

    def _wake(self, end: int) -> None:
        for event in self._feed.before(end):
            voice = self._voice(event)
            if voice.end <= self.start:
                continue
            self._voices.append(voice)
            if event.instrument == "kick":
                self._kicks.append(event.start)

    def _voice(self, event: Event) -> _Voice:
        angle = (event.pan + 1) * math.pi / 4
        level = math.sqrt(2) * self.levels[event.bus]
        left, right = level * math.cos(angle), level * math.sin(angle)
        if event.bus == "drums":
            hit = self.kit.get(event.instrument, event.midi)[None, :]
            gain = event.velocity
            return _Voice(
                event, hit, False, 0, 0, left * gain, right * gain, event.start + hit.shape[1]
            )
        seconds = event.length / SAMPLE_RATE + event.release_sec
        touch = BRIGHT_TOUCH * self._settings.bright
        tone = self._tones.get(event.instrument, event.midi, event.velocity + touch, seconds)
        release = max(1, round(event.release_sec * SAMPLE_RATE))
        sounding = event.length + release
        if not tone.looped:
            sounding = min(sounding, tone.samples.shape[1])
        gain = gain_of(event.instrument, event.velocity, touch)
        return _Voice(
            event,
            tone.samples,
            tone.looped,
            round(tone.attack_sec * SAMPLE_RATE),
            release,
            left * gain,
            right * gain,
            event.start + sounding,
        )

    def _fan(self, start: int) -> Samples | None:
        """Returns the vibraphone's tremolo over the quantum, or None where it is silent."""
        if all(voice.event.instrument != "vibes" for voice in self._voices):
            return None
        return 1 - VIBES_DEPTH * (0.5 - 0.5 * self._lfo(VIBES_HZ, start))

    def _tremble(self, buses: dict[str, Samples], start: int) -> None:
        settings = self._settings
        if "keys" in buses and settings.keys in ("ep", "organ"):
            wave = TREMOLO_DEPTH * self._lfo(TREMOLO_HZ, start)
            buses["keys"][0] *= 1 + wave
            buses["keys"][1] *= 1 - wave

    def _lfo(self, rate_hz: float, start: int) -> Samples:
        if self._period is not None:  # a whole number of turns
            seconds = self._period / SAMPLE_RATE
            rate_hz = max(1, round(rate_hz * seconds)) / seconds
            start %= self._period
        return sines([(rate_hz, 1.0, 0.0)], start, QUANTUM)

    def _press(self, buses: dict[str, Samples], start: int) -> None:
        """Applies the kick's duck on keys, pad and bass."""
        duck = self._settings.style.duck
        self._kicks = [kick for kick in self._kicks if kick > start - SAMPLE_RATE]
        if duck is None or not self._kicks:
            return
        curve = duck_curve(start, QUANTUM, self._kicks, duck.depth, duck.seconds)
        for bus in ("keys", "pad", "bass"):
            if bus in buses:
                buses[bus] *= curve

    def _mix(self, buses: dict[str, Samples]) -> Samples:
        settings = self._settings
        send = np.zeros(QUANTUM)
        for bus, samples in buses.items():  # in one order always: sums of floats depend on it
            if REVERB_SENDS[bus] > 0:
                level = 0.5 * REVERB_SENDS[bus] * settings.reverb
                send += level * (samples[0] + samples[1])
        mixed = settings.style.reverb_wet * self._reverb.process(send)
        for bus in ("pad", "bass"):
            if bus in buses:
                mixed += buses[bus]
        mixed += self._echo.process(buses.get("lead"))
        sampled = [buses[bus] for bus in ("keys", "drums") if bus in buses]
        if sampled:
            mixed += coloured(sum(sampled[1:], sampled[0]), settings.bits)
        return mixed

    def _shut(self, start: int) -> Samples | None:
        """Returns how far the door is shut, or None where it is open all the time."""
        first = start - DELAY
        for begin, length in self._doors:
            if begin - QUANTUM < first < begin + length:
                u = np.clip((np.arange(first, first + QUANTUM) - begin) / length, 0.0, 1.0)
                closing = smoothstep(u / DOOR_CLOSES) if begin > 0 else 1.0
                return np.asarray(0.75 * closing * (1 - u * u))
        return None


def bus_levels(settings: Settings) -> dict[str, float]:
    """Returns the gain of each bus: the style's, moved by the prompt's words."""
    draws = Draws(settings.seed, "balance")
    levels = {
        bus: level * 10 ** (draws.between(-BALANCE_DB[bus], BALANCE_DB[bus]) / 20)
        for bus, level in settings.style.levels.items()
    }
    if settings.keys in HELD and settings.kit == "none":
        levels["keys"] *= 10 ** (BEHIND_DB / 20)
        levels["lead"] *= 10 ** (BEFORE_DB / 20)
    levels["lead"] *= settings.lead_level
    levels["bass"] *= settings.bass_level / math.sqrt(2)
    return levels


def _play(voice: _Voice, bus: Samples, start: int, fan: Samples | None = None) -> None:
    """Adds what of `voice` falls into the bus's quantum, which begins at `start`.

    `fan` is the vibraphone's tremolo over the quantum.
    """
    event = voice.event
    low, high = max(start, event.start), min(start + bus.shape[1], voice.end)
    if low >= high:
        return
    first, last = low - event.start, high - event.start
    piece = _cut(voice, first, last)
    if first < voice.attack:
        piece = piece * smoothstep(np.arange(first, last) / voice.attack)
    if voice.release and last > event.length:
        fall = 1 - (np.arange(first, last) - event.length) / voice.release
        piece = piece * smoothstep(fall)
    a, b = low - start, high - start
    if fan is not None:
        piece = piece * fan[a:b]
    bus[0, a:b] += voice.left * piece[0]
    bus[1, a:b] += voice.right * piece[-1]


def _cut(voice: _Voice, first: int, last: int) -> Samples:
    samples = voice.samples
    if not voice.looped:
        return samples[:, first:last]
    size = samples.shape[1]
    begin = first % size
    if begin + last - first <= size:
        return samples[:, begin : begin + last - first]
    return np.concatenate([samples[:, begin:], samples[:, : last - first - (size - begin)]], axis=1)
