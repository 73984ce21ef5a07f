"""The text encoder: the encoder half of UMT5, and a levelled run of it for guidance.

Every layer has position biases of its own, which is what tells UMT5 from T5
(Chung et al. 2023, "UniMax"); distances fall into buckets as in Raffel et al. 2020, section 2.1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from lofi.backends.ace_step_v1.config import (
    MAX_TEXT_TOKENS,
    WEAK_TEXT_LAYERS,
    WEAKENING,
    TextConfig,
)
from lofi.nn.embedding import Embedding
from lofi.nn.norms import RMSNorm

END = 1
"""`</s>`, the last token of every prompt."""


class SelfAttention(nn.Module):
    """Attention of all to all, unscaled, with a learned bias for each bucket of distances."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        inner_size = config.num_heads * config.d_kv
        self.head_size = config.d_kv
        self.q = nn.Linear(config.d_model, inner_size, bias=False)
        self.k = nn.Linear(config.d_model, inner_size, bias=False)
        self.v = nn.Linear(config.d_model, inner_size, bias=False)
        self.o = nn.Linear(inner_size, config.d_model, bias=False)
        self.relative_attention_bias = Embedding(
            config.relative_attention_num_buckets, config.num_heads
        )

    def forward(self, x: Tensor, buckets: Tensor, hidden: Tensor, factor: float) -> Tensor:
        """x [B, S, C] -> [B, S, C].

        Args:
            buckets: of the distance from query to key, [S, S].
            hidden: true at keys that nobody may see, [B, 1, 1, S].
            factor: of the queries.
        """
        B, S, _ = x.shape
        q, k, v = (
            y.view(B, S, -1, self.head_size).transpose(1, 2)
            for y in (self.q(x) * factor, self.k(x), self.v(x))
        )
        bias = self.relative_attention_bias(buckets).permute(2, 0, 1)
        bias = bias[None].masked_fill(hidden, torch.finfo(x.dtype).min)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        return self.o(y.transpose(1, 2).reshape(B, S, -1))


class AttentionLayer(nn.Module):
    """The first half of a block, added to what came in."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(config)
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, x: Tensor, buckets: Tensor, hidden: Tensor, factor: float) -> Tensor:
        """x [B, S, C] -> [B, S, C]."""
        return x + self.SelfAttention(self.layer_norm(x), buckets, hidden, factor)


class GatedFeedForward(nn.Module):
    """wo(gelu(wi_0(x)) * wi_1(x)), without biases; the gelu is the one by tanh."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, C] -> [B, S, C]."""
        return self.wo(F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x))


class FeedForwardLayer(nn.Module):
    """The second half of a block, added to what came in."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.DenseReluDense = GatedFeedForward(config)
        self.layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, C] -> [B, S, C]."""
        return x + self.DenseReluDense(self.layer_norm(x))


class Block(nn.Module):
    """Attention and feed-forward."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList([AttentionLayer(config), FeedForwardLayer(config)])

    def forward(self, x: Tensor, buckets: Tensor, hidden: Tensor, factor: float) -> Tensor:
        """x [B, S, C] -> [B, S, C]."""
        attention, feed_forward = self.layer
        return feed_forward(attention(x, buckets, hidden, factor))


class Stack(nn.Module):
    """All blocks, from tokens to the last norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.d_model)
        self.block = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_layer_norm = RMSNorm(config.d_model, config.layer_norm_epsilon)


class TextEncoder(nn.Module):
    """Prompt tokens to text states. Its names are the checkpoint's but for one:

    the embedding is kept once, as `encoder.embed_tokens`; the file calls it `shared`.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Stack(config)

    @property
    def size(self) -> int:
        """Width of the states."""
        return self.config.d_model

    @torch.inference_mode()
    def forward(self, ids: Tensor, mask: Tensor, *, weakened: bool = False) -> Tensor:
        """ids and mask [B, S] -> states [B, S, 768] float32 after the last norm."""
        buckets = distance_buckets(
            ids.shape[1],
            self.config.relative_attention_num_buckets,
            self.config.relative_attention_max_distance,
            device=ids.device,
        )
        hidden = (mask == 0)[:, None, None, :]
        x = self.encoder.embed_tokens(ids)
        for index, block in enumerate(self.encoder.block):
            factor = WEAKENING if weakened and index in WEAK_TEXT_LAYERS else 1.0
            x = block(x, buckets, hidden, factor)
        states: Tensor = self.encoder.final_layer_norm(x).float()
        return states


def distance_buckets(
    length: int, count: int, max_distance: int, *, device: torch.device | None = None
) -> Tensor:
    """Returns the bucket of each distance from a query (row) to a key (column), [length, length].

    Keys before the query have the lower half of `count`, keys behind it the upper. A quarter of
    `count` are single distances, the next quarter grow with the logarithm up to `max_distance`.
    """
    half, exact = count // 2, count // 4
    places = torch.arange(length, device=device)
    distance = places[None, :] - places[:, None]
    near = distance.abs()
    octaves = torch.log(near.float() / exact) / math.log(max_distance / exact)
    far = (exact + (octaves.clamp(min=0.0) * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(near < exact, near, far) + half * (distance > 0)


def module_name(stored: str) -> str | None:
    """Returns our name of a tensor of the file, None for the second name of the embedding."""
    if stored == "encoder.embed_tokens.weight":
        return None
    return "encoder.embed_tokens.weight" if stored == "shared.weight" else stored


def text_ids(tokenizer: Tokenizer, prompt: str) -> tuple[list[int], bool]:
    """Returns the prompt's tokens, at most 256 with the end token, and whether some were cut."""
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    limit = MAX_TEXT_TOKENS - 1
    return [*ids[:limit], END], len(ids) > limit
