"""The vocoder: one channel of log-mel to a waveform at 44.1 kHz.

A ConvNeXt backbone at the rate of mel frames, then a HiFi-GAN head. Both see only so far, so any
stretch can be made on its own with `halo` frames around it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lofi.backends.ace_step_v1.config import VocoderConfig
from lofi.nn.convolution import Convolution, TransposedConvolution
from lofi.worker.backend import Check, nothing


class ConvNextBlock(nn.Module):
    """A depthwise look around, then two linears over the channels, scaled and added."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=channels
        )
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> the same shape."""
        y = self.norm(self.dwconv(x.mT).mT)
        return x + self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))


class EdgeConvolution(Convolution):
    """A convolution that repeats the first and last frame beyond the ends."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(in_channels, out_channels, kernel)
        self.edge = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, O]."""
        before = x[:, :1].expand(-1, self.edge, -1)
        after = x[:, -1:].expand(-1, self.edge, -1)
        return super().forward(torch.cat((before, x, after), dim=1))


class Backbone(nn.Module):
    """Log-mel to features of the same rate."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.kernel_size = config.kernel_size
        first = EdgeConvolution(config.input_channels, config.dims[0], config.kernel_size)
        layers = [nn.Sequential(first, nn.LayerNorm(config.dims[0], eps=1e-6))]
        for narrow, wide in zip(config.dims, config.dims[1:], strict=False):
            layers.append(
                nn.Sequential(nn.LayerNorm(narrow, eps=1e-6), Convolution(narrow, wide, 1))
            )
        self.channel_layers = nn.ModuleList(layers)
        self.stages = nn.ModuleList(
            nn.ModuleList(ConvNextBlock(width, config.kernel_size) for _ in range(depth))
            for width, depth in zip(config.dims, config.depths, strict=True)
        )
        self.norm = nn.LayerNorm(config.dims[-1], eps=1e-6)

    @property
    def halo(self) -> int:
        """Frames on either side that a frame depends on."""
        depth = sum(len(list(stage.children())) for stage in self.stages)
        return (1 + depth) * (self.kernel_size // 2)

    def forward(self, x: Tensor, check: Check = nothing) -> Tensor:
        """x [B, T, 128] -> [B, T, C]."""
        for widen, stage in zip(self.channel_layers, self.stages, strict=True):
            x = widen(x)
            for block in stage.children():
                x = block(x)
            check()
        return self.norm(x)


class ResBlock(nn.Module):
    """Pairs of convolutions, the first of each pair dilated."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        half = kernel // 2
        self.reach = sum(half * (dilation + 1) for dilation in dilations)
        self.convs1 = nn.ModuleList(
            Convolution(channels, channels, kernel, dilation=dilation, padding=half * dilation)
            for dilation in dilations
        )
        self.convs2 = nn.ModuleList(
            Convolution(channels, channels, kernel, padding=half) for _ in dilations
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> the same shape."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.silu(first(F.silu(x)), inplace=True))
        return x


class Head(nn.Module):
    """Features to a waveform."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.kinds = len(config.resblock_kernel_sizes)
        self.rates = config.upsample_rates
        width, half = config.upsample_initial_channel, config.pre_conv_kernel_size // 2
        self.conv_pre = Convolution(
            config.num_mels, width, config.pre_conv_kernel_size, padding=half
        )
        ups, blocks = [], []
        for rate, kernel in zip(self.rates, config.upsample_kernel_sizes, strict=True):
            if kernel != 2 * rate:
                raise ValueError(f"upsampling by {rate} needs a kernel of {2 * rate}, not {kernel}")
            ups.append(TransposedConvolution(width, width // 2, rate, padding=rate // 2))
            width //= 2
            blocks += [
                ResBlock(width, size, dilations)
                for size, dilations in zip(
                    config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True
                )
            ]
        self._reaches = [
            max(block.reach for block in blocks[start : start + self.kinds])
            for start in range(0, len(blocks), self.kinds)
        ]
        self.ups = nn.ModuleList(ups)
        self.resblocks = nn.ModuleList(blocks)
        kernel = config.post_conv_kernel_size
        self.conv_post = Convolution(width, 1, kernel, padding=kernel // 2)

    @property
    def halo(self) -> int:
        """Frames of the features on either side that a sample depends on."""
        reach, samples = float(self.conv_pre.padding), 1
        for index, rate in enumerate(self.rates):
            reach += 2 / samples
            samples *= rate
            reach += self._reaches[index] / samples
        return int(reach + self.conv_post.padding / samples) + 1

    def _stage(self, index: int) -> nn.ModuleList:
        return self.resblocks[index * self.kinds : (index + 1) * self.kinds]

    def forward(self, x: Tensor, check: Check = nothing) -> Tensor:
        """x [B, T, C] -> [B, 512 T, 1] within -1..1."""
        x = self.conv_pre(x)
        check()
        for index, up in enumerate(self.ups):
            x = up(F.silu(x))
            total = torch.zeros_like(x)
            for block in self._stage(index):
                total += block(x)
                check()
            x = total / self.kinds
        return torch.tanh(self.conv_post(F.silu(x)))


class Vocoder(nn.Module):
    """Mel to sound; its convolutions' weight norms are folded when they are loaded."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.head = Head(config)

    @property
    def halo(self) -> int:
        """Mel frames on either side that a sample depends on."""
        return self.backbone.halo + self.head.halo

    def forward(self, mel: Tensor, check: Check = nothing) -> Tensor:
        """mel [B, 128, T] -> [B, 1, 512 T]."""
        return self.head(self.backbone(mel.mT, check), check).mT

    def stretch(self, mel: Tensor, start: int, stop: int, check: Check = nothing) -> Tensor:
        """Returns samples of frames start..stop of mel [B, 128, T] -> [B, 1, 512 (stop - start)].

        They equal those of the whole; only `halo` frames around them are looked at.
        """
        total = mel.shape[-1]
        low, high = max(0, start - self.halo), min(total, stop + self.halo)
        features = self.backbone(mel[..., low:high].mT, check)
        near, far = max(0, start - self.head.halo), min(total, stop + self.head.halo)
        wave = self.head(features[:, near - low : far - low], check).mT
        rate = wave.shape[-1] // (far - near)
        return wave[..., (start - near) * rate : (stop - near) * rate]
