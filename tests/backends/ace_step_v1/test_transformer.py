"""Properties of the transformer that no golden case shows."""

from __future__ import annotations

import pytest
import torch

from lofi.backends.ace_step_v1 import transformer as module
from lofi.backends.ace_step_v1.conditions import Condition, Erg, branches
from lofi.backends.ace_step_v1.config import TransformerConfig, frames_covering, frames_within
from lofi.backends.ace_step_v1.guidance import Guidance
from lofi.backends.ace_step_v1.transformer import GatedConvolution, Transformer
from lofi.backends.ace_step_v1.velocity import Velocities
from tests.checkpoints.ace_step_v1 import TINY
from tests.weights import fill


def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def model() -> Transformer:
    made = Transformer(TransformerConfig.read(TINY["transformer"])).eval()
    fill(made, "properties")
    return made.requires_grad_(False)


def condition(lyrics: int = 3, negative: int = 0) -> Condition:
    generator = torch.Generator().manual_seed(2)

    def states(tokens: int) -> torch.Tensor:
        return torch.randn(1, tokens, 24, generator=generator)

    return Condition(
        states(4),
        torch.ones(1, 4, dtype=torch.long),
        torch.arange(lyrics)[None] + 300,
        torch.ones(1, lyrics, dtype=torch.long),
        negative_states=states(negative) if negative else None,
    )


def velocities(model: Transformer, given: Condition, *, together: bool) -> Velocities:
    with torch.inference_mode():
        memory = branches(model, given, Guidance(), Erg(True, True), nothing)
        return Velocities(
            model, memory, torch.tensor([700.0]), together=together, weak_null=True, check=nothing
        )


@pytest.mark.parametrize("negative", [0, 2, 9])
def test_branches_in_one_batch_equal_branches_apart(model: Transformer, negative: int) -> None:
    x = torch.randn(1, 8, 16, 7, generator=torch.Generator().manual_seed(1))
    given = condition(negative=negative)
    with torch.inference_mode():
        pair = velocities(model, given, together=True).every(0, x)
        apart = velocities(model, given, together=False).every(0, x)
        alone = velocities(model, given, together=True).conditional(0, x)
    assert len(pair) == len(apart) == 2
    for one, other in zip(pair, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone, pair[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(pair[0], pair[1], atol=1e-3)


def test_hidden_tokens_change_nothing(model: Transformer) -> None:
    x = torch.randn(1, 8, 16, 7, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        tokens, mask = model.encode(*_parts(condition()))
        times = model.times(torch.tensor([300.0]))
        seen = model(x, times, model.remember(tokens, mask))
        longer = torch.cat((tokens, torch.randn(1, 5, tokens.shape[2])), dim=1)
        hidden = torch.cat((mask, torch.zeros(1, 5, dtype=torch.long)), dim=1)
        also = model(x, times, model.remember(longer, hidden))
    torch.testing.assert_close(also, seen, rtol=1e-4, atol=1e-5)


def _parts(given: Condition) -> tuple[torch.Tensor, ...]:
    return given.text_states, given.text_mask, given.lyric_ids, given.lyric_mask


def test_stretches_of_the_feed_forward_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = GatedConvolution(6, 10).requires_grad_(False)
    x = torch.randn(2, 23, 6)
    whole = layer(x)
    calls = []
    monkeypatch.setattr(module, "STRETCH_FRAMES", 5)
    pieces = layer(x, lambda: calls.append(1))
    torch.testing.assert_close(pieces, whole, rtol=1e-5, atol=1e-6)
    assert len(calls) == 5


def test_a_block_can_be_left_in_its_midst(model: Transformer) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1

    with torch.inference_mode():
        memory = model.remember(*model.encode(*_parts(condition())))
        model(torch.zeros(1, 8, 16, 7), model.times(torch.tensor([1.0])), memory, check=check)
    assert calls >= 3 * len(model.transformer_blocks)


def test_frames_cover_any_duration() -> None:
    for seconds in (5.0, 60.0, 95.5, 239.99, 240.0):
        covering = frames_covering(seconds)
        assert covering * 4096 / 44100 >= seconds > (covering - 1) * 4096 / 44100
        assert covering - frames_within(seconds) in (0, 1)
