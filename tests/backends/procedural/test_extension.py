from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lofi.backends.procedural.pipeline import Procedural
from lofi.errors import InvalidSource, UnsupportedTask
from lofi.listen import rhythm
from lofi.listen.sound import Sound
from lofi.worker.backend import Facts, Job, Stretch
from tests.backends.procedural import hearing

RATE = 48000


def source(folder: Path, *, sidecar: bool = True, **recipe: Any) -> tuple[Path, np.ndarray]:
    track = hearing.render(**{"duration_sec": 24.0, "prompt": "lofi rhodes", **recipe})
    samples = track.sound.samples.T.astype(np.float32)
    path = folder / "track.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    if sidecar:
        beside = {**track.facts, "recipe": {**track.recipe, "backend": "procedural"}}
        path.with_suffix(".json").write_text(json.dumps(beside))
    return path, samples


def extended(path: Path, **recipe: Any) -> tuple[np.ndarray, dict[str, Any]]:
    whole = {"task": "extend", "prompt": "", "seed": 5, **recipe}
    facts: dict[str, Any] = {}
    pieces = []
    for event in Procedural().run(Job(whole, audio={"source": path}), lambda: None):
        if isinstance(event, Facts):
            facts = dict(event.values)
        elif isinstance(event, Stretch):
            assert event.samples.dtype == np.float32
            pieces.append(event.samples)
    return np.concatenate(pieces), facts


def test_what_follows_keeps_tempo_key_and_band(tmp_path: Path) -> None:
    path, samples = source(tmp_path, bpm=80, keyscale="D minor")
    result, facts = extended(path, extend_right_sec=20.0)
    assert len(result) == len(samples) + 20 * RATE
    join = len(samples) - round(3.5 * RATE) - RATE
    assert np.array_equal(result[:join], samples[:join])
    assert facts["grid"]["bpm"] == 80 and facts["keyscale"] == "D minor"
    assert facts["instruments"][0] == "ep"
    new = Sound(np.ascontiguousarray(result[len(samples) :].T.astype(np.float64)), RATE)
    tempo = rhythm.tempo_near(rhythm.onsets(new), 80.0)
    assert tempo.bpm == pytest.approx(80, rel=0.01)
    assert np.abs(np.diff(result, axis=0)).max() < 0.5
    assert np.sqrt(np.mean(new.samples**2)) > 0.03


def test_what_comes_before_ends_on_the_first_bar_line(tmp_path: Path) -> None:
    path, samples = source(tmp_path, bpm=80)
    result, facts = extended(path, extend_left_sec=10.0)
    assert len(result) == len(samples) + 10 * RATE
    assert np.array_equal(result[10 * RATE + RATE :], samples[RATE:])
    assert facts["grid"]["first_beat_sec"] == pytest.approx(10.0 % 3.0)
    assert np.sqrt(np.mean(result[RATE : 9 * RATE] ** 2)) > 0.03


def test_a_source_without_a_score_is_listened_to(tmp_path: Path) -> None:
    path, samples = source(tmp_path, sidecar=False, bpm=84, style="lofi", duration_sec=24.0)
    result, facts = extended(path, extend_right_sec=8.0)
    assert len(result) == len(samples) + 8 * RATE
    assert facts["grid"]["bpm"] == pytest.approx(84, rel=0.005)
    assert facts["grid"]["first_beat_sec"] == pytest.approx(0.0, abs=0.06)


def test_without_a_beat_there_is_nothing_to_join(tmp_path: Path) -> None:
    path = tmp_path / "hiss.wav"
    hiss = np.random.default_rng(1).standard_normal((20 * RATE, 2)) * 0.05
    soundfile.write(path, hiss, RATE)
    with pytest.raises(UnsupportedTask) as caught:
        extended(path, extend_right_sec=8.0)
    assert caught.value.hint


def test_a_missing_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource):
        extended(tmp_path / "none.wav", extend_right_sec=8.0)
    with pytest.raises(InvalidSource):
        list(Procedural().run(Job({"task": "extend", "seed": 1}), lambda: None))


def test_a_louder_source_is_met_at_its_level(tmp_path: Path) -> None:
    path, samples = source(tmp_path, sidecar=False, bpm=80, style="house", duration_sec=30.0)
    soundfile.write(path, samples * 0.4, RATE, subtype="FLOAT")
    result, _ = extended(path, extend_right_sec=10.0)
    old = np.sqrt(np.mean(samples[4 * RATE : 24 * RATE] ** 2)) * 0.4
    new = np.sqrt(np.mean(result[31 * RATE : 38 * RATE] ** 2))
    assert 20 * np.log10(new / old) == pytest.approx(0, abs=3)


def test_another_rate_and_one_channel_are_no_obstacle(tmp_path: Path) -> None:
    path, samples = source(tmp_path, bpm=80, duration_sec=12.0)
    soundfile.write(path, samples[::2, 0], RATE // 2)
    result, _ = extended(path, extend_right_sec=3.0)
    assert len(result) == len(samples) + 3 * RATE
    inside = slice(RATE, 6 * RATE)
    likeness = np.corrcoef(result[inside, 0], samples[inside, 0])[0, 1]
    assert likeness > 0.97
