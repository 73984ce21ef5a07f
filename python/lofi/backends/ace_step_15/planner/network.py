"""The network: Qwen3 with a cache of fixed size. Attribute names are the checkpoint's keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from lofi.backends.ace_step_15.planner.config import PlannerConfig
from lofi.nn.attention import Attention, attend
from lofi.nn.embedding import Embedding
from lofi.nn.mlp import GatedMLP
from lofi.nn.norms import RMSNorm
from lofi.nn.packed import PackedTable, is_packable, pack_linears, packed_bytes
from lofi.nn.rope import Rotary, rotary_table
from lofi.nn.thin import make_thin, thin_linear

Check = Callable[[], None]


class AnyCache(Protocol):
    """What a decoder asks of a cache."""

    length: int

    def row(self, row: int, first: int) -> Self:
        """Returns one row from its first column on, as a cache of its own on the same memory."""

    def take(self, other: Self, columns: int) -> None:
        """Copies the first `columns` columns of a cache with as many rows."""

    def spread(self, source: int, rows: range, first: int, end: int) -> None:
        """Copies columns first..end of row `source` to `rows`."""


class Network(Protocol):
    """What a decoder asks of a network."""

    @property
    def config(self) -> PlannerConfig:
        """Its sizes."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    def cache(self, rows: int, columns: int, firsts: tuple[int, ...] = ()) -> Any:
        """Returns an empty cache; `firsts` are the rows' first columns, 0 each if not given."""

    def __call__(self, ids: Tensor, cache: Any, check: Check) -> Tensor:
        """Reads ids [B, T] behind those in the cache -> hidden states [B, T, C], normalised."""

    def head(self, hidden: Tensor, rows: slice | Tensor | None = None) -> Tensor:
        """hidden [..., C] -> logits [..., R], of the given ids only if there are any."""


@dataclass(slots=True)
class Cache:
    """Keys and values of all rows, side by side in columns; `length` columns are filled.

    Rows with shorter prompts begin at a later column, so that all write the same one. Only
    differences of positions matter to the network, hence a row's first column may be any.
    """

    keys: list[Tensor]
    """One a layer, [B, G, S, D]."""
    values: list[Tensor]
    rotary: Rotary
    """Cosines and sines of all columns, [S, D] each."""
    seen: Tensor | None = None
    """[B, 1, 1, S]: False left of a row's first column; None if all rows begin at column 0."""
    length: int = 0

    def row(self, row: int, first: int) -> Cache:
        """Returns one row from its first column on, as a cache of its own on the same memory."""
        cos, sin = self.rotary
        return Cache(
            keys=[keys[row : row + 1, :, first:] for keys in self.keys],
            values=[values[row : row + 1, :, first:] for values in self.values],
            rotary=(cos[first:], sin[first:]),
        )

    def take(self, other: Cache, columns: int) -> None:
        """Copies the first `columns` columns of a cache with as many rows."""
        for mine, theirs in zip(
            [*self.keys, *self.values], [*other.keys, *other.values], strict=True
        ):
            mine[:, :, :columns] = theirs[:, :, :columns]
        self.length = columns

    def spread(self, source: int, rows: range, first: int, end: int) -> None:
        """Copies columns first..end of row `source` to `rows`."""
        for tensor in [*self.keys, *self.values]:
            for row in rows:
                if row != source:
                    tensor[row, :, first:end] = tensor[source, :, first:end]


class PlannerLayer(nn.Module):
    """Attention over the cache, then a gated feed-forward block."""

    def __init__(self, config: PlannerConfig) -> None:
        super().__init__()
        size, eps = config.hidden_size, config.rms_norm_eps
        self.input_layernorm = RMSNorm(size, eps)
        self.self_attn = Attention(
            size, config.num_attention_heads, config.num_key_value_heads, config.head_dim, eps=eps
        )
        self.post_attention_layernorm = RMSNorm(size, eps)
        self.mlp = GatedMLP(size, config.intermediate_size)

    def forward(
        self,
        x: Tensor,
        rotary: Rotary,
        keys: Tensor,
        values: Tensor,
        start: int,
        mask: Tensor | None,
    ) -> Tensor:
        """x [B, T, C] at columns start..start + T; mask [.., T or 1, start + T] -> [B, T, C]."""
        T = x.shape[1]
        h = self.input_layernorm(x)
        q = self.self_attn.queries(h, rotary)
        k, v = self.self_attn.keys_values(h, rotary)
        keys[:, :, start : start + T] = k
        values[:, :, start : start + T] = v
        k, v = keys[:, :, : start + T], values[:, :, : start + T]
        if T == 1:
            # heads that share a key become its queries: [B, H, 1, D] -> [B, G, H / G, D]
            B, H, _, D = q.shape
            y = attend(q.view(B, k.shape[1], -1, D), k, v, mask=mask).view(B, H, 1, D)
        else:
            y = attend(q, k, v, mask=mask, causal=mask is None)
        x = x + self.self_attn.merge(y)
        return x + self.mlp(self.post_attention_layernorm(x))


class PlannerNetwork(nn.Module):
    """The language model without its head, which is the embedding once more."""

    def __init__(self, config: PlannerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(PlannerLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self._table: PackedTable | None = None
        make_thin(self)

    def pack(self, check: Check) -> bool:
        """Packs weights of sixteen bits, to compute in float32; the embedding stays for its rows.

        Returns:
            False if one of them does not fit, and nothing was done.
        """
        for weight in self.parameters():
            check()
            if weight.dim() == 2 and not is_packable(weight):
                return False
        pack_linears(self.layers, check)
        self._table = PackedTable(self.embed_tokens.weight, check)
        return True

    @property
    def packed_bytes(self) -> int:
        """Memory of what was packed."""
        return packed_bytes(self)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.norm.weight.device

    def cache(self, rows: int, columns: int, firsts: tuple[int, ...] = ()) -> Cache:
        """Returns an empty cache; `firsts` are the rows' first columns, 0 each if not given."""
        config = self.config
        weight = self.norm.weight
        shape = (rows, config.num_key_value_heads, columns, config.head_dim)

        def empty() -> list[Tensor]:
            made = [weight.new_empty(shape) for _ in range(config.num_hidden_layers)]
            for tensor in made:
                # never seen, but multiplied by 0: what lies in fresh memory may be no number
                tensor[:, :, : max(firsts, default=0)] = 0
            return made

        positions = torch.arange(columns, device=weight.device)
        seen = None
        if any(firsts):
            seen = positions >= torch.tensor(firsts, device=weight.device)[:, None, None, None]
        return Cache(
            keys=empty(),
            values=empty(),
            rotary=rotary_table(positions, config.head_dim, config.rope_theta, dtype=weight.dtype),
            seen=seen,
        )

    def forward(self, ids: Tensor, cache: Cache, check: Check) -> Tensor:
        """Reads tokens behind those in the cache.

        Args:
            ids: [B, T]. Several tokens at once only where every row begins at column 0.
            cache: with B rows; filled on.
            check: called at each layer.

        Returns:
            Hidden states [B, T, C], normalised: what the head takes.
        """
        T = ids.shape[1]
        start = cache.length
        rotary = (cache.rotary[0][start : start + T], cache.rotary[1][start : start + T])
        mask = None
        if T == 1 and cache.seen is not None:
            mask = cache.seen[..., : start + 1]
        elif T > 1 and start > 0:
            mask = torch.ones(T, start + T, dtype=torch.bool, device=ids.device).tril(start)
        x = self.embed_tokens(ids).to(self.norm.weight.dtype)
        for layer, keys, values in zip(self.layers, cache.keys, cache.values, strict=True):
            check()
            x = layer(x, rotary, keys, values, start, mask)
        cache.length = start + T
        return self.norm(x)

    def head(self, hidden: Tensor, rows: slice | Tensor | None = None) -> Tensor:
        """hidden [..., C] -> logits [..., R], of the given ids only if there are any."""
        if self._table is not None and not isinstance(rows, Tensor):
            return self._table(hidden, slice(None) if rows is None else rows)
        weight = self.embed_tokens.weight
        return thin_linear(hidden, (weight if rows is None else weight[rows]).to(hidden.dtype))
