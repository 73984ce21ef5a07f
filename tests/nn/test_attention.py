from __future__ import annotations

import pytest
import torch

from lofi.nn import attention
from lofi.nn.attention import Attention, attend
from lofi.nn.rope import rotary_table


def heads(count: int, length: int, seed: int) -> torch.Tensor:
    return torch.randn(2, count, length, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("length", [3, 9, 40, 77])
@pytest.mark.parametrize("causal", [False, True])
def test_a_window_in_blocks_equals_one_full_mask(
    length: int, causal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "WINDOW_BLOCK", 16)
    q, k, v = heads(4, length, 0), heads(2, length, 1), heads(2, length, 2)
    rows = torch.arange(length)
    near = (rows[:, None] - rows).abs() <= 5
    if causal:
        near &= rows <= rows[:, None]
    found = attend(q, k, v, causal=causal, window=5)
    torch.testing.assert_close(found, attend(q, k, v, mask=near))


def test_a_window_joins_a_padding_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "WINDOW_BLOCK", 16)
    q, k, v = heads(4, 40, 0), heads(2, 40, 1), heads(2, 40, 2)
    valid = (torch.arange(40) < 37).view(1, 1, 1, 40)
    rows = torch.arange(40)
    near = ((rows[:, None] - rows).abs() <= 5) & valid
    found = attend(q, k, v, mask=valid, window=5)
    torch.testing.assert_close(found, attend(q, k, v, mask=near))


def test_long_queries_are_answered_in_blocks_between_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "LONG_BLOCK", 16)
    q, k, v = heads(4, 40, 0), heads(2, 40, 1), heads(2, 40, 2)
    calls = []
    found = attend(q, k, v, check=lambda: calls.append(1))
    torch.testing.assert_close(found, attend(q, k, v))
    assert len(calls) == 3


def test_no_scores_of_an_apple_device_exceed_its_largest_buffer() -> None:
    keys, items = 7500, 4
    for heads in (16, 32, 32 * items, 10**6):
        rows = attention.rows_at_once(heads, keys, "mps")
        assert 1 <= rows <= attention.LONG_BLOCK == attention.rows_at_once(heads, keys, "cpu")
        assert heads * rows * keys * 4 < 2**32 or rows == 1
    assert attention.rows_at_once(32, keys, "mps") == attention.LONG_BLOCK


def test_query_heads_share_key_heads_in_order() -> None:
    q, k, v = heads(4, 6, 0), heads(2, 6, 1), heads(2, 6, 2)
    expected = attend(q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1))
    torch.testing.assert_close(attend(q, k, v), expected)


def test_rotation_keeps_length_and_depends_on_distance_only() -> None:
    torch.manual_seed(0)
    layer = Attention(16, 2, 1, 8)
    x = torch.randn(1, 1, 16).expand(1, 12, 16)
    rotary = rotary_table(torch.arange(12), 8, 1e4)
    q, (k, _) = layer.queries(x, rotary), layer.keys_values(x, rotary)
    scores = q[0, 0] @ k[0, 0].T
    torch.testing.assert_close(scores[3, 1], scores[9, 7])
    torch.testing.assert_close(q.norm(dim=-1), layer.queries(x).norm(dim=-1))


def test_a_causal_layer_ignores_what_comes_later() -> None:
    torch.manual_seed(0)
    layer = Attention(16, 2, 1, 8)
    x = torch.randn(1, 10, 16)
    later = x.clone()
    later[:, 6:] += 1
    torch.testing.assert_close(layer(x, causal=True)[:, :6], layer(later, causal=True)[:, :6])
