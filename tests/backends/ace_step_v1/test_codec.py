"""Seams of the codec: whatever the tiles, the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lofi.backends.ace_step_v1.codec import Codec
from lofi.backends.ace_step_v1.config import DcaeConfig, VocoderConfig
from lofi.backends.ace_step_v1.dcae import Autoencoder
from lofi.backends.ace_step_v1.vocoder import Vocoder
from tests.checkpoints.ace_step_v1 import TINY, RandomWeights, published

# halos come from the layers: these have the published depths at small widths
CONFIGS = {part: {**published(part), **changes} for part, changes in {
    "dcae": {"encoder_block_out_channels": [8, 8, 16, 16], "attention_head_dim": 8,
             "decoder_block_out_channels": [8, 8, 16, 16]},
    "vocoder": {"dims": [16, 16, 16, 16], "num_mels": 16, "upsample_initial_channel": 128},
}.items()}  # fmt: skip


@pytest.fixture(scope="module")
def codec() -> Codec:
    models = (
        Autoencoder(DcaeConfig.read(CONFIGS["dcae"])),
        Vocoder(VocoderConfig.read(CONFIGS["vocoder"])),
    )
    draw = RandomWeights(3)
    for model in models:
        state = {name: draw(name, tuple(t.shape)) for name, t in model.state_dict().items()}
        model.load_state_dict(state)
        model.eval().requires_grad_(False)
    return Codec(*models)


def latents(frames: int) -> Tensor:
    return torch.randn(1, 8, 16, frames, generator=torch.Generator().manual_seed(5))


def test_stretches_equal_the_whole(codec: Codec) -> None:
    z = latents(33)
    (whole,) = codec.decode(z, 33)
    pieces = list(codec.decode(z, 9))
    assert len(pieces) > 3
    torch.testing.assert_close(torch.cat(pieces, dim=-1), whole, rtol=1e-4, atol=2e-5)


def test_a_halo_one_shorter_shows(codec: Codec) -> None:
    """The halos are as long as they need to be, and not by chance."""
    mel = torch.randn(1, 128, 400, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        whole = codec.vocoder(mel)
        moved = mel.clone()
        reach = codec.vocoder.halo
        moved[..., : 200 - reach] += 5.0
        same = codec.vocoder(moved)[..., 200 * 512 :]
    torch.testing.assert_close(same, whole[..., 200 * 512 :], rtol=0, atol=1e-6)


def test_encoding_in_tiles_equals_the_whole(codec: Codec) -> None:
    audio = torch.randn(2, 48000 * 3, generator=torch.Generator().manual_seed(7)) * 0.1
    *_, whole = codec.encode(audio, 48000, 64)
    *_, tiled = codec.encode(audio, 48000, 8)
    torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=1e-5)


def test_mono_is_encoded_as_two_equal_channels(codec: Codec) -> None:
    audio = torch.randn(1, 20000, generator=torch.Generator().manual_seed(8)) * 0.1
    *_, mono = codec.encode(audio, 44100, 64)
    *_, stereo = codec.encode(audio.expand(2, -1), 44100, 64)
    assert torch.equal(mono, stereo)


def test_windows_are_as_long_as_the_exact_decode(codec: Codec) -> None:
    z = latents(24)
    exact = torch.cat(list(codec.decode(z, 24)), dim=-1)
    windows = codec.decode_windows(z)
    assert abs(windows.shape[-1] - exact.shape[-1]) <= 1


def test_tiny_configurations_are_read() -> None:
    assert DcaeConfig.read(TINY["dcae"]).latent_channels == 8
    with pytest.raises(ValueError, match="template"):
        VocoderConfig.read({**TINY["vocoder"], "use_template": True})
    with pytest.raises(ValueError, match="GroupNorm"):
        DcaeConfig.read({**TINY["dcae"], "decoder_norm_types": "GroupNorm"})
