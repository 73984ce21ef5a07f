"""What the help promises of words, against the score alone; what must be heard is in the soak."""

from __future__ import annotations

import pytest

from lofi.backends.procedural.settings import resolve
from lofi.backends.procedural.styles import STYLES
from lofi.backends.procedural.vocabulary import STYLE_WORDS, VOCABULARY
from tests.backends.procedural.promises import (
    FEATURES,
    HEARD,
    Promise,
    Survey,
    promises,
    written,
)
from tests.backends.procedural.scores import passages, score

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


TEMPO_WORDS = {"energetic": 1, "upbeat": 1, "fast": 1, "calm": -1, "slow": -1, "lazy": -1}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("word", TEMPO_WORDS)
def test_a_tempo_word_decides_the_half_of_the_styles_range(style: str, word: str) -> None:
    low, high = STYLES[style].bpm_low, STYLES[style].bpm_high
    for seed in range(64):
        bpm = resolve({"prompt": word, "style": style, "seed": seed}).bpm
        assert TEMPO_WORDS[word] * (bpm - (low + high) / 2) > (high - low) / 10


@pytest.mark.parametrize("style", STYLES)
def test_busy_and_sparse_move_the_notes_of_every_style(style: str) -> None:
    for seed in range(31, 39):
        sparse, plain, busy = (
            written("notes", f"{style}{word}", seed) for word in (" sparse", "", " busy")
        )
        assert busy > 1.05 * plain and sparse < 0.95 * plain


def test_an_energetic_jazz_walks_and_a_calm_one_plays_in_two() -> None:
    walked: list[float] = []
    in_two: list[float] = []
    for seed in range(31, 39):
        for word, counts in (("energetic", walked), ("calm", in_two)):
            found = score(prompt=f"jazz {word}", seed=seed)
            assert found.settings.kit == ("ride" if word == "energetic" else "brush")
            bass = [note for p in passages(found) for note in p.notes if note.part == "bass"]
            counts.append(len(bass) / len(found.harmony.bars))
    assert min(walked) > 1.3 * max(in_two)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("part", ["keys", "lead"])
def test_bright_notes_lie_higher_and_warm_ones_lower(style: str, part: str) -> None:
    def height(word: str) -> float:
        notes = [
            note.midi
            for seed in range(31, 39)
            for p in passages(score(prompt=f"{style} {word}", seed=seed, keyscale="D minor"))
            for note in p.notes
            if note.part == part
        ]
        return sum(notes) / len(notes)

    warm, plain, bright = (height(word) for word in ("warm", "", "bright"))
    assert warm < plain - 0.3 and plain + 0.5 < bright


@pytest.mark.parametrize("style", STYLES)
def test_a_minor_word_leaves_no_doubt_about_the_tonic(style: str) -> None:
    for seed in range(31, 39):
        found = score(prompt=f"{style} dark", seed=seed)
        tonic = found.settings.key.tonic
        roots = [(slot.chord.root - tonic) % 12 for bar in found.harmony.bars for slot in bar]
        assert not {3, 10} & set(roots)  # the relative major and its dominant
        assert roots[0] == 0 and found.harmony.final.root == tonic
