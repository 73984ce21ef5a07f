from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi.listen import report
from lofi.listen.report import listen
from lofi.listen.sound import Sound
from tests.listen.sounds import RATE, clicks, noise, scale, stereo


def test_a_report_is_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    x = 0.5 * (scale([60, 64, 67, 72] * 6, 0.5) + clicks(120, 12.0, 0.2))
    soundfile.write(path, np.stack([x, x], axis=1), RATE)
    found = report(path)
    text = json.dumps(found.to_dict())
    assert json.loads(text)["duration_sec"] == 12.0
    assert found.rhythm.tempo.bpm == pytest.approx(120, rel=0.01) or (
        found.rhythm.tempo.bpm == pytest.approx(60, rel=0.01)
    )
    assert found.key.name == "C major" and found.faults.clipped == 0


def test_a_jump_in_level_makes_two_parts() -> None:
    quiet = scale([60, 64, 67, 72] * 10, 0.5) * 0.2
    loud = scale([62, 65, 69, 74] * 10, 0.5) + clicks(120, 20.0)
    found = listen(stereo(np.concatenate([quiet, loud])))
    assert len(found.parts) >= 2
    assert found.parts[0].start_sec == 0 and found.parts[-1].end_sec == pytest.approx(40)
    assert found.parts[-1].lufs > found.parts[0].lufs + 6


@pytest.mark.parametrize("rate", [22050, 32000, 44100])
def test_other_rates_and_mono_are_heard_too(rate: int) -> None:
    x = np.random.default_rng(1).standard_normal(4 * rate) * 0.1
    found = listen(Sound(x[None, :], rate))
    assert found.channels == 1 and found.width.correlation == 1.0


@pytest.mark.parametrize("seconds", [0.01, 0.3, 2.0])
def test_short_sounds_and_silence_are_no_error(seconds: float) -> None:
    assert listen(stereo(noise(seconds))).duration_sec == pytest.approx(seconds)
    assert listen(stereo(np.zeros(round(seconds * RATE)))).loudness.range_lu == 0
