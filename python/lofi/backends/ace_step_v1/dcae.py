"""The autoencoder of mel images: stereo log-mel [B, 2, 128, 8T] to latents [B, 8, 16, T] and back.

Only the innermost stage looks at all of the song at once; everything outside it is convolutions.
So the decoder comes in two halves, `inner` for the whole length and `outer` for any stretch of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lofi.backends.ace_step_v1.config import DcaeConfig
from lofi.worker.backend import Check, nothing

ATTENTION_EPSILON = 1e-15
GATED_FRAMES = 256
"""Latent frames the gated convolution handles at a time: it widens its input eightfold."""


class ChannelNorm(nn.Module):
    """Root-mean-square norm over the channels, with weight and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        wide = x.movedim(1, -1)
        y = torch.rms_norm(wide.float(), wide.shape[-1:], None, 1e-5).to(x.dtype)
        return (y * self.weight + self.bias).movedim(-1, 1)


class ResBlock(nn.Module):
    """Two convolutions, a norm, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor, check: Check) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        y = F.silu(self.conv1(x))
        check()
        return x + self.norm(self.conv2(y))


class Scale(nn.Module):
    """A wider view of queries, keys and values."""

    def __init__(self, channels: int, head_dim: int, kernel_size: int) -> None:
        super().__init__()
        width = 3 * channels
        self.proj_in = nn.Conv2d(
            width, width, kernel_size, padding=kernel_size // 2, groups=width, bias=False
        )
        self.proj_out = nn.Conv2d(width, width, 1, groups=width // head_dim, bias=False)

    def forward(self, qkv: Tensor) -> Tensor:
        """qkv [B, 3C, H, W] -> the same shape."""
        return self.proj_out(self.proj_in(qkv))


class MultiscaleAttention(nn.Module):
    """Linear attention over every pixel of the image."""

    def __init__(self, channels: int, head_dim: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_qkv_multiscale = nn.ModuleList(
            Scale(channels, head_dim, kernel_size) for kernel_size in kernel_sizes
        )
        self.to_out = nn.Linear(channels * (1 + len(kernel_sizes)), channels, bias=False)
        self.norm_out = ChannelNorm(channels)

    def forward(self, x: Tensor, check: Check) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        B, _, H, W = x.shape
        # contiguous here and below: strided bfloat16 products are ten times slower on a CPU
        pixels = x.movedim(1, -1).contiguous()
        projected = []
        for project in (self.to_q, self.to_k, self.to_v):
            projected.append(project(pixels))
            check()
        qkv = torch.cat(projected, dim=-1).movedim(-1, 1)
        views = torch.cat([qkv, *(scale(qkv) for scale in self.to_qkv_multiscale)], dim=1)
        # cut into consecutive heads: a head does not pair matching slices of q, k and v
        heads = views.reshape(B, -1, 3 * self.head_dim, H * W).float()
        q, k, v = heads.chunk(3, dim=2)  # [B, heads, D, H * W]
        q, k = F.relu(q), F.relu(k)
        weight = k.sum(-1)[:, :, None] @ q
        y = (v @ k.mT) @ q / (weight + ATTENTION_EPSILON)
        check()
        y = y.reshape(B, -1, H, W).to(x.dtype).movedim(1, -1).contiguous()
        return x + self.norm_out(self.to_out(y).movedim(-1, 1))


class GatedConvolution(nn.Module):
    """Feed-forward of the innermost stage: widen, look around, gate, narrow."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = 8 * channels
        self.conv_inverted = nn.Conv2d(channels, width, 1)
        self.conv_depth = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.conv_point = nn.Conv2d(width // 2, channels, 1, bias=False)
        self.norm = ChannelNorm(channels)

    def forward(self, x: Tensor, check: Check) -> Tensor:
        """x [B, C, H, W] -> the same shape, stretch by stretch along W."""
        W = x.shape[-1]
        pieces = []
        for start in range(0, W, GATED_FRAMES):
            stop = min(start + GATED_FRAMES, W)
            low, high = max(0, start - 1), min(W, stop + 1)
            wide = F.silu(self.conv_inverted(x[..., low:high]), inplace=True)
            wide = self.conv_depth(wide)[..., start - low : stop - low]
            a, gate = wide.chunk(2, dim=1)
            pieces.append(self.conv_point(a * F.silu(gate)))
            check()
        return x + self.norm(torch.cat(pieces, dim=-1))


class EfficientViTBlock(nn.Module):
    """Attention over the image, then the gated convolution."""

    def __init__(self, channels: int, head_dim: int, kernel_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.attn = MultiscaleAttention(channels, head_dim, kernel_sizes)
        self.conv_out = GatedConvolution(channels)

    def forward(self, x: Tensor, check: Check) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        return self.conv_out(self.attn(x, check), check)


def _averaged(x: Tensor, channels: int) -> Tensor:
    """x [B, C, H, W] -> [B, channels, H, W]: the mean of each run of neighbouring channels."""
    B, C, H, W = x.shape
    return x.view(B, channels, C // channels, H, W).mean(2)


class Down(nn.Module):
    """Halves height and width; a shortcut folds pixels into channels and averages them."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, check: Check) -> Tensor:
        """x [B, C, H, W] -> [B, C', H / 2, W / 2]."""
        y = self.conv(x)
        check()
        shortcut = _averaged(F.pixel_unshuffle(x, 2), y.shape[1])
        return y + shortcut


class Up(nn.Module):
    """Doubles height and width; a shortcut repeats channels and unfolds them into pixels."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.repeats = 4 * out_channels // channels

    def forward(self, x: Tensor, check: Check) -> Tensor:
        """x [B, C, H, W] -> [B, C', 2H, 2W]."""
        y = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        check()
        return y + F.pixel_shuffle(x.repeat_interleave(self.repeats, dim=1), 2)


def _block(kind: str, channels: int, head_dim: int, scales: tuple[int, ...]) -> nn.Module:
    if kind == "ResBlock":
        return ResBlock(channels)
    return EfficientViTBlock(channels, head_dim, scales)


def _channels_last(x: Tensor) -> Tensor:
    """The layout in which wide convolutions are fastest, by a third on a CPU."""
    if x.device.type == "mps":
        return x
    return x.contiguous(memory_format=torch.channels_last)


def _blocks(stages: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for stage in stages:
        yield from stage.children()


def _local(kinds: tuple[str, ...]) -> int:
    """How many of the outer stages are convolutions only; the innermost never counts."""
    outer = kinds[:-1]
    return next((i for i, kind in enumerate(outer) if kind != "ResBlock"), len(outer))


class Encoder(nn.Module):
    """Mel image to latents, in two halves like the decoder."""

    def __init__(self, config: DcaeConfig) -> None:
        super().__init__()
        widths = config.encoder_block_out_channels
        self.layers = config.encoder_layers_per_block
        self.local_stages = _local(config.encoder_block_types)
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        stages = []
        for index, width in enumerate(widths):
            blocks = [
                _block(
                    config.encoder_block_types[index],
                    width,
                    config.attention_head_dim,
                    config.encoder_qkv_multiscales[index],
                )
                for _ in range(config.encoder_layers_per_block[index])
            ]
            if index + 1 < len(widths):
                blocks.append(Down(width, widths[index + 1]))
            stages.append(nn.ModuleList(blocks))
        self.down_blocks = nn.ModuleList(stages)
        self.conv_out = nn.Conv2d(widths[-1], config.latent_channels, 3, padding=1)

    @property
    def halo_frames(self) -> int:
        """Latent frames of mel on either side that a frame of `outer`'s output may depend on."""
        reach = 1.0
        for index in range(self.local_stages):
            reach += (2 * self.layers[index] + 1) * 2**index
        return int(reach / 2 ** (len(self.layers) - 1)) + 1

    def outer(self, x: Tensor, check: Check = nothing) -> Tensor:
        """Any stretch of the image [B, 2, 128, 8T] -> features [B, C, H, W]."""
        x = self.conv_in(_channels_last(x))
        for block in _blocks(self.down_blocks[: self.local_stages]):
            x = block(x, check)
            check()
        return x

    def inner(self, x: Tensor, check: Check = nothing) -> Tensor:
        """All features [B, C, H, W] -> latents [B, 8, 16, T]."""
        for block in _blocks(self.down_blocks[self.local_stages :]):
            x = block(x, check)
            check()
        out = self.conv_out(x)
        return out + _averaged(x, out.shape[1])

    def forward(self, x: Tensor, check: Check = nothing) -> Tensor:
        """x [B, 2, 128, 8T] -> [B, 8, 16, T]."""
        return self.inner(self.outer(x, check), check)


class Decoder(nn.Module):
    """Latents to mel image, in two halves."""

    def __init__(self, config: DcaeConfig) -> None:
        super().__init__()
        widths = config.decoder_block_out_channels
        self.layers = config.decoder_layers_per_block
        self.local_stages = _local(config.decoder_block_types)
        self.conv_in = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.repeats = widths[-1] // config.latent_channels
        stages = []
        for index, width in enumerate(widths):
            blocks: list[nn.Module] = [
                _block(
                    config.decoder_block_types[index],
                    width,
                    config.attention_head_dim,
                    config.decoder_qkv_multiscales[index],
                )
                for _ in range(config.decoder_layers_per_block[index])
            ]
            if index + 1 < len(widths):
                blocks.insert(0, Up(widths[index + 1], width))
            stages.append(nn.ModuleList(blocks))
        self.up_blocks = nn.ModuleList(stages)
        self.norm_out = ChannelNorm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], config.in_channels, 3, padding=1)

    @property
    def halo_frames(self) -> int:
        """Frames of `inner`'s output on either side that a frame of the image may depend on."""
        reach = 1 / 2**self.local_stages  # the last convolution
        for index in range(self.local_stages):
            # nearest neighbours and one convolution, then two a block, in pixels of this stage
            reach += (1 + 2 * self.layers[index]) / 2 ** (self.local_stages - index)
        return int(reach) + 2

    def inner(self, z: Tensor, check: Check = nothing) -> Tensor:
        """z [B, 8, 16, T], all of it -> features [B, C, 16, T] (of the first local stage)."""
        x = self.conv_in(z) + z.repeat_interleave(self.repeats, dim=1)
        for block in _blocks(reversed(self.up_blocks[self.local_stages :])):
            x = block(x, check)
            check()
        return x

    def outer(self, x: Tensor, check: Check = nothing) -> Tensor:
        """Any stretch of features [B, C, 16, T] -> image [B, 2, 128, 8T]."""
        x = _channels_last(x)
        for block in _blocks(reversed(self.up_blocks[: self.local_stages])):
            x = block(x, check)
            check()
        return self.conv_out(F.relu(self.norm_out(x)))

    def forward(self, z: Tensor, check: Check = nothing) -> Tensor:
        """z [B, 8, 16, T] -> image [B, 2, 128, 8T]."""
        return self.outer(self.inner(z, check), check)


class Autoencoder(nn.Module):
    """Both directions, as the checkpoint stores them."""

    def __init__(self, config: DcaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
