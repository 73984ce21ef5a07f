"""From a recipe to settings with every value filled in.

Explicit parameters win over words of the prompt, words over the style's defaults, and the seed
fills the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lofi.backends.procedural import words
from lofi.backends.procedural.randomness import Draws, key_of
from lofi.backends.procedural.styles import STYLES, Style
from lofi.errors import InvalidParams

SAMPLE_RATE = 48000
MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MINOR_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
HELD = ("pad", "strings")
"""Keys that hold whole chords; a pad part would only double them."""
BLOWN = frozenset({"flute", "reed", "lead"})
"""Leads without a stroke."""
DRIVEN = 0.4
"""From this drive on a lively kit is taken, from as little a calm one."""
MOVING_DENSITY = 0.15
"""Words that ask for so many more notes want no keys that only hold chords."""
MINOR_ASKED = 0.4
"""Words that ask for so much minor want no doubt about its tonic."""
BAR_BEATS = {2: 2, 3: 3, 4: 4, 6: 3}
"""Quarter beats of a bar by numerator; 6 is 6/8."""


@dataclass(frozen=True, slots=True)
class Key:
    """A tonic pitch class (C is 0) and a mode."""

    tonic: int
    minor: bool
    name: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the score and the mixer need to know about one track."""

    seed: int
    style: Style
    frames: int
    bpm: int
    """As asked or drawn; what the track reports."""
    grid_bpm: float
    """What the bars are laid out at: `bpm`, halved or doubled into the style's range."""
    key: Key
    meter: int
    keys: str
    lead: str
    guest: str
    """The second lead, for contrasting sections; the lead itself where the prompt names one."""
    bass: str
    kit: str
    pad: str | None
    swing: float
    noise: float
    bits: int
    lowpass_hz: float
    wobble: float
    density: float
    saturation: float
    reverb: float
    rain: float
    waves: float
    jazz: float
    """Lofi borrows jazz progressions: from 0.2 in contrasting sections, from 0.4 everywhere."""
    drive: float
    """-1 calm … 1 energetic, as the words say it: who plays, and how."""
    bright: float
    """Octaves by which the words want the notes brighter, -1…1; registers and touch follow."""
    rise: float
    """-1…1: lines that fall, as a sad tune's do, or rise, as a hopeful one's."""
    home: bool
    """The words ask for minor: its tonic must be plain, not the relative major's."""
    lead_level: float
    bass_level: float
    drums_level: float
    form: str
    loopable: bool
    fade_in_sec: float
    fade_out_sec: float

    @property
    def duration_sec(self) -> float:
        """Length asked for, in seconds."""
        return self.frames / SAMPLE_RATE

    @property
    def bar_beats(self) -> int:
        """Quarter beats of one bar."""
        return BAR_BEATS[self.meter]

    @property
    def beat_sec(self) -> float:
        """Seconds of one beat of the grid."""
        return 60.0 / self.grid_bpm

    @property
    def bar_sec(self) -> float:
        """Seconds of one bar."""
        return self.bar_beats * self.beat_sec

    @property
    def instruments(self) -> list[str]:
        """Names of what plays, for the track's metadata."""
        names = [name for name in (self.keys, self.lead, self.bass) if name != "none"]
        if self.pad is not None and self.keys not in HELD:
            names.append(self.pad)
        if self.kit != "none":
            names.append(f"{self.kit} kit")
        if self.rain > 0:
            names.append("rain")
        if self.waves > 0:
            names.append("waves")
        return names


def parse_key(text: str) -> Key:
    """Returns the key written as `C minor`, `F# major`, `Bb`, `Am`, also with ♯ and ♭.

    Raises:
        InvalidParams: the text names no key.
    """
    match = re.fullmatch(
        r"\s*([A-Ga-g])\s*([#b♯♭]?)\s*(m|min|minor|maj|major)?\s*", text.strip(), re.IGNORECASE
    )
    if match is None:
        raise InvalidParams(
            f"keyscale {text!r} is not a key",
            hint='Write a key such as "C minor", "F# major", "Bb" or "Am".',
            param="keyscale",
        )
    letter, sign, mode = match.group(1).upper(), match.group(2), match.group(3) or "major"
    sign = {"♯": "#", "♭": "b", "B": "b"}.get(sign, sign)
    minor = mode == "m" or mode.lower() in ("min", "minor")
    tonic = (LETTERS[letter] + {"#": 1, "b": -1, "": 0}[sign]) % 12
    return Key(tonic, minor, f"{letter}{sign} {'minor' if minor else 'major'}")


def fold(bpm: float, low: float) -> float:
    """Returns `bpm` halved or doubled into [low, 2 * low)."""
    while bpm < low:
        bpm *= 2
    while bpm >= 2 * low:
        bpm /= 2
    return bpm


def resolve(recipe: Mapping[str, Any]) -> Settings:
    """Returns the settings of `recipe`; pure, the same for the same recipe.

    Raises:
        InvalidParams: a key or a time signature that cannot be read.
    """
    seed = _seed(recipe)
    wishes = words.read(str(recipe.get("prompt") or ""))
    style = STYLES[str(recipe.get("style") or wishes.style or "lofi")]
    numbers = wishes.numbers
    bpm = _bpm(recipe, style, numbers["tempo"], seed)
    drive = _held(numbers["tempo"] + numbers["density"])
    key = _key(recipe, style, numbers["minor"], seed)
    keys, lead, bass, kit, pad = _band(style, wishes, drive, seed)
    rain, waves = _weather(style, wishes, seed)

    def knob(name: str, default: float, low: float, high: float, change: float) -> float:
        asked = recipe.get(name)
        value = default + change if asked is None else float(asked)
        return min(high, max(low, value))

    return Settings(
        seed=seed,
        style=style,
        frames=round(SAMPLE_RATE * float(recipe.get("duration_sec") or 60.0)),
        bpm=bpm,
        grid_bpm=fold(float(bpm), style.fold_bpm),
        key=key,
        meter=_meter(recipe),
        keys=keys,
        lead=lead,
        guest=_guest(style, wishes, keys, lead, kit, seed),
        bass=bass,
        kit=kit,
        pad=pad,
        swing=knob("swing", 0.55, 0.0, 1.0, numbers["swing"]),
        noise=knob("noise", 0.3, 0.0, 1.0, numbers["noise"]),
        bits=round(knob("bits", 12, 6, 16, numbers["bits"])),
        lowpass_hz=_lowpass_hz(recipe, numbers["bright"]),
        wobble=knob("wobble", 0.2, 0.0, 1.0, numbers["wobble"]),
        density=knob("density", 0.5, 0.0, 1.0, numbers["density"]),
        saturation=knob("saturation", 0.35, 0.0, 1.0, numbers["saturation"]),
        reverb=min(1.0, max(0.0, style.reverb + numbers["reverb"] / 2)),
        rain=rain,
        waves=waves,
        jazz=numbers["jazz"] if style.name == "lofi" else 0.0,
        drive=drive,
        bright=_held(numbers["bright"]),
        rise=_held(-numbers["minor"]),
        home=key.minor and numbers["minor"] >= MINOR_ASKED,
        lead_level=max(0.2, 1 + numbers["lead_level"]),
        bass_level=max(0.2, 1 + numbers["bass_level"]),
        drums_level=max(0.5, 1 + numbers["drums_level"] / 4),
        form=str(recipe.get("form") or "song"),
        loopable=bool(recipe.get("loopable") or False),
        fade_in_sec=float(recipe.get("fade_in_sec") or 0.0),
        fade_out_sec=float(recipe.get("fade_out_sec") or 0.0),
    )


def _seed(recipe: Mapping[str, Any]) -> int:
    seed = int(recipe.get("seed") or 0)
    if recipe.get("task") != "retake":
        return seed
    # A retake is another take of the same request: every draw moves, the request stays.
    return key_of(seed, f"retake/{int(recipe.get('retake_seed') or 0)}") & 0xFFFFFFFF


def _bpm(recipe: Mapping[str, Any], style: Style, tempo: float, seed: int) -> int:
    asked = recipe.get("bpm")
    if asked is not None:
        return int(asked)
    middle, half = (style.bpm_low + style.bpm_high) / 2, (style.bpm_high - style.bpm_low) / 2
    tempo = _held(tempo)
    # The more the words say, the less is left to the seed: no slow track is called fast.
    push = math.copysign(0.9 * math.sqrt(abs(tempo)), tempo)
    spread = Draws(seed, "tempo").between(-0.75, 0.75) * (1 - abs(tempo))
    wanted = middle + half * (push + spread)
    return round(min(style.bpm_high, max(style.bpm_low, wanted)))


def _key(recipe: Mapping[str, Any], style: Style, minor_sum: float, seed: int) -> Key:
    asked = recipe.get("keyscale")
    if asked is not None:
        return parse_key(str(asked))
    draws = Draws(seed, "key")
    tonic = draws.below(12)
    # A mood is a promise: "sad" is always minor and "happy" always major, "night" nearly so.
    minor = draws.chance(style.minor_chance + minor_sum)
    name = f"{MINOR_NAMES[tonic]} minor" if minor else f"{MAJOR_NAMES[tonic]} major"
    return Key(tonic, minor, name)


def _meter(recipe: Mapping[str, Any]) -> int:
    asked = str(recipe.get("timesignature") or "4").split("/")[0].strip()
    if not asked.isdigit() or int(asked) not in BAR_BEATS:
        raise InvalidParams(
            f"timesignature {recipe.get('timesignature')!r} is not one of 2, 3, 4, 6",
            hint="Use 2, 3, 4 or 6 (2/4, 3/4, 4/4, 6/8).",
            param="timesignature",
        )
    return int(asked)


def _held(value: float) -> float:
    return min(1.0, max(-1.0, value))


def _band(
    style: Style, wishes: words.Wishes, drive: float, seed: int
) -> tuple[str, str, str, str, str | None]:
    draws = Draws(seed, "band")
    roles, unwanted = wishes.roles, wishes.unwanted
    moving = wishes.numbers["density"] >= MOVING_DENSITY and "pad" not in roles
    keys = draws.weighted(_without(style.keys, unwanted | set(HELD if moving else ())))
    if keys in HELD:
        keys = roles.get("pad", keys)  # one held chord is enough: the one that was asked for
        if keys == "none":
            keys = next(name for name in style.keys if name not in HELD)
    keys = roles.get("keys", keys)
    lead = draws.weighted(_without(style.lead, unwanted | {keys}))
    lead = roles.get("lead", lead)
    bass = draws.weighted(_without(style.bass, unwanted))
    bass = roles.get("bass", bass)
    kit = draws.weighted(_without(style.kit, unwanted))
    if abs(drive) >= DRIVEN:
        wanted = style.lively_kit if drive > 0 else style.calm_kit
        kit = kit if wanted is None or wanted in unwanted else wanted
    kit = roles.get("kit", kit)
    pad: str | None = draws.weighted(style.pads)
    if not draws.chance(style.pad_chance):
        pad = None
    pad = roles.get("pad", pad or "none")
    return keys, lead, bass, kit, None if pad == "none" else pad


def _without(weights: Mapping[str, float], unwanted: frozenset[str]) -> dict[str, float]:
    """Returns the choices without the unwanted, or all if none would be left."""
    left = {name: weight for name, weight in weights.items() if name not in unwanted}
    return left or dict(weights)


def _guest(style: Style, wishes: words.Wishes, keys: str, lead: str, kit: str, seed: int) -> str:
    if "lead" in wishes.roles:
        return lead
    choices = _without(style.lead, wishes.unwanted | {keys, lead})
    if keys in HELD and kit == "none":
        choices = _without(choices, BLOWN)  # somebody has to strike the beat
    return Draws(seed, "guest").weighted(choices)


def _weather(style: Style, wishes: words.Wishes, seed: int) -> tuple[float, float]:
    rain = min(1.0, wishes.numbers["rain"])
    if style.name == "rain":
        rain = max(Draws(seed, "weather").between(0.6, 0.9), rain)
    if wishes.without_rain:
        rain = 0.0
    return rain, min(1.0, wishes.numbers["waves"])


def _lowpass_hz(recipe: Mapping[str, Any], bright: float) -> float:
    asked = recipe.get("lowpass_hz")
    wanted = 6500.0 * 2.0**bright if asked is None else float(asked)
    return min(16000.0, max(500.0, wanted))
