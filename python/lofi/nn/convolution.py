"""Convolutions over time on time-major tensors [B, T, C], channels last in memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def channels_last(weight: Tensor) -> Tensor:
    """weight [O, I, K] with the same values, input channels innermost in memory."""
    return weight.transpose(1, 2).contiguous().transpose(1, 2)


class Convolution(nn.Module):
    """A 1-d convolution run as a 2-d one of height 1, the form that is fast channels-last."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.stride, self.dilation, self.padding = stride, dilation, padding
        self.weight = nn.Parameter(torch.zeros(out_channels, in_channels, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T', O]."""
        if self.weight.shape[2] == 1 and self.stride == 1 and not self.padding:
            return F.linear(x, self.weight[..., 0], self.bias)
        y = F.conv2d(
            x.transpose(1, 2)[:, :, None],
            self.weight[:, :, None],
            self.bias,
            stride=(1, self.stride),
            padding=(0, self.padding),
            dilation=(1, self.dilation),
        )
        return y[:, :, 0].transpose(1, 2)


class TransposedConvolution(nn.Module):
    """Upsampling by `stride` with a kernel of twice that: two products, the second one added.

    For inference only: the sums are written in place, which gradients could not follow.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, padding: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        # input channels first, as the checkpoints store it
        self.weight = nn.Parameter(torch.zeros(in_channels, out_channels, 2 * stride))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, (T + 1) * stride - 2 * padding, O]."""
        B, T, _ = x.shape
        size, out, kernel = self.weight.shape
        # each half of the kernel, [size, stride * O]
        now, then = self.weight.transpose(1, 2).reshape(size, kernel * out).chunk(2, dim=1)
        sums = x.new_empty(B, T + 1, self.stride * out)
        for item, rows in zip(sums, x, strict=True):
            # what each frame adds to the `stride` frames at its own, then to those behind them
            torch.mm(rows, now, out=item[:T])
            item[T] = 0
            item[1:].addmm_(rows, then)
        frames = sums.view(B, (T + 1) * self.stride, out)
        return frames[:, self.padding : frames.shape[1] - self.padding].add_(self.bias)
