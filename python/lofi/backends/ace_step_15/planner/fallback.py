"""transformers' own Qwen3 behind the decode loop: for checkpoints built in ways ours does not know.

Slower, as each row is read apart. It is also the second opinion of the tests.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, Qwen3Config, Qwen3Model

from lofi.backends.ace_step_15.planner.config import PlannerConfig
from lofi.worker.weights import load

Check = Callable[[], None]


class Row:
    """One sequence's keys and values."""

    def __init__(self) -> None:
        self.cache: Any = DynamicCache()


class RowCaches:
    """Like `network.Cache`, but each row has its own memory and positions."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self.length = 0

    @property
    def rows(self) -> list[Row]:
        """One a sequence."""
        return self._rows

    def row(self, row: int, first: int) -> RowCaches:
        """Returns one row as a cache of its own on the same memory."""
        return RowCaches([self._rows[row]])

    def take(self, other: RowCaches, columns: int) -> None:
        """Copies the first `columns` tokens of a cache with one row."""
        self._rows[0].cache = copy.deepcopy(other.rows[0].cache)
        if columns < other.length:
            self._rows[0].cache.crop(columns - other.length)
        self.length = columns

    def spread(self, source: int, rows: range, first: int, end: int) -> None:
        """Copies row `source` to `rows`."""
        for row in rows:
            if row != source:
                self._rows[row].cache = copy.deepcopy(self._rows[source].cache)


class FallbackNetwork(nn.Module):
    """transformers' network with the face of `PlannerNetwork`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.config = PlannerConfig.of(config)
        self.model = Qwen3Model(Qwen3Config(**config))
        self.lm_head: nn.Linear | None = None
        if not config.get("tie_word_embeddings", True):
            size = self.config.hidden_size
            self.lm_head = nn.Linear(size, self.config.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.norm.weight.device

    def cache(self, rows: int, columns: int, firsts: tuple[int, ...] = ()) -> RowCaches:
        """Returns an empty cache; it grows, and rows need no alignment."""
        return RowCaches([Row() for _ in range(rows)])

    def forward(self, ids: Tensor, cache: RowCaches, check: Check) -> Tensor:
        """ids [B, T] behind those in the cache -> hidden states [B, T, C], normalised."""
        states = []
        for place, row in enumerate(cache.rows):
            check()
            found = self.model(
                input_ids=ids[place : place + 1], past_key_values=row.cache, use_cache=True
            )
            states.append(found.last_hidden_state)
        cache.length += ids.shape[1]
        return torch.cat(states)

    def head(self, hidden: Tensor, rows: slice | Tensor | None = None) -> Tensor:
        """hidden [..., C] -> logits [..., R], of the given ids only if there are any."""
        weight = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return nn.functional.linear(hidden, weight if rows is None else weight[rows])


def load_fallback(
    folder: Path, config: Mapping[str, Any], device: torch.device, dtype: torch.dtype, check: Check
) -> FallbackNetwork:
    """Reads a checkpoint into transformers' network.

    Raises:
        ModelNotFound, ModelLoadFailed: files are missing, broken, or of another network.
    """
    with torch.device("meta"):
        network = FallbackNetwork(config)

    def name_of(stored: str) -> str | None:
        if stored.startswith("lm_head."):
            return stored if network.lm_head is not None else None
        return f"model.{stored.removeprefix('model.')}"

    load(network, folder, dtype=dtype, device=str(device), rename=name_of, check=check)
    # its tables are no weights: they were left on the meta device
    network.model.rotary_emb = type(network.model.rotary_emb)(network.model.config).to(device)
    return network
