"""Lengths in every unit, and samples handed out once however often a decode begins anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lofi.backends.ace_step_v1.layout import Layout, Sender
from lofi.backends.ace_step_v1.request import Request
from lofi.backends.ace_step_v1.source import Source

FRAME = 4096


def request(**changes: Any) -> Request:
    return Request.of({"task": "text2music", "duration_sec": 5.0, "seed": 1, **changes})


def source(seconds: float, rate: int = 48000) -> Source:
    return Source(torch.zeros(2, round(seconds * rate)), rate)


@pytest.mark.parametrize("seconds", [5.0, 13.37, 60.0, 240.0])
def test_a_song_is_covered_and_cut_to_the_sample(seconds: float) -> None:
    layout = Layout(request(duration_sec=seconds), None)
    assert layout.samples == round(seconds * 48000)
    assert (layout.frames - 1) * FRAME / 44100 < seconds <= layout.frames * FRAME / 44100


@pytest.mark.parametrize(("left", "right"), [(0.0, 30.0), (2.5, 0.0), (0.7, 12.3)])
def test_an_extension_covers_its_length_and_begins_exactly(left: float, right: float) -> None:
    given = source(7.77, 44100)
    layout = Layout(request(task="extend", extend_left_sec=left, extend_right_sec=right), given)
    made_sec = layout.total_frames * FRAME / 44100 - layout.cut_samples / 48000
    assert layout.samples == round((7.77 + left + right) * 48000)
    assert made_sec * 48000 >= layout.samples - 1
    # the source lies where it is expected, to a sample of rounding
    begin_sec = layout.left_frames * FRAME / 44100 - layout.cut_samples / 48000
    assert begin_sec == pytest.approx(left, abs=1 / 48000)
    samples, rate = layout.trimmed(given)
    if right:
        # whole frames, so that the new music follows without a gap
        assert samples.shape[-1] * 44100 / rate % FRAME == pytest.approx(0, abs=1)
    else:
        assert samples.shape[-1] == given.samples.shape[-1]


def test_a_decode_that_begins_anew_repeats_nothing() -> None:
    layout = Layout(request(duration_sec=5.0), None)
    sender = Sender(layout)
    sound = torch.arange(layout.samples + 700, dtype=torch.float32).expand(2, -1)
    got = []
    sender.begin()
    got += list(sender.send(sound[:, :100_000]))
    assert sender.has_sent
    sender.begin()
    for start in range(0, sound.shape[-1], 70_000):
        got += list(sender.send(sound[:, start : start + 70_000]))
    got += list(sender.fill())
    heard = np.concatenate([stretch.samples for stretch in got])
    assert np.array_equal(heard, sound[:, : layout.samples].T.numpy())


def test_what_rounding_left_out_is_filled() -> None:
    layout = Layout(request(duration_sec=5.0), None)
    sender = Sender(layout)
    sender.begin()
    pieces = list(sender.send(torch.ones(2, layout.samples - 1)))
    pieces += list(sender.fill())
    assert sum(len(piece.samples) for piece in pieces) == layout.samples
    assert pieces[-1].samples.tolist() == [[0.0, 0.0]]
