"""Blocks come back as they were written, and no answer is too odd to be read."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from lofi.backends.ace_step_15.planner.metadata import KEYSCALES, LANGUAGES, write_block
from lofi.backends.ace_step_15.planner.reading import read, read_lyrics

WORDS = st.text(string.ascii_letters + string.digits + " '.,:#&-!?é雨", max_size=200)


@given(
    caption=WORDS.map(lambda text: " ".join(text.split())).filter(lambda text: not text.isdigit()),
    bpm=st.integers(30, 300),
    key=st.sampled_from(KEYSCALES),
    language=st.sampled_from(LANGUAGES),
)
def test_a_block_comes_back(caption: str, bpm: int, key: str, language: str) -> None:
    metadata = {"bpm": bpm, "caption": caption, "keyscale": key, "language": language}
    found = read(write_block(metadata) + "\n\n<|audio_code_5|>").metadata
    assert found == {name: value for name, value in metadata.items() if value != ""}


@given(st.text(st.sampled_from("<think>/ \n\tbpm:caption'\"lyrics#<|audio_code_1|>"), max_size=300))
def test_any_answer_can_be_read(text: str) -> None:
    written = read(text)
    assert all(value != "" for value in written.metadata.values())


def test_headings_above_lyrics_are_left_out() -> None:
    block = "<think>\nbpm: 90\n</think>\n"
    for head in ("# Lyric\n", "# Lyrics\n", "# lyric \n", "# Languages\nen\n\n# Lyric\n", ""):
        assert read_lyrics(f"{block}{head}[Verse]\n# not a heading\nla<|im_end|>") == (
            "[Verse]\n# not a heading\nla"
        )
