"""Draws: reproducible, in proportion, and never what is excluded."""

from __future__ import annotations

import torch

from lofi.backends.ace_step_15.planner.brief import Sampling
from lofi.backends.ace_step_15.planner.sampling import (
    HEAD,
    Draws,
    candidates,
    drawn,
    guided,
    probabilities,
)


def test_a_stream_is_its_seed_and_number() -> None:
    first, same, other = Draws(7, 0), Draws(7, 0), Draws(7, 1)
    numbers = [first.next() for _ in range(5)]
    assert numbers == [same.next() for _ in range(5)]
    assert numbers != [other.next() for _ in range(5)]
    assert all(0 <= number < 1 for number in numbers)


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -torch.inf]])
    settings = Sampling(temperature=0.7)
    wanted = probabilities(logits, settings)[0]
    marks = (torch.arange(4000) + 0.5) / 4000
    found = drawn(logits.expand(4000, -1), settings, marks.tolist())
    share = torch.bincount(found, minlength=4) / 4000
    assert torch.allclose(share, wanted, atol=1e-3)


def test_the_highest_number_draws_a_candidate() -> None:
    logits = torch.full((1, 5000), -torch.inf)
    logits[0, [3, 4]] = torch.tensor([1.0, -80.0])
    top = 1 - 2**-53
    for settings in (Sampling(temperature=1), Sampling(top_p=0.9), Sampling(top_k=2)):
        assert int(drawn(logits, settings, [top])[0]) in (3, 4)


def test_the_short_way_keeps_the_same_candidates() -> None:
    torch.manual_seed(1)
    for spread in (0.01, 0.1, 3.0, 20.0):
        logits = torch.randn(3, HEAD * 4) * spread
        for settings in (
            Sampling(top_p=0.9),
            Sampling(top_k=50),
            Sampling(top_k=2000),
            Sampling(top_k=300, top_p=0.5),
        ):
            values, places = candidates(logits, settings)
            for row in range(3):
                kept = set(places[row][values[row].isfinite()].tolist())
                assert kept == slowly(logits[row], settings), (spread, settings)


def slowly(logits: torch.Tensor, settings: Sampling) -> set[int]:
    """top-k, then top-p, by the book."""
    kept = logits.clone()
    if settings.top_k:
        floor = kept.sort(descending=True).values[settings.top_k - 1]
        kept[kept < floor] = -torch.inf
    if settings.top_p < 1:
        ordered = kept.sort(descending=True)
        mass = ordered.values.softmax(-1)
        over = mass.cumsum(-1) - mass > settings.top_p
        kept[ordered.indices[over]] = -torch.inf
    return set(kept.isfinite().nonzero()[:, 0].tolist())


def test_guidance_never_gives_not_a_number() -> None:
    toward = torch.tensor([[1.0, -torch.inf, -torch.inf]])
    away = torch.tensor([[0.5, -torch.inf, 2.0]])
    mixed = guided(toward, away, 3.0)
    assert not mixed.isnan().any()
    assert mixed[0, 1].isneginf() and mixed[0, 2].isneginf()


def test_temperature_zero_takes_the_best() -> None:
    logits = torch.tensor([[0.1, 0.3, 0.2]])
    assert int(drawn(logits, Sampling(temperature=0), [0.99])[0]) == 1
    assert probabilities(logits, Sampling(temperature=0)).tolist() == [[0.0, 1.0, 0.0]]
