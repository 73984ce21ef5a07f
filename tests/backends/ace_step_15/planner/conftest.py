"""A tiny planner, and a network that says anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lofi.backends.ace_step_15.planner.config import PlannerConfig
from lofi.backends.ace_step_15.planner.network import Cache, PlannerNetwork
from lofi.backends.ace_step_15.planner.planner import Planner, finished
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from tests.checkpoints import ace_step_15_lm as checkpoints

GOLDENS = Path(__file__).parents[3] / "goldens" / "ace-step-1.5-lm"
CPU = torch.device("cpu")


def never() -> None:
    """Nobody cancels."""


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """The golden tokenizer's, with the awkward cases of the real one."""
    return Vocabulary.load(GOLDENS / "tokenizer")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one tiny planner of size 0.6B."""
    folder = tmp_path_factory.mktemp("models")
    checkpoints.write(folder)
    return folder


@pytest.fixture
def planner(models: Path) -> Iterator[Planner]:
    """A loaded tiny planner."""
    made = Planner()
    finished(made.load(models, "0.6b", "cpu", torch.float32, never))
    yield made
    made.unload()


class Noise(PlannerNetwork):
    """Says anything: hidden states are drawn, so that all logits are random."""

    def __init__(self, vocab_size: int, seed: int, spread: float = 4.0) -> None:
        super().__init__(
            PlannerConfig(
                vocab_size=vocab_size,
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=1,
                num_key_value_heads=1,
                head_dim=16,
                rope_theta=1e6,
                rms_norm_eps=1e-6,
                max_position_embeddings=40960,
            )
        )
        self._random = torch.Generator().manual_seed(seed)
        self._spread = spread
        with torch.no_grad():
            self.embed_tokens.weight.normal_(generator=self._random)
        self.requires_grad_(False)

    def forward(self, ids: Tensor, cache: Cache, check: Callable[[], None]) -> Tensor:
        check()
        cache.length += ids.shape[1]
        shape = (*ids.shape, self.config.hidden_size)
        return torch.randn(shape, generator=self._random) * self._spread / 4
