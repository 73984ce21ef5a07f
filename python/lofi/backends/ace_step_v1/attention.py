"""The two attentions of a block: linear over the frames, softmax over the conditioning tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lofi.backends.ace_step_v1.rope import rotate_pairs
from lofi.nn.rope import Rotary
from lofi.nn.widening import WideningLinear
from lofi.worker.backend import Check, nothing

EPSILON = 1e-15
"""Under the sum of a query's weights, as the checkpoint was trained."""

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one block's cross attention, [B, H, S, D] each."""


class LinearAttention(nn.Module):
    """Self attention whose cost is linear in the frames: keys and values are summed first."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = WideningLinear(size, size)
        self.to_k = WideningLinear(size, size)
        self.to_v = WideningLinear(size, size)
        self.to_out = nn.ModuleList([WideningLinear(size, size)])

    def forward(
        self, x: Tensor, rotary: Rotary, mask: Tensor | None = None, check: Check = nothing
    ) -> Tensor:
        """x [B, T, C], mask [B, T] (1: a real frame) or None -> [B, T, C]."""
        B, T, _ = x.shape

        def projected(project: nn.Module) -> Tensor:
            check()
            part: Tensor = project(x)
            return part.view(B, T, self.heads, -1)

        q, k, v = (projected(project) for project in (self.to_q, self.to_k, self.to_v))
        check()
        if mask is not None:
            q, k, v = (part * mask[:, :, None, None].to(x.dtype) for part in (q, k, v))
        # float32 from here: sums over thousands of frames
        q = F.relu(rotate_pairs(q, rotary)).transpose(1, 2)  # [B, H, T, D]
        k = F.relu(rotate_pairs(k, rotary)).permute(0, 2, 3, 1)  # [B, H, D, T]
        summary = k @ v.float().transpose(1, 2)  # [B, H, D, D]
        weight = q @ k.sum(-1, keepdim=True)  # [B, H, T, 1]
        y = (q @ summary).div_(weight.add_(EPSILON))
        check()
        return self.to_out[0](y.transpose(1, 2).reshape(B, T, -1).to(x.dtype))


class CrossAttention(nn.Module):
    """Softmax attention from the frames to the conditioning tokens."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = WideningLinear(size, size)
        self.to_k = WideningLinear(size, size)
        self.to_v = WideningLinear(size, size)
        self.to_out = nn.ModuleList([WideningLinear(size, size)])

    def keys_values(self, tokens: Tensor, rotary: Rotary) -> KeysValues:
        """tokens [B, S, C] -> keys (turned) and values, the same for every step."""
        B, S, _ = tokens.shape
        k = self.to_k(tokens).view(B, S, self.heads, -1)
        v = self.to_v(tokens).view(B, S, self.heads, -1)
        k = rotate_pairs(k, rotary).to(tokens.dtype)
        return k.transpose(1, 2).contiguous(), v.transpose(1, 2).contiguous()

    def forward(
        self,
        x: Tensor,
        keys_values: KeysValues,
        rotary: Rotary,
        mask: Tensor,
        query_scale: Tensor | None = None,
    ) -> Tensor:
        """x [B, T, C] -> [B, T, C].

        Args:
            mask: [B, 1, T or 1, S], True where a frame may look.
            query_scale: [B, 1, 1], factors on the projected queries (the weakened branch).
        """
        B, T, _ = x.shape
        q = self.to_q(x)
        if query_scale is not None:
            q = q * query_scale
        q = rotate_pairs(q.view(B, T, self.heads, -1), rotary).to(x.dtype).transpose(1, 2)
        k, v = keys_values
        if q.device.type == "mps":
            # strided queries give wrong sums on some versions
            q = q.contiguous()
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.to_out[0](y.transpose(1, 2).reshape(B, T, -1))
