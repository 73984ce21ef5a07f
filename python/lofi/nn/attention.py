"""Grouped-query attention: normalised heads, rotary positions, an optional sliding window."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lofi.nn.norms import RMSNorm
from lofi.nn.rope import Rotary, rotate

Check = Callable[[], None]
WINDOW_BLOCK = 256
"""Queries answered at a time under a window: the mask is [256, 256 + 2 * window], never [T, T]."""
LONG_BLOCK = 1024
"""Queries answered between two checks: ten minutes of music at once would take seconds."""
MPS_BUFFER_BYTES = 2**32 - 1
"""The largest buffer of an Apple GPU, where the scores of a block are written out as float32."""


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    window: int | None = None,
    check: Check | None = None,
) -> Tensor:
    """Softmax attention; consecutive query heads share a key/value head.

    Args:
        q: [B, H, T, D].
        k, v: [B, G, S, D], H a multiple of G.
        mask: True where a query may look, broadcastable to [B, H, T, S].
        causal: query i sees keys 0..i only.
        window: query i sees keys i - window .. i + window only; T must equal S.
        check: called between blocks of queries; may raise.

    Returns:
        [B, H, T, D].
    """
    T = q.shape[2]
    if window is None or window + 1 >= T:
        rows = rows_at_once(q.shape[0] * q.shape[1], k.shape[2], q.device.type)
        if rows >= T or mask is not None or causal:
            return _attend(q, k, v, mask, causal)
        return _in_blocks(q, k, v, rows, check)
    out = torch.empty_like(q)
    bands: dict[tuple[int, int, int], Tensor] = {}
    for start in range(0, T, WINDOW_BLOCK):
        stop = min(start + WINDOW_BLOCK, T)
        low, high = max(0, start - window), min(T, stop + window)
        # all blocks but the first and the last see the same band
        place = (start - low, stop - low, high - low)
        if place not in bands:
            bands[place] = _band(*place, window, causal=causal, device=q.device)
        near = bands[place]
        if mask is not None:
            near = near & _columns(mask, start, stop, low, high)
        out[:, :, start:stop] = _attend(
            q[:, :, start:stop], k[:, :, low:high], v[:, :, low:high], near, False
        )
        if check is not None:
            check()
    return out


def _band(
    first: int, last: int, columns: int, window: int, *, causal: bool, device: torch.device
) -> Tensor:
    """Which of `columns` keys the queries first..last may see, [last - first, columns]."""
    rows = torch.arange(first, last, device=device)[:, None]
    places = torch.arange(columns, device=device)
    near = (rows - places).abs() <= window
    return near & (places <= rows) if causal else near


def rows_at_once(heads: int, keys: int, device: str) -> int:
    """How many queries of `heads` heads (those of all items) are answered at once.

    Args:
        keys: how many each may look at.
        device: its type; only Apple's has a limit to the scores.
    """
    if device != "mps":
        return LONG_BLOCK
    return max(1, min(LONG_BLOCK, MPS_BUFFER_BYTES // (heads * keys * 4)))


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, rows: int, check: Check | None) -> Tensor:
    out = torch.empty_like(q)
    for start in range(0, q.shape[2], rows):
        block = slice(start, start + rows)
        out[:, :, block] = _attend(q[:, :, block], k, v, None, False)
        if check is not None:
            check()
    return out


def _columns(mask: Tensor, start: int, stop: int, low: int, high: int) -> Tensor:
    rows = mask if mask.shape[-2] == 1 else mask[..., start:stop, :]
    return rows[..., low:high]


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    # q, k and v contiguous: strided ones give wrong sums on some MPS versions
    if q.device.type == "mps":
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    shared = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=shared
    )


class Attention(nn.Module):
    """Projections without bias (unless asked), RMS norm over each head's queries and keys."""

    def __init__(
        self,
        size: int,
        heads: int,
        kv_heads: int,
        head_dim: int,
        *,
        eps: float = 1e-6,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.q_proj = nn.Linear(size, heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(size, kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(size, kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(heads * head_dim, size, bias=bias)
        self.q_norm = RMSNorm(head_dim, eps)
        self.k_norm = RMSNorm(head_dim, eps)

    def queries(self, x: Tensor, rotary: Rotary | None = None) -> Tensor:
        """x [B, T, size] -> [B, H, T, D], normalised and turned."""
        B, T, _ = x.shape
        q = self.q_norm(self.q_proj(x).view(B, T, -1, self.head_dim)).transpose(1, 2)
        return q if rotary is None else rotate(q, rotary)

    def keys_values(self, x: Tensor, rotary: Rotary | None = None) -> tuple[Tensor, Tensor]:
        """x [B, S, size] -> keys and values [B, G, S, D]; keys normalised and turned."""
        B, S, _ = x.shape
        k = self.k_norm(self.k_proj(x).view(B, S, -1, self.head_dim)).transpose(1, 2)
        v = self.v_proj(x).view(B, S, -1, self.head_dim).transpose(1, 2)
        return (k if rotary is None else rotate(k, rotary)), v

    def merge(self, y: Tensor) -> Tensor:
        """Heads [B, H, T, D] -> [B, T, size]."""
        B, _, T, _ = y.shape
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1))

    def forward(
        self,
        x: Tensor,
        *,
        rotary: Rotary | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
        window: int | None = None,
        check: Check | None = None,
    ) -> Tensor:
        """Self-attention: x [B, T, size] -> [B, T, size]; the options are those of `attend`."""

        def heads() -> Tensor:  # queries, keys and values are gone when it returns
            q = self.queries(x, rotary)
            if check is not None:
                check()
            k, v = self.keys_values(x, rotary)
            if check is not None:
                check()
            return attend(q, k, v, mask=mask, causal=causal, window=window, check=check)

        return self.merge(heads())
