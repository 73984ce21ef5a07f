"""What a request comes to before anything is computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lofi.backends.ace_step_15.config import ModelConfig
from lofi.backends.ace_step_15.outline import Outline
from lofi.backends.ace_step_15.request import EditOf, Request
from lofi.backends.ace_step_15.sampler import Guidance
from lofi.errors import InvalidParams, InvalidSource, UnsupportedTask
from tests.backends.ace_step_15.test_manifests import manifest

RATE = 48000
SOURCE = np.full((10 * RATE, 2), 0.1, dtype=np.float32)


@pytest.fixture(scope="module")
def turbo() -> ModelConfig:
    return ModelConfig.from_dict(manifest("turbo")["config"])


@pytest.fixture(scope="module")
def base() -> ModelConfig:
    return ModelConfig.from_dict(manifest("base")["config"])


@pytest.mark.parametrize(
    ("seconds", "frames"), [(1, 128), (5.12, 128), (5.13, 129), (10.04, 251), (600, 15000)]
)
def test_frames_hold_the_exact_length(turbo: ModelConfig, seconds: float, frames: int) -> None:
    outline = Outline(Request(prompt="rain", duration_sec=seconds), turbo)
    assert outline.samples == round(seconds * RATE)
    assert outline.frames == frames


def test_the_family_fills_the_gaps(turbo: ModelConfig, base: ModelConfig) -> None:
    quick = Outline(Request(prompt="rain", guidance=Guidance(9)), turbo).request
    assert (quick.steps, quick.shift, quick.guidance) == (8, 3.0, Guidance())
    slow = Outline(Request(prompt="rain"), base).request
    assert (slow.steps, slow.shift, slow.guidance) == (50, 1.0, Guidance(7.0))
    own = Outline(Request(prompt="rain", steps=20, shift=2, guidance=Guidance(3)), base).request
    assert (own.steps, own.shift, own.guidance) == (20, 2, Guidance(3))


def test_a_source_sets_length_and_windows(turbo: ModelConfig) -> None:
    request = Request(task="repaint", source=SOURCE, start_sec=2, end_sec=4)
    outline = Outline(request, turbo)
    assert outline.samples == 10 * RATE
    assert outline.sounds.windows == [(50, 100)]
    both = Request(task="extend", source=SOURCE, extend_left_sec=2.5, extend_right_sec=3)
    grown = Outline(both, turbo)
    assert grown.samples == round(15.5 * RATE)
    assert grown.sounds.windows == [(0, 63), (312, 388)]
    assert grown.sounds.audio is not None
    assert not grown.sounds.audio[: 2 * RATE].any()


def test_prompts_follow_the_task(turbo: ModelConfig, base: ModelConfig) -> None:
    plain = Outline(Request(prompt="rain", duration_sec=30, bpm=80), turbo).prompts()
    assert set(plain) == {"main"}
    text, lyrics = plain["main"]
    assert "Fill the audio semantic mask" in text
    assert "- bpm: 80\n" in text
    assert "- duration: 30 seconds" in text
    assert lyrics.startswith("# Languages\nunknown\n\n# Lyric\n[Instrumental]")
    planned = Outline(Request(prompt="rain", duration_sec=1, codes=(1,) * 5), turbo).prompts()
    assert "Generate audio semantic tokens" in planned["main"][0]
    cover = Request(prompt="rain", task="cover", source=SOURCE, cover_strength=0.5)
    assert "Fill the audio semantic mask" in Outline(cover, turbo).prompts()["plain"][0]
    stem = Request(task="lego", source=SOURCE, tracks=("drums",))
    assert "Generate the DRUMS track" in Outline(stem, base).prompts()["main"][0]
    edit = Request(
        prompt="new", task="edit", source=SOURCE, edit=EditOf(prompt="old", lyrics="la la")
    )
    source_text, source_lyrics = Outline(edit, turbo).prompts()["source"]
    assert "# Caption\nold\n" in source_text
    assert "la la" in source_lyrics


def test_what_cannot_be_done_is_refused(turbo: ModelConfig) -> None:
    with pytest.raises(UnsupportedTask, match="base"):
        Outline(Request(task="extract", source=SOURCE), turbo)
    with pytest.raises(InvalidSource):
        Outline(Request(task="cover"), turbo)
    with pytest.raises(InvalidParams):
        Outline(Request(task="retake"), turbo)
    nothing = Request(task="extend", source=SOURCE)
    with pytest.raises(InvalidParams):
        Outline(replace(nothing, extend_left_sec=0, extend_right_sec=0), turbo)
    with pytest.raises(InvalidParams, match="window"):
        Outline(Request(task="repaint", source=SOURCE, start_sec=5, end_sec=5), turbo)
