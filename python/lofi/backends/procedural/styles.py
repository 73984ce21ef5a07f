"""The five styles as data: tempo, instruments, mix. `settings` and the mixer read it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Duck:
    """How deep and how long a kick presses keys, pad and bass down."""

    depth: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Style:
    """What a style fixes when neither parameters nor words say otherwise."""

    name: str
    bpm_low: int
    bpm_high: int
    fold_bpm: float
    """The grid lies in [fold, 2 * fold) beats a minute, whatever tempo was asked."""
    minor_chance: float
    keys: dict[str, float]
    lead: dict[str, float]
    bass: dict[str, float]
    kit: dict[str, float]
    pad_chance: float
    reverb: float
    levels: dict[str, float]
    duck: Duck | None
    lag_ms: dict[str, float]
    """How late each part plays: the lazy snare and keys are the genre."""
    lively_kit: str | None = None
    """What the drummer takes when the words are energetic; None: whatever the seed says."""
    calm_kit: str | None = None
    jitter: float = 1.0
    reverb_wet: float = 0.62
    reverb_tail_sec: float = 1.37
    target_lufs: float = -15.6
    pads: dict[str, float] = field(default_factory=lambda: {"pad": 2.0, "strings": 1.0})


def _levels(keys: float, lead: float, pad: float, bass: float, drums: float) -> dict[str, float]:
    return {"keys": keys, "lead": lead, "pad": pad, "bass": bass, "drums": drums}


def _lags(kick: float, snare: float, hat: float, keys: float, bass: float) -> dict[str, float]:
    return {
        "kick": kick,
        "snare": snare,
        "hat": hat,
        "keys": keys,
        "bass": bass,
        "lead": 0.6 * keys,
        "pad": 0.0,
    }


STYLES: dict[str, Style] = {
    "lofi": Style(
        name="lofi",
        bpm_low=70,
        bpm_high=90,
        fold_bpm=58,
        minor_chance=0.55,
        keys={"ep": 5, "piano": 3, "guitar": 3},
        lead={"vibes": 3, "piano": 3, "guitar": 3, "lead": 3, "ep": 2, "bell": 2, "flute": 2},
        bass={"sub": 5, "upright": 3},
        kit={"lofi": 5, "rim": 2},
        pad_chance=0.35,
        reverb=0.35,
        levels=_levels(0.40, 0.40, 0.20, 0.60, 1.30),
        duck=Duck(0.22, 0.160),
        lag_ms=_lags(0, 11, 3, 14, 6),
    ),
    "jazz": Style(
        name="jazz",
        bpm_low=72,
        bpm_high=90,
        fold_bpm=58,
        minor_chance=0.45,
        keys={"piano": 5, "ep": 3, "guitar": 2},
        lead={"reed": 4, "vibes": 4, "guitar": 3, "piano": 2, "flute": 2},
        bass={"upright": 1},
        kit={"brush": 3, "ride": 3},
        lively_kit="ride",
        calm_kit="brush",
        pad_chance=0.0,
        reverb=0.38,
        levels=_levels(0.37, 0.42, 0.14, 0.62, 1.35),
        duck=Duck(0.06, 0.120),
        lag_ms=_lags(0, 4, 2, 6, -2),
        jitter=0.8,
    ),
    "ambient": Style(
        name="ambient",
        bpm_low=70,
        bpm_high=84,
        fold_bpm=46,
        minor_chance=0.45,
        keys={"pad": 3, "strings": 1, "ep": 2, "piano": 2, "guitar": 1},
        lead={"bell": 3, "piano": 3, "vibes": 3, "flute": 3},
        bass={"sub": 1},
        kit={"none": 1},
        pad_chance=1.0,
        reverb=0.8,
        levels=_levels(0.42, 0.36, 0.30, 0.57, 0.80),
        duck=None,
        lag_ms=_lags(0, 0, 0, 10, 4),
        jitter=0.3,
        reverb_wet=0.85,
        reverb_tail_sec=1.7,
        target_lufs=-15.85,
    ),
    "house": Style(
        name="house",
        bpm_low=112,
        bpm_high=124,
        fold_bpm=82,
        minor_chance=0.75,
        keys={"stab": 4, "organ": 2, "ep": 3},
        lead={"lead": 3, "piano": 3, "vibes": 2, "bell": 2, "flute": 1},
        bass={"synthbass": 3, "sub": 2},
        kit={"house": 1},
        pad_chance=0.7,
        reverb=0.4,
        levels=_levels(0.36, 0.34, 0.20, 0.58, 1.00),
        duck=Duck(0.50, 0.260),
        lag_ms=_lags(0, 1, 0, 3, 1),
        jitter=0.45,
    ),
    "rain": Style(
        name="rain",
        bpm_low=70,
        bpm_high=84,
        fold_bpm=55,
        minor_chance=0.65,
        keys={"piano": 5, "ep": 4, "guitar": 3},
        lead={"vibes": 3, "bell": 3, "piano": 3, "flute": 2, "guitar": 2},
        bass={"upright": 3, "sub": 2},
        kit={"soft": 3, "brush": 2, "rim": 1},
        lively_kit="rim",
        pad_chance=0.7,
        reverb=0.55,
        levels=_levels(0.46, 0.38, 0.18, 0.56, 1.15),
        duck=Duck(0.14, 0.180),
        lag_ms=_lags(0, 12, 4, 16, 7),
    ),
}

REVERB_SENDS = {"keys": 0.55, "lead": 1.0, "pad": 0.35, "drums": 0.12, "bass": 0.0}
LEAD_PAN = 0.2
