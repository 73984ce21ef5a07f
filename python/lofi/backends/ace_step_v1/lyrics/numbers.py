"""Numbers as a language speaks them, by the package num2words."""

from __future__ import annotations

import re
from typing import Any

from lofi.backends.ace_step_v1.lyrics.extras import language_package
from lofi.backends.ace_step_v1.lyrics.words import CENTS_BEGIN, ORDINAL_ENDINGS

_WITH_COMMAS = re.compile(r"\b\d{1,3}(,\d{3})*(\.\d+)?\b")
# the dot stands for any character here: so the lyrics of the training set were written out
_WITH_DOTS = re.compile(r"\b\d{1,3}(.\d{3})*(\,\d+)?\b")
_SUMS = {
    "GBP": re.compile(r"((£[0-9\.\,]*[0-9]+)|([0-9\.\,]*[0-9]+£))"),
    "USD": re.compile(r"((\$[0-9\.\,]*[0-9]+)|([0-9\.\,]*[0-9]+\$))"),
    "EUR": re.compile(r"((€[0-9\.\,]*[0-9]+)|([0-9\.\,]*[0-9]+€))"),
}
_DECIMAL = re.compile(r"([0-9]+[.,][0-9]+)")
_INTEGER = re.compile(r"[0-9]+")


def spell_numbers(text: str, language: str) -> str:
    """Returns lowercase text with its numbers in words.

    Raises:
        DependencyMissing: there are numbers and num2words is not installed.
        Exception: num2words does not know a form; the caller leaves the text as it was.
    """
    if _INTEGER.search(text) is None:
        return text
    speak: Any = language_package("num2words", "Lyrics with numbers").num2words
    code = "cz" if language == "cs" else language
    if language in ("en", "ru"):
        text = _WITH_COMMAS.sub(lambda match: match.group(0).replace(",", ""), text)
    else:
        text = _WITH_DOTS.sub(lambda match: match.group(0).replace(".", ""), text)

    def money(match: re.Match[str], currency: str) -> str:
        amount = float(re.sub(r"[^\d.]", "", match.group(0).replace(",", ".")))
        words = str(speak(amount, to="currency", currency=currency, lang=code))
        cents = words.rfind(CENTS_BEGIN.get(language, ", "))
        return words[:cents] if amount.is_integer() and cents >= 0 else words

    try:
        for currency, pattern in _SUMS.items():
            text = pattern.sub(lambda match, name=currency: money(match, name), text)  # type: ignore[misc]
    except Exception:
        pass  # no words for this currency: its number is spelt without it
    if language != "tr":
        text = _DECIMAL.sub(
            lambda match: str(speak(float(match.group(1).replace(",", ".")), lang=code)), text
        )
    text = re.sub(
        "([0-9]+)" + ORDINAL_ENDINGS[language],
        lambda match: str(speak(int(match.group(1)), ordinal=True, lang=code)),
        text,
    )
    return _INTEGER.sub(lambda match: str(speak(int(match.group(0)), lang=code)), text)
