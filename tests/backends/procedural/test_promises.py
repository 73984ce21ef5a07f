"""Words against the score alone; what must be heard is in the soak."""

from __future__ import annotations

import pytest

from lofi.backends.procedural.vocabulary import STYLE_WORDS, VOCABULARY
from tests.backends.procedural import promises

WORDS = list(dict.fromkeys([*STYLE_WORDS, *VOCABULARY]))


@pytest.mark.parametrize("word", WORDS)
def test_every_word_promises_something(word: str) -> None:
    assert promises.promises(word)


@pytest.mark.parametrize("word", ["sad", "happy", "busy", "sparse", "sax", "no drums", "jazzy"])
def test_plain_words_keep_their_first_written_promise(word: str) -> None:
    if word == "no drums":
        promise = promises.Promise(word, "kit=none", 0)
    else:
        promise = next(
            found
            for found in promises.promises(word)
            if "=" in found.figure or found.figure in promises.WRITTEN
        )
    assert promises.measure(promise, {}, {}).ok
