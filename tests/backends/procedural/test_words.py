from __future__ import annotations

import pytest

from lofi.backends.procedural import words
from lofi.backends.procedural.styles import STYLES
from lofi.backends.procedural.vocabulary import STYLE_WORDS, VOCABULARY


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("lofi hip hop", "lofi"),
        ("Lo-Fi beats to study to", "lofi"),
        ("lofi jazz", "jazz"),
        ("jazz, lofi", "jazz"),
        ("rainy night lofi", "rain"),
        ("jazz in the rain", "jazz"),
        ("rain, then jazz", "rain"),
        ("deep house", "house"),
        ("dröne", "ambient"),
        ("something nobody knows 🎹 дождь", None),
        ("", None),
    ],
)
def test_the_style_of_a_prompt(prompt: str, style: str | None) -> None:
    assert words.read(prompt).style == style


def test_pairs_are_read_before_words() -> None:
    assert words.phrases("coffee shop")[0] == ["coffee shop"]
    assert words.phrases("late night electric piano")[0] == ["late night", "electric piano"]
    assert words.read("music box and piano").roles == {"lead": "bell", "keys": "piano"}


def test_numbers_of_several_words_add_up() -> None:
    numbers = words.read("sad, dark and slow").numbers
    assert numbers["minor"] == pytest.approx(1.5)
    assert numbers["tempo"] == pytest.approx(-1.15)


def test_the_first_instrument_of_a_role_wins() -> None:
    assert words.read("flute, then sax").roles["lead"] == "flute"


@pytest.mark.parametrize("text", ["no drums", "without drums", "drumless", "no beat"])
def test_a_prompt_without_drums(text: str) -> None:
    assert words.read(f"lofi, {text}").roles["kit"] == "none"


def test_denied_words_count_as_not_said() -> None:
    wishes = words.read("rainy mood but no rain, without electric piano, no vinyl")
    assert wishes.without_rain
    assert wishes.numbers["noise"] < 0 and "keys" not in wishes.roles


def test_every_word_can_be_reached_from_a_prompt() -> None:
    for phrase in VOCABULARY | STYLE_WORDS:
        assert words.phrases(f"zz {phrase} zz")[0] == [phrase]


def test_every_style_word_names_a_style() -> None:
    assert set(STYLE_WORDS.values()) == set(STYLES)
