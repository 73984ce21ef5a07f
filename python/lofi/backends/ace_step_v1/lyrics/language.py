"""Which language a line is in: by its script where that decides, else by the package py3langid."""

from __future__ import annotations

import re
from typing import Any

from lofi.backends.ace_step_v1.lyrics.extras import language_package

LANGUAGES = tuple("en de fr es it pt pl tr ru cs nl ar zh ja hu ko hi".split())
"""What v1 sings."""
_LATIN = tuple("en de fr es it pt pl tr cs nl hu".split())
_TELLING_LETTERS = 12
"""Fewer say too little: a short line takes the language of the lyrics around it."""
_TAGGED = re.compile(r"\[.*?\]")
_SHORT_JAPANESE = 30
"""Up to this many characters, kana among Han means Japanese."""
_RUNS = re.compile(
    r"(?P<ko>[\uac00-\ud7af\u1100-\u11ff\u3130-\u318f]+)"
    r"|(?P<th>[\u0e00-\u0e7f]+)"
    r"|(?P<ru>[\u0400-\u052f]+)"
    r"|(?P<ar>[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff]+)"
    r"|(?P<hi>[\u0900-\u097f]+)"
    r"|(?P<han>[\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff]+)"
    r"|(?P<digits>[0-9]+)"
    # numbers and signs between Latin words belong to them
    r"|(?P<latin>[A-Za-z\u00c0-\u024f\u1e00-\u1eff](?:[\d\W_]*[A-Za-z\u00c0-\u024f\u1e00-\u1eff])*)"
)
_KANA = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff]")


def language_of(line: str, lyrics: str = "") -> str:
    """Returns the code of a stripped line, one of `LANGUAGES`.

    Args:
        lyrics: all of the song, for lines too short to tell.

    Raises:
        DependencyMissing: the script does not decide and py3langid is not installed.
    """
    if _TAGGED.match(line):
        return "en"
    counts: dict[str, int] = {}
    before = "zh"
    for run in _RUNS.finditer(line):
        text = run.group()
        before = _of_run(str(run.lastgroup), text, before, lyrics)
        weight = 2 if before == "zh" else 1
        counts[before] = counts.get(before, 0) + weight * len(re.sub(r"\W", "", text))
    if not counts:
        return "en"
    ranked = sorted(counts, key=lambda code: -counts[code])
    # English words among another language are common, the other way round they are not
    chosen = ranked[1] if ranked[0] == "en" and len(ranked) > 1 else ranked[0]
    return chosen if chosen in LANGUAGES else "en"


def _of_run(script: str, text: str, before: str, lyrics: str) -> str:
    if script == "digits":
        return before
    if script == "han":
        if _KANA.search(text) is None:
            return "zh"
        return "ja" if len(text) <= _SHORT_JAPANESE else _classified(text, ("ja", "zh"))
    if script == "latin":
        return _latin(text, lyrics)
    return script


def _latin(text: str, lyrics: str) -> str:
    if len(re.sub(r"[\W\d_]", "", text)) < _TELLING_LETTERS:
        around = [line for line in lyrics.splitlines() if not _TAGGED.match(line.strip())]
        runs = [run for run in _RUNS.finditer("\n".join(around)) if run.lastgroup == "latin"]
        text = " ".join(run.group() for run in runs) or text
    plain = re.sub(r"[^\w']+|\d+", " ", text)
    # a held vowel is no letter of any language
    plain = re.sub(r"(\w)\1{2,}", r"\1", plain).strip()
    return _classified(plain, _LATIN)


def _classified(text: str, among: tuple[str, ...]) -> str:
    classifier: Any = language_package(
        "py3langid", "Telling the language of lyrics", "name it: vocal_language=en"
    )
    classifier.set_languages(list(among))
    code, _ = classifier.classify(text)
    return str(code)
