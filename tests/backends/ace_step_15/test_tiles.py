"""Tiles against the whole: the seams are exact."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from lofi.backends.ace_step_15.config import VaeConfig
from lofi.backends.ace_step_15.tiles import (
    DECODE_OVERLAP,
    ENCODE_OVERLAP,
    decode_tile,
    encode,
    next_tile,
    tiles,
)
from lofi.backends.ace_step_15.vae import Vae

CONFIG = VaeConfig(
    audio_channels=2,
    channel_multiples=(1, 2, 4, 8, 16),
    decoder_channels=2,
    latent_channels=4,
    ratios=(2, 4, 4, 6, 10),
    encoder_channels=8,
    sample_rate=48000,
)


@pytest.fixture(scope="module")
def vae() -> Vae:
    made = Vae(CONFIG).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in made.named_parameters():
        scale = 0.7 / max(1, parameter[0].numel()) ** 0.5 if name.endswith("weight") else 0.2
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return made


def latents(frames: int) -> torch.Tensor:
    return torch.randn(1, frames, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("frames", "chunk"), [(30, 64), (75, 32), (33, 32)])
def test_decoded_tiles_equal_the_whole(vae: Vae, frames: int, chunk: int) -> None:
    x = latents(frames)
    whole = vae.decoder(x.double())
    parts = []
    for tile in tiles(frames, chunk, DECODE_OVERLAP):
        left, right = tile.start - tile.low, tile.high - tile.stop
        part = vae.decoder(x[:, tile.low : tile.high].double(), left=left, right=right)
        assert part.shape[1] == (tile.stop - tile.start) * 1920
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=1e-9)


def test_less_context_would_show(vae: Vae) -> None:
    x = latents(64)
    whole = vae.decoder(x.double())[:, 20 * 1920 : 30 * 1920]
    near = vae.decoder(x[:, 15:35].double(), left=5, right=5)
    assert (near - whole).abs().max() > 1e-9


@pytest.mark.parametrize("length", [1, 31, 32, 33, 46, 60, 61, 200])
def test_tiles_cover_everything_once_and_share_one_shape(length: int) -> None:
    plan = tiles(length, 32, DECODE_OVERLAP)
    assert plan[0].start == 0
    assert plan[-1].stop == length
    for tile, following in pairwise(plan):
        assert tile.stop == following.start
    for tile in plan:
        assert tile.high - tile.low == min(32, length)
        assert tile.low == 0 or tile.start - tile.low >= DECODE_OVERLAP
        assert tile.high == length or tile.high - tile.stop >= DECODE_OVERLAP


def test_a_smaller_chunk_may_follow_a_larger_one() -> None:
    first = next_tile(0, 200, 64, DECODE_OVERLAP)
    second = next_tile(first.stop, 200, 32, DECODE_OVERLAP)
    assert second.start == first.stop
    assert second.start - second.low >= DECODE_OVERLAP


def test_encoded_tiles_equal_the_whole(vae: Vae) -> None:
    audio = torch.randn(1, 40 * 1920 + 700, 2, generator=torch.Generator().manual_seed(2)) * 0.3
    single = Vae(CONFIG).eval()
    single.load_state_dict(vae.state_dict())
    whole = single.encode(audio)
    tiled = encode(single, audio, 20)
    assert tiled.mean.shape == (1, 40, 4)
    torch.testing.assert_close(tiled.mean, whole.mean, rtol=1e-4, atol=1e-4)
    assert ENCODE_OVERLAP == 7


def test_decode_tile_gives_the_core(vae: Vae) -> None:
    single = Vae(CONFIG).eval().requires_grad_(False)
    single.load_state_dict(vae.state_dict())
    x = latents(64)
    tile = tiles(64, 32, DECODE_OVERLAP)[1]
    core = decode_tile(single, x, tile)
    whole = single.decode(x)[:, tile.start * 1920 : tile.stop * 1920]
    torch.testing.assert_close(core, whole, rtol=1e-3, atol=1e-3)
