from __future__ import annotations

from typing import Any

import pytest

from lofi.backends.procedural.settings import fold, parse_key, resolve
from lofi.backends.procedural.styles import STYLES
from lofi.errors import InvalidParams

SEEDS = range(24)


def settings(**recipe: Any) -> Any:
    return resolve({"prompt": "", "seed": 1, "duration_sec": 30, **recipe})


@pytest.mark.parametrize(
    ("text", "tonic", "minor", "name"),
    [
        ("C minor", 0, True, "C minor"),
        ("F# major", 6, False, "F# major"),
        ("Bb", 10, False, "Bb major"),
        ("Am", 9, True, "A minor"),
        ("e♭ Minor", 3, True, "Eb minor"),
        ("F♯m", 6, True, "F# minor"),
        ("Cb major", 11, False, "Cb major"),
    ],
)
def test_keys_are_read_as_people_write_them(text: str, tonic: int, minor: bool, name: str) -> None:
    key = parse_key(text)
    assert (key.tonic, key.minor, key.name) == (tonic, minor, name)


@pytest.mark.parametrize("text", ["H major", "C dorian", "", "minor"])
def test_what_is_no_key_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        parse_key(text)
    assert caught.value.hint and caught.value.data["param"] == "keyscale"


def test_an_unknown_time_signature_is_refused() -> None:
    with pytest.raises(InvalidParams):
        settings(timesignature="5")
    assert settings(timesignature="6/8").meter == 6 and settings(timesignature="6/8").bar_beats == 3


@pytest.mark.parametrize("style", STYLES)
def test_the_drawn_tempo_stays_in_the_styles_range(style: str) -> None:
    for seed in SEEDS:
        for prompt in ("", "fast energetic", "slow calm"):
            bpm = settings(style=style, seed=seed, prompt=prompt).bpm
            assert STYLES[style].bpm_low <= bpm <= STYLES[style].bpm_high


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("bpm", [30, 61, 140, 300])
def test_an_asked_tempo_is_kept_and_folded_for_the_grid(style: str, bpm: int) -> None:
    found = settings(style=style, bpm=bpm)
    low = STYLES[style].fold_bpm
    assert found.bpm == bpm
    assert low <= found.grid_bpm < 2 * low
    ratio = found.grid_bpm / bpm
    assert ratio in (0.25, 0.5, 1, 2, 4)


def test_140_feels_like_a_steady_70() -> None:
    assert fold(140, STYLES["lofi"].fold_bpm) == 70


def test_parameters_win_over_words_and_words_over_defaults() -> None:
    assert settings().lowpass_hz == 6500
    assert settings(prompt="muffled").lowpass_hz == pytest.approx(6500 * 2**-0.7)
    assert settings(prompt="muffled", lowpass_hz=9000).lowpass_hz == 9000
    assert settings(prompt="rainy jazz", style="house").style.name == "house"
    assert settings(prompt="rainy jazz", style="house").rain > 0
    assert settings(prompt="vinyl dusty crackle").noise == 1.0
    assert settings(prompt="8-bit dusty gaming").bits == 6


def test_mood_moves_the_mode() -> None:
    def minors(prompt: str) -> int:
        return sum(settings(prompt=prompt, seed=seed).key.minor for seed in SEEDS)

    assert minors("sad") > minors("") > minors("happy")


def test_the_lead_is_never_the_keys_instrument() -> None:
    for style in STYLES:
        for seed in SEEDS:
            found = settings(style=style, seed=seed)
            assert found.lead != found.keys


def test_rain_is_heard_where_it_is_asked_for() -> None:
    assert settings(prompt="rain").rain >= 0.6
    assert settings(prompt="jazz with rain").rain == pytest.approx(0.6)
    assert settings(prompt="rain style without rain", style="rain").rain == 0
    assert settings(prompt="jazz").rain == 0


@pytest.mark.parametrize("style", STYLES)
def test_denied_instruments_are_not_chosen(style: str) -> None:
    denied = "no piano, no guitar, no bells, no synth"
    for seed in SEEDS:
        found = settings(style=style, seed=seed, prompt=denied)
        named = {found.keys, found.lead, found.guest}
        assert not named & {"piano", "guitar", "bell", "lead"}
        assert settings(style=style, seed=seed, prompt="no pad").keys not in ("pad", "none")


def test_what_is_there_by_itself_can_be_denied() -> None:
    assert settings(prompt="without vinyl crackle").noise == 0
    assert settings(prompt="no tape").wobble == 0 and settings(prompt="no reverb").reverb == 0
    assert settings(prompt="no bass").bass == "none"
    assert "none" not in settings(prompt="no bass, no drums").instruments
    assert settings(prompt="no vinyl", noise=0.5).noise == 0.5


def test_another_take_is_another_seed_of_the_same_request() -> None:
    plain, retake = settings(prompt="sad piano"), settings(prompt="sad piano", task="retake")
    assert plain.seed != retake.seed and retake.keys == "piano"
    again = settings(prompt="sad piano", task="retake", retake_seed=2)
    assert again.seed != retake.seed


def test_the_same_recipe_gives_the_same_settings() -> None:
    assert settings(prompt="dreamy tape", seed=9) == settings(prompt="dreamy tape", seed=9)
