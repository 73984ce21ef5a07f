"""Our loop draws the codes that transformers' `generate` draws with the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lofi.backends.musicgen import codec, delays, weights
from lofi.backends.musicgen.condition import condition, token_ids
from lofi.backends.musicgen.tokens import Sampling, draw
from tests.checkpoints import musicgen

PROMPT = "rain on a window"
LENGTH = 20


def load(folder: Path) -> weights.Loaded:
    return weights.load(folder, torch.device("cpu"), torch.float32)


def drawn(loaded: weights.Loaded, sampling: Sampling, seed: int, **more: Any) -> torch.Tensor:
    heard = condition(loaded, PROMPT, "", more.get("melody"), guided=sampling.guidance > 1)
    rows = loaded.model.config.decoder.num_codebooks
    empty = torch.zeros(rows, 0, dtype=torch.long)
    generator = torch.Generator().manual_seed(seed)
    steps = list(
        draw(loaded.model.decoder, heard, empty, LENGTH, sampling, generator, lambda: None)
    )
    codes = steps.pop()
    assert steps == list(range(1, len(steps) + 1))
    assert isinstance(codes, torch.Tensor)
    return codes


@pytest.mark.parametrize(
    ("stereo", "sampling"),
    [
        (False, Sampling(3.0, 1.0, 10, 0.0)),
        (False, Sampling(1.0, 0.8, 0, 0.9)),
        (True, Sampling(3.0, 1.2, 5, 0.7)),
    ],
)
def test_samples_equal_transformers(tmp_path: Path, stereo: bool, sampling: Sampling) -> None:
    loaded = load(musicgen.write(tmp_path / "small", stereo=stereo))
    codes = drawn(loaded, sampling, 5)
    ours = codec.decode(loaded, codes, lambda: None)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        theirs = loaded.model.generate(
            input_ids=token_ids(loaded, PROMPT),
            attention_mask=torch.ones_like(token_ids(loaded, PROMPT)),
            do_sample=True,
            guidance_scale=sampling.guidance,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p or 1.0,
            max_new_tokens=LENGTH + 3,
        )
    assert ours.shape == (LENGTH * 640, 2 if stereo else 1)
    torch.testing.assert_close(ours.T, theirs[0], rtol=0, atol=0)


def test_the_melody_variant_equals_transformers(tmp_path: Path) -> None:
    loaded = load(musicgen.write(tmp_path / "melody", melody=True))
    sampling = Sampling(3.0, 1.0, 10, 0.0)
    melody = torch.nn.functional.one_hot(torch.arange(6) % 12, 12).float()[None]
    codes = drawn(loaded, sampling, 5, melody=melody)
    ours = codec.decode(loaded, codes, lambda: None)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        theirs = loaded.model.generate(
            input_ids=token_ids(loaded, PROMPT),
            attention_mask=torch.ones_like(token_ids(loaded, PROMPT)),
            input_features=melody,
            do_sample=True,
            guidance_scale=3.0,
            top_k=10,
            max_new_tokens=LENGTH + 3,
        )
    torch.testing.assert_close(ours.T, theirs[0], rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 2])
def test_delays_are_undone(channels: int) -> None:
    rows = 4 * channels
    codes = torch.arange(rows * 7).reshape(rows, 7)
    table = delays.pattern(codes, 7, 99, channels=channels)
    assert table.shape == (rows, 7 + 4)
    assert (table != delays.UNKNOWN).all()
    torch.testing.assert_close(delays.undelay(table, 7, channels=channels), codes)


def test_a_prompt_stands_where_it_was(tmp_path: Path) -> None:
    loaded = load(musicgen.write(tmp_path / "small"))
    heard = condition(loaded, PROMPT, "night", None, guided=True)
    prompt = torch.randint(0, 32, (4, 9), generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    sampling = Sampling(3.0, 1.0, 10, 0.0)
    *_, codes = draw(loaded.model.decoder, heard, prompt, 15, sampling, generator, lambda: None)
    assert isinstance(codes, torch.Tensor)
    torch.testing.assert_close(codes[:, :9], prompt)
    assert codes.shape == (4, 15)
