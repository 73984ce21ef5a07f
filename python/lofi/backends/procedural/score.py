"""Calls the musicians, section by section, and hands out events in the order they sound.

Sections are written when they are wanted: the first sound of a ten-minute track does not wait for
its ninth minute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lofi.backends.procedural import form as forms
from lofi.backends.procedural import groove, harmony, keys, signature, voicing
from lofi.backends.procedural.bass import RELEASE_SEC as BASS_RELEASE_SEC
from lofi.backends.procedural.bass import Bassist, near
from lofi.backends.procedural.drums import HITS_LAST_BEATS, Drummer
from lofi.backends.procedural.form import Section
from lofi.backends.procedural.melody import Melodist
from lofi.backends.procedural.notes import Bar, Event, Note, VoicedSlot
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import SAMPLE_RATE, Settings

ROLL_SEC = 0.028
PHRASE_SWELL = (0.96, 0.98, 1.0, 1.03)
"""How loud each bar of a four-bar phrase is played."""
FINAL_INSTEAD = {"stab": "ep"}
RING_BEATS = 16.0


@dataclass(frozen=True, slots=True)
class Passage:
    """One written section: its events, and where it lies."""

    section: Section
    bars: tuple[Bar, ...]
    notes: tuple[Note, ...]
    events: tuple[Event, ...]


class Score:
    """Writes one track. Ask `passage(index)` in order; `count` says how many there are."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.form = forms.plan(settings)
        self.harmony = harmony.compose(settings, self.form)
        self._voicing: voicing.Voicing | None = None
        self._centre = voicing.centre_of(settings.seed, settings.keys, settings.bright)
        self._bassist = Bassist(settings)
        self._drummer = Drummer(settings)
        self._melodist = Melodist(settings)
        self._written: list[Passage] = []

    @property
    def count(self) -> int:
        """Number of passages: the sections, and the last chord if there is one."""
        return len(self.form.sections) + (1 if self.form.final else 0)

    @property
    def end_sample(self) -> int:
        """The sample on which the last chord starts, or the loop ends."""
        return round(self.form.end_beat * self.settings.beat_sec * SAMPLE_RATE)

    def passage(self, index: int) -> Passage:
        """Returns passage `index`, writing it and those before it if need be."""
        while len(self._written) <= index:
            self._written.append(self._write(len(self._written)))
        return self._written[index]

    def start_sample(self, index: int) -> int:
        """Returns the sample before which no event of passage `index` starts."""
        if index >= len(self.form.sections):
            beat = self.form.end_beat
        else:
            beat = self.form.sections[index].start_bar * self.form.bar_beats
        early_sec = 0.2  # grace notes, an early bass and jitter come before the bar line
        return max(0, round((beat * self.settings.beat_sec - early_sec) * SAMPLE_RATE))

    def _write(self, index: int) -> Passage:
        if index >= len(self.form.sections):
            return self._ending()
        settings, section = self.settings, self.form.sections[index]
        bars = self._bars(section)
        notes = [
            *keys.play(section, bars, settings),
            *keys.play_pad(section, bars, settings),
            *self._bassist.play(section, bars),
            *self._drummer.play(section, bars),
            *self._melodist.play(section, bars),
        ]
        notes = [*signature.play(section, bars, settings), *map(_phrased(bars), notes)]
        events = groove.perform(notes, settings, index)
        return Passage(section, tuple(bars), tuple(notes), tuple(events))

    def _bars(self, section: Section) -> list[Bar]:
        beats = self.form.bar_beats
        bars = []
        for place in range(section.bars):
            index = section.start_bar + place
            draws = Draws(self.settings.seed, f"voicing/{index}")
            slots = []
            for number, slot in enumerate(self.harmony.bars[index]):
                self._voicing = voicing.voice(slot.chord, self._voicing, self._centre, draws)
                slots.append(
                    VoicedSlot(
                        beat=index * beats + slot.beat,
                        beats=slot.beats,
                        chord=slot.chord,
                        voices=self._voicing,
                        next_root=self._root_after(index, number),
                    )
                )
            bars.append(Bar(index, place, float(index * beats), beats, tuple(slots)))
        return bars

    def _root_after(self, bar: int, number: int) -> int:
        here = self.harmony.bars[bar]
        if number + 1 < len(here):
            return here[number + 1].chord.root
        if bar + 1 < len(self.harmony.bars):
            return self.harmony.bars[bar + 1][0].chord.root
        return self.harmony.final.root if self.form.final else self.harmony.bars[0][0].chord.root

    def _ending(self) -> Passage:
        """Returns the last chord: rolled upward, with bass, pad and kick, left to ring."""
        settings, chord = self.settings, self.harmony.final
        beat = float(self.form.end_beat)
        draws = Draws(settings.seed, "ending")
        voices = voicing.voice(chord, self._voicing, self._centre, draws)
        instrument = FINAL_INSTEAD.get(settings.keys, settings.keys)
        notes = [
            Note(
                beat=beat,
                beats=RING_BEATS,
                part="keys",
                instrument=instrument,
                midi=midi,
                velocity=0.66,
                pan=keys.PANS[place],
                release_sec=keys.RELEASES[instrument],
                delay_sec=ROLL_SEC * place,
            )
            for place, midi in enumerate(voices)
        ]
        root = 48 + (chord.root - 48) % 12
        if root not in voices:  # the last chord says where home is
            notes.append(replace(notes[0], midi=root, velocity=0.6, pan=0.0, delay_sec=0.0))
        if settings.bass != "none":
            low = near(chord.root, 36)
            notes.append(
                Note(beat, RING_BEATS, "bass", settings.bass, low, 0.7, 0.0, BASS_RELEASE_SEC)
            )
        section = Section(len(self.form.sections), "E", self.form.bars, 1, pad=True, last=True)
        slot = VoicedSlot(beat, RING_BEATS, chord, voices, chord.root)
        bar = Bar(self.form.bars, 0, beat, self.form.bar_beats, (slot,))
        notes += keys.play_pad(section, [bar], settings)
        if settings.kit != "none":
            notes.append(Note(beat, HITS_LAST_BEATS, "kick", "kick", 0, 0.7))
        third = 3 if settings.key.minor else 4
        triad = frozenset((chord.root + step) % 12 for step in (0, third, 7))
        notes.append(self._melodist.final(beat + 0.5, triad))
        events = groove.perform(notes, settings, section.index)
        return Passage(section, (bar,), tuple(notes), tuple(events))


def _phrased(bars: Sequence[Bar]) -> Callable[[Note], Note]:
    """Returns what gives a note the loudness of its place: each phrase grows into its last bar."""
    start, beats = bars[0].beat, bars[0].beats

    def phrased(note: Note) -> Note:
        if note.part == "pad":
            return note
        place = int((note.beat - start) // beats) % len(PHRASE_SWELL)
        return replace(note, velocity=note.velocity * PHRASE_SWELL[place])

    return phrased


def all_events(score: Score) -> list[Event]:
    """Returns every event of a score, in order."""
    return sorted(
        (event for index in range(score.count) for event in score.passage(index).events),
        key=lambda event: (event.start, event.bus, event.instrument, event.midi),
    )
