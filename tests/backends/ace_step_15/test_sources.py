"""Sounds as the model is given them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi.backends.ace_step_15.sources import read_audio
from lofi.errors import InvalidSource
from tests.backends.ace_step_15.jobs import RATE, never


def test_all_channels_of_a_surround_sound_are_heard(tmp_path: Path) -> None:
    samples = np.zeros((RATE, 6), np.float32)
    samples[:, 2] = 0.5  # a voice in the middle
    soundfile.write(tmp_path / "film.wav", samples, RATE)
    heard = read_audio(tmp_path / "film.wav", never)
    assert heard.shape == (RATE, 2) and (heard > 0.01).all()


def test_samples_that_are_no_numbers_are_the_sources_fault(tmp_path: Path) -> None:
    samples = np.zeros((RATE, 2), np.float32)
    samples[7] = np.nan
    soundfile.write(tmp_path / "broken.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(InvalidSource, match="no numbers"):
        read_audio(tmp_path / "broken.wav", never)


@pytest.mark.parametrize(("seconds", "is_taken"), [(600.04, True), (601.0, False), (0.4, False)])
def test_ten_minutes_may_end_in_padding(tmp_path: Path, seconds: float, is_taken: bool) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros((round(seconds * 8000), 1), np.float32), 8000)
    if is_taken:
        assert len(read_audio(tmp_path / "long.wav", never)) == round(seconds * RATE)
        return
    with pytest.raises(InvalidSource):
        read_audio(tmp_path / "long.wav", never)
