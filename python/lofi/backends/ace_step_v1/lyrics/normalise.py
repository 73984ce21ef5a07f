"""A line of lyrics as it is pronounced: what a singer reads for numbers and signs."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lofi.backends.ace_step_v1.lyrics.chinese import pinyin, spell_chinese
from lofi.backends.ace_step_v1.lyrics.extras import language_package
from lofi.backends.ace_step_v1.lyrics.numbers import spell_numbers
from lofi.backends.ace_step_v1.lyrics.words import ABBREVIATIONS, SYMBOL_WORDS, SYMBOLS
from lofi.errors import DependencyMissing

logger = logging.getLogger(__name__)


def normalise(text: str, language: str) -> str:
    """Returns the text in the form the vocabulary was made from.

    Raises:
        DependencyMissing: the language, or a number in it, needs a package that is not there.
    """
    if language == "ja":
        return romanise_japanese(text).lower()
    if language not in SYMBOL_WORDS:
        return re.sub(r"\s+", " ", text.lower())
    text = text.replace('"', "")
    if language == "tr":
        # lowering these would leave a combining dot
        text = text.replace("İ", "i").replace("Ö", "ö").replace("Ü", "ü")
    text = text.lower()
    spell = spell_chinese if language == "zh" else lambda line: spell_numbers(line, language)
    for expand in (spell, _abbreviations(language), _symbols(language)):
        text = _tried(expand, text)
    text = re.sub(r"\s+", " ", text)
    if language == "zh":
        return pinyin(text)
    return romanise_korean(text) if language == "ko" else text


def _tried(expand: Callable[[str], str], text: str) -> str:
    """An expansion that fails is left out, as it was when the training lyrics were made."""
    try:
        return expand(text)
    except DependencyMissing:
        raise
    except Exception as error:
        logger.info("left as written: %r (%s)", text, error)
        return text


def _abbreviations(language: str) -> Callable[[str], str]:
    def expand(text: str) -> str:
        for short, whole in ABBREVIATIONS.get(language, {}).items():
            end = r"\b" if language == "ru" else r"\."
            text = re.sub(rf"\b{short}{end}", whole, text, flags=re.IGNORECASE)
        return text

    return expand


def _symbols(language: str) -> Callable[[str], str]:
    def expand(text: str) -> str:
        for symbol, word in zip(SYMBOLS, SYMBOL_WORDS[language], strict=True):
            text = text.replace(symbol, f" {word} ").replace("  ", " ")
        return text.strip()

    return expand


def romanise_korean(text: str) -> str:
    """Returns Hangul in Latin letters, syllables apart only where they must be."""
    language_package("hangul_romanize", "Korean lyrics")
    rule: Any = language_package("hangul_romanize.rule", "Korean lyrics")
    package: Any = language_package("hangul_romanize", "Korean lyrics")
    return str(package.Transliter(rule.academic).translit(text))


@lru_cache(maxsize=1)
def _katsu() -> Any:
    package: Any = language_package("cutlet", "Japanese lyrics")
    language_package("unidic_lite", "Japanese lyrics")
    return package.Cutlet()


def romanise_japanese(text: str) -> str:
    """Returns Japanese in Latin letters."""
    return str(_katsu().romaji(text))
