"""The working memory of each stage as planned, against what an allocator counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lofi.backends.ace_step_15 import needs
from lofi.backends.ace_step_15.config import ModelConfig, VaeConfig, Width
from lofi.backends.ace_step_15.dit import Decoder
from lofi.backends.ace_step_15.tiles import DECODE_OVERLAP
from lofi.backends.ace_step_15.vae import Vae
from lofi.nn.convolution import channels_last
from tests.allocator import Allocator
from tests.backends.ace_step_15.test_checks import config

TOLERANCE = 0.15
FP32 = torch.float32
ROWS = 180


def highest(compute: Callable[[], object]) -> int:
    """The most that lived at once beside what was there."""
    with torch.inference_mode(), Allocator() as allocator:
        compute()
    return allocator.peak_bytes


@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("frames", [1000, 6000])
def test_a_step_of_the_decoder(heads: int, frames: int) -> None:
    """The published proportions, an eighth as wide."""
    width = Width(256, 768, heads, 1)
    sizes = replace(ModelConfig.from_dict(config("turbo")), decoder=width, decoder_layers=2)
    decoder = Decoder(sizes).requires_grad_(False)
    x, context = torch.zeros(1, frames, 64), torch.zeros(1, frames, 128)
    condition, time = torch.zeros(1, ROWS, 2048), torch.ones(1)
    found = highest(lambda: decoder(x, context, decoder.remember(condition), time))
    # the sampler's own latents are not in a bare step
    planned = needs.diffusion_bytes(sizes, frames, ROWS, FP32) - needs.latent_bytes(sizes, frames)
    assert found == pytest.approx(planned, rel=TOLERANCE)


@pytest.mark.parametrize("tile", [64, 96])
def test_tiles_of_the_autoencoder(tile: int) -> None:
    """A quarter as wide: any less, and the stretches of the activation would be seen."""
    sizes = replace(VaeConfig.from_dict(config("vae")), decoder_channels=32, encoder_channels=32)
    vae = Vae(sizes).requires_grad_(False)
    for parameter in vae.parameters():
        if parameter.dim() == 3 and len(parameter) > 1:
            parameter.data = channels_last(parameter.data)
    latents, sound = torch.zeros(1, tile, 64), torch.zeros(1, tile * 1920, 2)
    edge = DECODE_OVERLAP
    decoded = highest(lambda: vae.decode(latents, left=edge, right=edge))
    assert decoded == pytest.approx(needs.decoding_bytes(sizes, tile, FP32), rel=TOLERANCE)
    encoded = highest(lambda: vae.encode(sound))
    assert encoded == pytest.approx(needs.encoding_bytes(sizes, tile, FP32), rel=TOLERANCE)
