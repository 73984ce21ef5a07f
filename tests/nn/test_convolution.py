from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lofi.nn.convolution import Convolution, TransposedConvolution, channels_last
from lofi.nn.snake import Snake


def random(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.requires_grad_(False)  # as loaded


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [(7, 1, 1, 3), (7, 1, 9, 27), (1, 1, 1, 0), (8, 4, 1, 2), (3, 1, 1, 1)],
)
def test_time_major_equals_channel_major(
    kernel: int, stride: int, dilation: int, padding: int
) -> None:
    layer = Convolution(6, 5, kernel, stride=stride, dilation=dilation, padding=padding)
    random(layer)
    x = torch.randn(2, 61, 6)
    expected = F.conv1d(
        x.transpose(1, 2), layer.weight, layer.bias, stride, padding, dilation
    ).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)
    layer.weight.data = channels_last(layer.weight.data)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("stride", [2, 3, 10])
def test_overlap_and_add_equals_a_transposed_convolution(stride: int) -> None:
    padding = -(-stride // 2)
    layer = TransposedConvolution(6, 5, stride, padding=padding)
    random(layer)
    x = torch.randn(2, 13, 6)
    expected = F.conv_transpose1d(x.transpose(1, 2), layer.weight, layer.bias, stride, padding)
    torch.testing.assert_close(layer(x), expected.transpose(1, 2))


@pytest.mark.parametrize("frames", [3, 70000])
def test_snake_in_stretches_equals_the_formula(frames: int) -> None:
    layer = Snake(4)
    random(layer)
    x: Tensor = torch.randn(1, frames, 4)
    a, b = layer.alpha.exp().view(-1), layer.beta.exp().view(-1)
    torch.testing.assert_close(layer(x), x + torch.sin(a * x) ** 2 / (b + 1e-9))
