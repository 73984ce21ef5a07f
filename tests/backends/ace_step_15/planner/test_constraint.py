"""Rules of writing: certain stretches, caption ends, limits."""

from __future__ import annotations

from lofi.backends.ace_step_15.planner.constraint import (
    CAPTION_LIMIT,
    GENRES_LIMIT,
    WORDS_LIMIT,
    Allowed,
    Constraint,
    Kind,
    Rules,
)
from lofi.backends.ace_step_15.planner.tries import Tries
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary


def made(vocabulary: Vocabulary, rules: Rules) -> Constraint:
    return Constraint(vocabulary, Tries(vocabulary), rules)


def asked() -> int:
    raise AssertionError("the whole head was computed for nothing")


def test_certain_stretches_need_no_model(vocabulary: Vocabulary) -> None:
    fixed = {"bpm": 92, "duration": 180, "keyscale": "F# minor", "language": "no",
             "timesignature": "3"}  # fmt: skip
    rules = Rules(fixed=fixed, skipped=frozenset({"caption", "genres"}))
    constraint = made(vocabulary, rules)
    text = vocabulary.decode(constraint.forced())
    assert constraint.done
    assert text == (
        "<think>\nbpm: 92\nduration: 180\nkeyscale: F# minor\nlanguage: no\ntimesignature: 3\n"
        "<|im_end|>"
    )


def test_a_meter_is_written_as_the_model_knows_it(vocabulary: Vocabulary) -> None:
    fixed = {"bpm": 92, "duration": 180, "keyscale": "C major", "timesignature": "6/8"}
    skipped = frozenset({"caption", "genres", "language"})
    constraint = made(vocabulary, Rules(fixed=fixed, skipped=skipped))
    assert "timesignature: 6\n" in vocabulary.decode(constraint.forced())


def at_caption(vocabulary: Vocabulary) -> Constraint:
    constraint = made(vocabulary, Rules(fixed={"bpm": 92}))
    assert vocabulary.decode(constraint.forced()).endswith("\ncaption:")
    return constraint


def test_the_next_field_follows_the_caption_whatever_the_model_names(
    vocabulary: Vocabulary,
) -> None:
    constraint = at_caption(vocabulary)
    for token in vocabulary.encode(" Calm.\n"):
        assert constraint.allowed(asked) == Allowed(Kind.CAPTION)
        constraint.feed(token)
    (keyscale, *_) = vocabulary.encode("keyscale:")
    allowed = constraint.allowed(lambda: keyscale)
    assert vocabulary.decode(allowed.ids) == "duration"


def test_a_caption_goes_on_over_indented_lines_only(vocabulary: Vocabulary) -> None:
    constraint = at_caption(vocabulary)
    for token in vocabulary.encode(" Calm\n"):
        constraint.feed(token)
    assert constraint.allowed(lambda: vocabulary.space) == Allowed(Kind.CAPTION)
    (name, *_) = vocabulary.encode("bpm: 300")
    assert constraint.mend(name) == vocabulary.space
    constraint.feed(vocabulary.space)
    assert constraint.mend(name) == name


def test_a_caption_has_a_limit_even_over_many_lines(vocabulary: Vocabulary) -> None:
    constraint = at_caption(vocabulary)
    word = vocabulary.encode(" slow")[0]
    for _ in range(CAPTION_LIMIT):
        assert constraint.allowed(asked).kind is Kind.CAPTION
        constraint.feed(word)
    assert constraint.forced() == (vocabulary.newline,)
    # the model would go on; it may not
    allowed = constraint.allowed(lambda: vocabulary.space)
    assert vocabulary.decode(allowed.ids) == "duration"


def test_words_and_genres_have_limits(vocabulary: Vocabulary) -> None:
    words = made(vocabulary, Rules(block=False, then="words"))
    for _ in range(WORDS_LIMIT):
        words.feed(vocabulary.space)
    assert words.forced() == (vocabulary.end,)
    assert words.done
    known = {"bpm": 90, "duration": 60}
    genres = made(vocabulary, Rules(fixed=known, skipped=frozenset({"caption"})))
    assert vocabulary.decode(genres.forced()).endswith("genres:")
    for _ in range(GENRES_LIMIT):
        genres.feed(vocabulary.space)
    assert vocabulary.decode(genres.forced()).startswith("\nkeyscale:")


def test_free_text_holds_neither_codes_nor_chat(vocabulary: Vocabulary) -> None:
    for allowed in (vocabulary.in_words, vocabulary.in_caption):
        for text in ("<think>", "</think>", "<|im_start|>", "<|endoftext|>",
                     "<|audio_code_1|>", "<|audio_code_64000|>"):  # fmt: skip
            (token,) = vocabulary.encode(text)
            assert not allowed[token], text
    assert vocabulary.in_words[vocabulary.end]
    assert not vocabulary.in_caption[vocabulary.end]
