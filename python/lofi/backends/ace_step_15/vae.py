"""The Oobleck autoencoder: 48 kHz stereo <-> 64 channels at 25 frames a second.

Everything runs time-major ([B, T, C], channels last in memory): a long narrow convolution is then
a matrix product over channels, many times faster on a CPU than the channel-major form.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lofi.backends.ace_step_15.config import VaeConfig
from lofi.backends.ace_step_15.encoders import never
from lofi.nn.convolution import Convolution, TransposedConvolution
from lofi.nn.snake import Snake
from lofi.worker.backend import Check

DILATIONS = (1, 3, 9)
MIN_STD = 1e-4
UNIT_REACH = 3 * sum(DILATIONS)
"""How far the three residual units of a block look."""
OUTER_REACH = 3


class ResidualUnit(nn.Module):
    """A wide dilated look around, then a mix of channels, added."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv1 = Convolution(channels, channels, 7, dilation=dilation, padding=3 * dilation)
        self.snake2 = Snake(channels)
        self.conv2 = Convolution(channels, channels, 1)

    def forward(self, x: Tensor, check: Check = never) -> Tensor:
        """x [B, T, C] -> [B, T, C]."""
        y = self.conv1(self.snake1(x))
        check()
        y = self.snake2(y)
        y = self.conv2(y).add_(x)
        check()
        return y


class EncoderBlock(nn.Module):
    """Three residual units, then fewer frames of more channels."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.res_unit1 = ResidualUnit(channels, DILATIONS[0])
        self.res_unit2 = ResidualUnit(channels, DILATIONS[1])
        self.res_unit3 = ResidualUnit(channels, DILATIONS[2])
        self.snake1 = Snake(channels)
        self.conv1 = Convolution(
            channels, out_channels, 2 * stride, stride=stride, padding=-(-stride // 2)
        )

    def forward(self, x: Tensor, check: Check = never) -> Tensor:
        """x [B, T, C] -> [B, T / stride, C']."""
        for unit in (self.res_unit1, self.res_unit2, self.res_unit3):
            x = unit(x, check)
        return self.conv1(self.snake1(x))


class DecoderBlock(nn.Module):
    """More frames of fewer channels, then three residual units."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels)
        self.conv_t1 = TransposedConvolution(
            channels, out_channels, stride, padding=-(-stride // 2)
        )
        self.res_unit1 = ResidualUnit(out_channels, DILATIONS[0])
        self.res_unit2 = ResidualUnit(out_channels, DILATIONS[1])
        self.res_unit3 = ResidualUnit(out_channels, DILATIONS[2])

    def forward(self, x: Tensor, check: Check = never) -> Tensor:
        """x [B, T, C] -> [B, stride * T, C']."""
        x = self.conv_t1(self.snake1(x))
        for unit in (self.res_unit1, self.res_unit2, self.res_unit3):
            x = unit(x, check)
        return x


class Encoder(nn.Module):
    """Sound -> mean and scale of its latents."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels = config.encoder_channels
        widths = [channels] + [channels * multiple for multiple in config.channel_multiples]
        self.conv1 = Convolution(config.audio_channels, channels, 7, padding=3)
        self.block = nn.ModuleList(
            EncoderBlock(widths[i], widths[i + 1], stride) for i, stride in enumerate(config.ratios)
        )
        self.snake1 = Snake(widths[-1])
        self.conv2 = Convolution(widths[-1], config.encoder_channels, 3, padding=1)

    def forward(self, x: Tensor, check: Check = never) -> Tensor:
        """x [B, samples, 2] -> [B, T, 2 * latent channels]."""
        x = self.conv1(x)
        for block in self.block:
            x = block(x, check)
            check()
        return self.conv2(self.snake1(x))


class Decoder(nn.Module):
    """Latents -> sound."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        channels = config.decoder_channels
        widths = [channels] + [channels * multiple for multiple in config.channel_multiples]
        widths.reverse()
        self.strides = tuple(reversed(config.ratios))
        self.conv1 = Convolution(config.latent_channels, widths[0], 7, padding=3)
        self.block = nn.ModuleList(
            DecoderBlock(widths[i], widths[i + 1], stride) for i, stride in enumerate(self.strides)
        )
        self.snake1 = Snake(widths[-1])
        self.conv2 = Convolution(widths[-1], config.audio_channels, 7, padding=3, bias=False)

    def forward(self, x: Tensor, check: Check = never, *, left: int = 0, right: int = 0) -> Tensor:
        """x [B, T, latent channels] -> [B, hop * (T - left - right), 2].

        Args:
            x: latents.
            check: called after each convolution of a block.
            left, right: how many frames at either end are context only; 0 where the track itself
                ends. Context is dropped as soon as nothing later can see it: the last blocks, which
                do most of the work, hardly have any.
        """
        x = self.conv1(x)
        for block, stride, reach in zip(self.block, self.strides, self.reaches(), strict=True):
            x = block(x, check)
            left, right = left * stride, right * stride
            first, last = max(0, left - reach), max(0, right - reach)
            x = x[:, first : x.shape[1] - last]
            left, right = left - first, right - last
            check()
        x = self.conv2(self.snake1(x))
        return x[:, left : x.shape[1] - right]

    def reaches(self) -> list[int]:
        """How many frames beyond the core each block's output is still looked at."""
        reach, found = OUTER_REACH, [OUTER_REACH]
        for stride in reversed(self.strides[1:]):
            # the residual units above, then the frames whose transposed kernels reach there
            reach = (reach + UNIT_REACH) // stride + 2
            found.append(reach)
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Posterior:
    """What the encoder knows of the latents: mean and scale [B, T, C], float32."""

    mean: Tensor
    scale: Tensor

    @property
    def std(self) -> Tensor:
        """Standard deviation [B, T, C]."""
        return F.softplus(self.scale) + MIN_STD

    def sample(self, noise: Tensor) -> Tensor:
        """noise [B, T, C] -> latents [B, T, C]."""
        return self.mean + self.std * noise


class Vae(nn.Module):
    """Encoder and decoder under the checkpoint's names, weight norm folded."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.decoder.conv1.weight.dtype

    def encode(self, audio: Tensor, check: Check = never) -> Posterior:
        """audio [B, samples, 2] -> the posterior of floor(samples / hop) frames."""
        mean, scale = self.encoder(audio.to(self.dtype), check).float().chunk(2, dim=-1)
        return Posterior(mean, scale)

    def decode(
        self, latents: Tensor, check: Check = never, *, left: int = 0, right: int = 0
    ) -> Tensor:
        """latents [B, T, C] -> audio [B, hop * (T - left - right), 2], float32.

        `left` and `right` frames are context that makes the seams to neighbours exact.
        """
        return self.decoder(latents.to(self.dtype), check, left=left, right=right).float()
