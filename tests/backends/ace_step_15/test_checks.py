"""How much is computed between two checks for a cancel, at full size and ten minutes of music."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lofi.backends.ace_step_15.config import MAX_FRAMES, ModelConfig, TextConfig, VaeConfig
from lofi.backends.ace_step_15.model import AceStep
from lofi.backends.ace_step_15.pipeline import ENCODE_TILE_FRAMES, TILE_FRAMES
from lofi.backends.ace_step_15.text import LYRIC_LIMIT, TEXT_LIMIT, TextEncoder
from lofi.backends.ace_step_15.tiles import DECODE_OVERLAP
from lofi.backends.ace_step_15.vae import Vae

MANIFESTS = Path(__file__).parents[2] / "goldens" / "manifests"
LIMIT = 200e9
"""Floating-point operations; two cores without matrix units make about 150e9 a second."""
LAYERS = 2
"""One layer with a window, one without: the others are the same."""


def config(name: str) -> dict[str, Any]:
    path = MANIFESTS / f"ace-step-1.5-{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["config"]
    return found


class Between:
    """The most operations between two checks."""

    def __init__(self) -> None:
        self.most = 0
        self.counter = FlopCounterMode(display=False)
        self._last = 0

    def check(self) -> None:
        total = self.counter.get_total_flops()
        self.most, self._last = max(self.most, total - self._last), total


def most_between_checks(compute: Callable[[Callable[[], None]], object]) -> int:
    between = Between()
    with between.counter, torch.inference_mode(), torch.device("meta"):
        compute(between.check)
    between.check()  # what follows the last one counts, too
    assert between.counter.get_total_flops() > 0
    return between.most


@pytest.fixture(scope="module", params=["turbo", "xl-turbo"])
def model(request: pytest.FixtureRequest) -> AceStep:
    sizes = replace(
        ModelConfig.from_dict(config(request.param)), decoder_layers=LAYERS, lyric_layers=LAYERS
    )
    with torch.device("meta"):
        return AceStep(sizes).requires_grad_(False)


def test_a_step_of_ten_minutes_is_checked_often(model: AceStep) -> None:
    def step(check: Callable[[], None]) -> object:
        decoder = model.decoder
        x, context = torch.empty(1, MAX_FRAMES, 64), torch.empty(1, MAX_FRAMES, 128)
        rows = torch.empty(1, TEXT_LIMIT + LYRIC_LIMIT + 1, model.config.encoder.size)
        return decoder(x, context, decoder.remember(rows, check), torch.empty(1), check=check)

    assert most_between_checks(step) < LIMIT


def test_the_longest_lyrics_and_codes_are_checked_often(model: AceStep) -> None:
    def condition(check: Callable[[], None]) -> object:
        lyrics = torch.empty(1, LYRIC_LIMIT, 1024)
        valid = torch.ones(1, LYRIC_LIMIT, dtype=torch.bool, device="cpu")
        return model.encoder.lyric_encoder(lyrics, valid, check)

    def codec(check: Callable[[], None]) -> object:
        latents, silence = torch.empty(1, MAX_FRAMES, 64), torch.empty(1, 10, 64)
        return model.hints(latents, silence, check)

    assert most_between_checks(codec) < LIMIT
    assert most_between_checks(condition) < LIMIT


def test_text_and_tiles_are_checked_often() -> None:
    with torch.device("meta"):
        text = TextEncoder(replace(TextConfig.from_dict(config("text-encoder")), layers=LAYERS))
        vae = Vae(VaeConfig.from_dict(config("vae")))
    tile = TILE_FRAMES["cpu"]
    for compute in (
        lambda check: text(torch.zeros(1, TEXT_LIMIT, dtype=torch.int64), check),
        lambda check: vae.decode(
            torch.empty(1, tile, 64), check, left=DECODE_OVERLAP, right=DECODE_OVERLAP
        ),
        lambda check: vae.encode(torch.empty(1, ENCODE_TILE_FRAMES * 1920, 2), check),
    ):
        assert most_between_checks(compute) < LIMIT
