"""What each word of a prompt means to the synthesiser. Data only; `words` reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """How one word moves the track. Numbers of several words add up."""

    minor: float = 0.0
    tempo: float = 0.0
    density: float = 0.0
    bright: float = 0.0
    """Octaves of the low-pass."""
    reverb: float = 0.0
    swing: float = 0.0
    noise: float = 0.0
    wobble: float = 0.0
    saturation: float = 0.0
    bits: int = 0
    jazz: float = 0.0
    lead_level: float = 0.0
    bass_level: float = 0.0
    drums_level: float = 0.0
    rain: float = 0.0
    waves: float = 0.0
    keys: str | None = None
    lead: str | None = None
    bass: str | None = None
    kit: str | None = None
    pad: str | None = None


STYLE_WORDS: dict[str, str] = {
    **dict.fromkeys(("lofi", "chillhop", "hip hop", "boom bap", "study", "beats"), "lofi"),
    **dict.fromkeys(("jazz", "bossa", "bebop", "lounge", "blues", "trio"), "jazz"),
    "swing": "jazz",
    **dict.fromkeys(
        ("ambient", "drone", "meditation", "sleep", "space", "atmospheric", "yoga"), "ambient"
    ),
    **dict.fromkeys(("house", "deep house", "club", "dance", "disco", "techno"), "house"),
    **dict.fromkeys(("rain", "rainy", "storm", "drizzle", "thunder"), "rain"),
}

GENRE_WORDS: dict[str, Word] = {
    "chillhop": Word(tempo=-0.35, density=-0.2),
    "hip hop": Word(drums_level=0.2, bass_level=0.1),
    "boom bap": Word(drums_level=0.25, swing=0.15),
    "study": Word(lead_level=-0.25, density=-0.1),
    "beats": Word(drums_level=0.2),
}
"""Lofi is the style anyway: what else its kinds mean."""

INSTRUMENT_WORDS: dict[str, Word] = {
    "piano": Word(keys="piano"),
    "rhodes": Word(keys="ep"),
    "electric piano": Word(keys="ep"),
    "wurlitzer": Word(keys="ep"),
    "keys": Word(keys="ep"),
    "guitar": Word(keys="guitar"),
    "acoustic": Word(keys="guitar"),
    "organ": Word(keys="organ"),
    "vibes": Word(lead="vibes"),
    "vibraphone": Word(lead="vibes"),
    "marimba": Word(lead="bell"),
    "kalimba": Word(lead="bell"),
    "bells": Word(lead="bell"),
    "music box": Word(lead="bell"),
    "flute": Word(lead="flute"),
    "sax": Word(lead="reed"),
    "saxophone": Word(lead="reed"),
    "trumpet": Word(lead="reed"),
    "synth": Word(lead="lead"),
    "pad": Word(pad="pad"),
    "pads": Word(pad="pad"),
    "strings": Word(pad="strings"),
    "upright": Word(bass="upright"),
    "sub": Word(bass="sub", bass_level=0.2),
    "bass": Word(bass_level=0.15),
    "drums": Word(drums_level=0.2),
    "drumless": Word(kit="none"),
    "beatless": Word(kit="none"),
    "brushes": Word(kit="brush"),
    "brushed": Word(kit="brush"),
}

MOOD_WORDS: dict[str, Word] = {
    "sad": Word(minor=0.8, tempo=-0.35, density=-0.2),
    "melancholic": Word(minor=0.7, tempo=-0.3, density=-0.2),
    "melancholy": Word(minor=0.7, tempo=-0.3, density=-0.2),
    "lonely": Word(minor=0.6, density=-0.3, reverb=0.2),
    "dark": Word(minor=0.7, bright=-0.5),
    "mysterious": Word(minor=0.6, reverb=0.2, jazz=0.3),
    "happy": Word(minor=-0.8, tempo=0.35, density=0.15, bright=0.15),
    "hopeful": Word(minor=-0.7, tempo=0.15, density=0.15, bright=0.35),
    "bright": Word(minor=-0.6, bright=0.7),
    "peaceful": Word(minor=-0.3, tempo=-0.3, density=-0.25),
    "romantic": Word(minor=-0.2, tempo=-0.3, reverb=0.2, pad="strings"),
    "nostalgic": Word(wobble=0.3, noise=0.2),
    "warm": Word(bright=-0.5, saturation=0.15),
    "cozy": Word(bright=-0.5, noise=0.15, minor=-0.2),
    "dreamy": Word(reverb=0.35, wobble=0.1, density=-0.1, pad="pad"),
    "soulful": Word(keys="ep", jazz=0.4),
}

ENERGY_WORDS: dict[str, Word] = {
    "energetic": Word(tempo=0.6, density=0.3, drums_level=0.15),
    "groovy": Word(swing=0.15, density=0.15, bass_level=0.1),
    "funky": Word(swing=0.15, density=0.25, bass_level=0.15),
    "busy": Word(density=0.35),
    "minimal": Word(density=-0.4),
    "sparse": Word(density=-0.4),
    "calm": Word(tempo=-0.55, density=-0.2, drums_level=-0.1),
    "relaxing": Word(tempo=-0.4, density=-0.2),
    "chill": Word(tempo=-0.35, density=-0.2),
    "gentle": Word(drums_level=-0.2, bright=-0.1),
    "soft": Word(drums_level=-0.2, bright=-0.15),
    "focus": Word(density=-0.15, lead_level=-0.25),
    "coding": Word(lead_level=-0.25),
    "library": Word(density=-0.2, lead_level=-0.2),
    "slow": Word(tempo=-0.8),
    "downtempo": Word(tempo=-0.6),
    "lazy": Word(tempo=-0.6, swing=0.1),
    "upbeat": Word(tempo=0.6, density=0.15),
    "uptempo": Word(tempo=0.7, density=0.15),
    "fast": Word(tempo=0.9, density=0.2),
}

SCENE_WORDS: dict[str, Word] = {
    "night": Word(minor=0.45, bright=-0.5),
    "late night": Word(minor=0.45, bright=-0.5),
    "midnight": Word(minor=0.6, bright=-0.55),
    "morning": Word(minor=-0.6, density=0.1, bright=0.35),
    "sunrise": Word(minor=-0.6, density=0.1, bright=0.35),
    "evening": Word(tempo=-0.2, bright=-0.5),
    "sunset": Word(minor=-0.2, tempo=-0.2, bright=-0.15, reverb=0.35),
    "winter": Word(lead="bell", reverb=0.2),
    "snow": Word(lead="bell", reverb=0.2),
    "summer": Word(keys="guitar", minor=-0.3),
    "autumn": Word(keys="piano", minor=0.3),
    "spring": Word(minor=-0.6, density=0.1, bright=0.35),
    "cafe": Word(keys="piano", kit="brush"),
    "coffee": Word(keys="piano", kit="brush"),
    "coffee shop": Word(keys="piano", kit="brush"),
    "city": Word(minor=0.1, bass_level=0.15, drums_level=0.15),
    "tokyo": Word(jazz=0.4, keys="ep"),
    "rain": Word(rain=0.6),
    "rainy": Word(rain=0.6),
    "drizzle": Word(rain=0.35),
    "storm": Word(rain=0.9),
    "thunder": Word(rain=0.9),
    "ocean": Word(waves=0.85),
    "waves": Word(waves=0.85),
    "sea": Word(waves=0.8),
    "wind": Word(waves=0.75),
    "forest": Word(lead="flute"),
    "nature": Word(lead="flute"),
    "sleep": Word(tempo=-0.5, density=-0.2),
}

TEXTURE_WORDS: dict[str, Word] = {
    "vinyl": Word(noise=0.3),
    "crackle": Word(noise=0.3),
    "dusty": Word(noise=0.25, bits=-2),
    "tape": Word(wobble=0.35, saturation=0.15),
    "cassette": Word(wobble=0.4, saturation=0.15),
    "vhs": Word(wobble=0.5, saturation=0.1),
    "retro": Word(wobble=0.35, saturation=0.1),
    "8 bit": Word(bits=-4, lead="lead"),
    "8bit": Word(bits=-4, lead="lead"),
    "gaming": Word(lead="lead", bits=-2),
    "clean": Word(noise=-0.3, wobble=-0.2),
    "muffled": Word(bright=-0.7),
    "underwater": Word(bright=-1.0),
    "reverb": Word(reverb=0.35),
    "spacious": Word(reverb=0.4),
    "dry": Word(reverb=-0.3),
    "jazzy": Word(jazz=0.4, swing=0.15),
}

VOCABULARY: dict[str, Word] = {
    **GENRE_WORDS,
    **INSTRUMENT_WORDS,
    **MOOD_WORDS,
    **ENERGY_WORDS,
    **SCENE_WORDS,
    **TEXTURE_WORDS,
}
