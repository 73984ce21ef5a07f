"""Reads a prompt: which words it says, which it denies, and what they add up to."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from lofi.backends.procedural.vocabulary import STYLE_WORDS, VOCABULARY, Word

NUMBERS = (
    "minor",
    "tempo",
    "density",
    "bright",
    "reverb",
    "swing",
    "noise",
    "wobble",
    "saturation",
    "bits",
    "jazz",
    "lead_level",
    "bass_level",
    "drums_level",
    "rain",
    "waves",
)
ROLES = ("keys", "lead", "bass", "kit", "pad")
DENIALS = ("no", "without")
SILENCED = ("noise", "wobble", "reverb", "swing")
"""What is there unless it is denied: `no vinyl` must be heard."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a prompt asks for, before style and seed have their say."""

    style: str | None
    numbers: dict[str, float]
    """The sum over all words said, by name (see `NUMBERS`)."""
    roles: dict[str, str]
    """The first instrument named for each role."""
    denied: frozenset[str]
    unwanted: frozenset[str] = frozenset()
    """Instruments that the prompt denies: the seed must not choose them."""

    @property
    def without_rain(self) -> bool:
        """True if the prompt denies the rain."""
        return bool(self.denied & {"rain", "rainy", "storm", "drizzle", "thunder"})


def normalised(prompt: str) -> list[str]:
    """Returns the prompt's words: no case, no accents, hyphens as spaces, `lo fi` as `lofi`."""
    plain = unicodedata.normalize("NFKD", prompt.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    plain = re.sub(r"\blo[\s\-_]*fi\b", "lofi", plain)
    return re.findall(r"[^\W_]+", plain)


def phrases(prompt: str) -> tuple[list[str], frozenset[str]]:
    """Returns the known words and pairs in the order said, and those denied."""
    tokens = normalised(prompt)
    said: list[str] = []
    denied: set[str] = set()
    known = VOCABULARY.keys() | STYLE_WORDS.keys()
    place, denying = 0, False
    while place < len(tokens):
        if tokens[place] in DENIALS:
            denying, place = True, place + 1
            continue
        pair = " ".join(tokens[place : place + 2])
        phrase = pair if pair in known else tokens[place]
        place += 2 if phrase == pair and " " in pair else 1
        if denying:
            denied.add(phrase)
        elif phrase in known:
            said.append(phrase)
        denying = False
    return said, frozenset(denied)


def read(prompt: str) -> Wishes:
    """Returns what `prompt` asks for. Unknown words are ignored; nothing fails."""
    said, denied = phrases(prompt)
    styles = [STYLE_WORDS[phrase] for phrase in said if phrase in STYLE_WORDS]
    # A lofi word is the weakest: "lofi jazz" is jazz, "rainy lofi" is rain.
    strong = [style for style in styles if style != "lofi"]
    style = next(iter(strong or styles), None)
    numbers = dict.fromkeys(NUMBERS, 0.0)
    roles: dict[str, str] = {}
    for phrase in said:
        word = VOCABULARY.get(phrase)
        if word is None:
            continue
        for name in NUMBERS:
            numbers[name] += getattr(word, name)
        for role in ROLES:
            value = getattr(word, role)
            if value is not None:
                roles.setdefault(role, value)
    if denied & {"drums", "beat", "beats", "percussion"}:
        roles["kit"] = "none"
    if "bass" in denied:
        roles["bass"] = "none"
    unwanted = set()
    for phrase in denied:
        word = VOCABULARY.get(phrase, Word())
        unwanted |= {name for name in (getattr(word, role) for role in ROLES) if name}
        if word.pad is not None:
            roles["pad"] = "none"
        for name in SILENCED:
            if getattr(word, name) > 0:
                numbers[name] -= 1.0  # as low as it goes
    return Wishes(style, numbers, roles, denied, frozenset(unwanted))
