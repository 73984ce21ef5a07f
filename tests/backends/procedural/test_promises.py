"""What the help promises of words, against the score alone; what must be heard is in the soak."""

from __future__ import annotations

import pytest

from lofi.backends.procedural.settings import resolve
from lofi.backends.procedural.styles import STYLES
from lofi.backends.procedural.vocabulary import STYLE_WORDS, VOCABULARY
from tests.backends.procedural.promises import FEATURES, HEARD, Promise, Survey, promises

KNOWN = {*STYLE_WORDS, *VOCABULARY}
AMOUNTS = {
    "minor": "minor",
    "tempo": "tempo",
    "notes": "density",
    "brightness": "bright",
    "room": "reverb",
    "detune": "wobble",
    "surf": "waves",
    "swing": "swing",
    "bits": "bits",
    "jazz chords": "jazz",
    "lead level": "lead_level",
    "bass level": "bass_level",
    "drum velocity": "drums_level",
}


def test_the_help_lists_every_word_and_no_other() -> None:
    listed = {promise.word for promise in promises()}
    assert listed == KNOWN - {"lofi"}  # lofi is the style when nothing is said


def test_every_feature_has_its_words() -> None:
    asked = promises()
    assert {promise.feature for promise in asked} == set(FEATURES)
    assert len(set(asked)) == len(asked)


def test_the_help_and_the_vocabulary_agree_on_the_way() -> None:
    for promise in promises():
        feature, word = FEATURES[promise.feature], VOCABULARY.get(promise.word)
        if feature.figure in AMOUNTS:
            assert word is not None
            assert feature.way * getattr(word, AMOUNTS[feature.figure]) > 0, promise
        elif feature.figure == "floor":
            assert word is not None and feature.way * (word.noise + word.rain) > 0, promise


@pytest.mark.parametrize("style", STYLES)
def test_always_minor_is_meant_for_every_style(style: str) -> None:
    words = [promise.word for promise in promises() if promise.feature == "minor, always"]
    assert len(words) >= 5
    for word in words:
        for seed in range(24):
            assert resolve({"prompt": word, "style": style, "seed": seed}).key.minor


@pytest.mark.slow
def test_what_the_score_can_show_is_kept() -> None:
    asked = [promise for promise in promises() if FEATURES[promise.feature].figure not in HEARD]
    outcomes = list(Survey().outcomes(asked))
    assert len(outcomes) == len(asked) > 100
    assert not [outcome for outcome in outcomes if not outcome.ok]


@pytest.mark.parametrize(
    ("word", "feature"),
    [("piano", "chords: guitar"), ("calm", "more notes"), ("sad", "jazz chords")],
)
def test_a_promise_that_is_not_kept_is_seen(word: str, feature: str) -> None:
    (outcome,) = Survey().outcomes([Promise(word, feature)])
    assert not outcome.ok
