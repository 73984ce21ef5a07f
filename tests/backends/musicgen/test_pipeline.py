"""From files on disk to sound, through the contract every backend keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from lofi.backends import musicgen as backend
from lofi.errors import GenerationCancelled, InvalidSource, LofiError
from lofi.worker.backend import Event, Job, Model, Phase, Sound, Step, Stretch
from tests.checkpoints import musicgen

RECIPE = {
    "backend": "musicgen",
    "task": "text2music",
    "prompt": "slow piano",
    "negative_prompt": "",
    "duration_sec": 5,
    "seed": 3,
    "guidance_scale": 3.0,
    "temperature": 1.0,
    "top_k": 10,
    "top_p": 0,
}


def job(models: Path, variant: str = "small", audio: dict[str, Path] | None = None,
        **recipe: Any) -> Job:  # fmt: skip
    model = Model(path=models, variant=variant, device="cpu", threads=1)
    return Job({**RECIPE, **recipe}, model, audio or {})


def run(made: Any, work: Job) -> list[Event]:
    return [*made.load(work, lambda: None), *made.run(work, lambda: None)]


def sound(events: list[Event]) -> np.ndarray:
    return np.concatenate([event.samples for event in events if isinstance(event, Stretch)])


def test_a_track_has_its_exact_length_and_phases(tmp_path: Path) -> None:
    musicgen.write(tmp_path / "small")
    events = run(backend.create(), job(tmp_path))
    assert [event.name for event in events if isinstance(event, Phase)] == [
        "loading",
        "encoding",
        "tokens",
        "decoding",
    ]
    announced = next(event for event in events if isinstance(event, Sound))
    assert (announced.sample_rate, announced.channels, announced.frames) == (32000, 1, 160000)
    assert sound(events).shape == (160000, 1)


def test_one_seed_one_track_and_another_seed_another(tmp_path: Path) -> None:
    musicgen.write(tmp_path / "small")
    made = backend.create()
    first, again = sound(run(made, job(tmp_path))), sound(run(made, job(tmp_path)))
    other = sound(run(made, job(tmp_path, seed=4)))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_beyond_thirty_seconds_the_codes_go_on(tmp_path: Path) -> None:
    hop = 3200  # a fifth of the published frames, so that 40 s are soon drawn
    audio = {**musicgen.TINY["audio"], "upsampling_ratios": [10, 8, 8, 5]}
    musicgen.write(tmp_path / "small", {**musicgen.TINY, "audio": audio})
    events = run(backend.create(), job(tmp_path, duration_sec=40, extend_stride_sec=18))
    samples = sound(events)
    assert samples.shape == (40 * 32000, 1)
    steps_of_wave = np.abs(np.diff(samples[:, 0]))
    join, around = 30 * 32000, 2 * hop
    at_join = steps_of_wave[join - around : join + around].max()
    assert at_join <= steps_of_wave[: join - around].max(), "the join is no step in the wave"
    steps = [event for event in events if isinstance(event, Step) and event.total == 400]
    assert [event.done for event in steps] == sorted(event.done for event in steps)
    assert steps[-1].done == 400


def test_an_extended_source_stays_at_the_start(tmp_path: Path) -> None:
    musicgen.write(tmp_path / "small")
    made = backend.create()
    first = sound(run(made, job(tmp_path)))
    soundfile.write(tmp_path / "source.wav", first, 32000, subtype="FLOAT")
    audio = {"source": tmp_path / "source.wav"}
    longer = sound(run(made, job(tmp_path, audio=audio, task="extend", duration_sec=8)))
    assert longer.shape == (8 * 32000, 1)


def test_a_source_of_no_numbers_is_refused(tmp_path: Path) -> None:
    musicgen.write(tmp_path / "small")
    soundfile.write(tmp_path / "a.wav", np.full((32000, 1), np.nan), 32000, subtype="FLOAT")
    work = job(tmp_path, audio={"source": tmp_path / "a.wav"}, task="extend", duration_sec=8)
    with pytest.raises(InvalidSource, match="no numbers"):
        run(backend.create(), work)


def test_a_reference_steers_the_melody_variant_only(tmp_path: Path) -> None:
    musicgen.write(tmp_path / "melody", melody=True)
    musicgen.write(tmp_path / "small")
    time = np.arange(32000 * 3) / 32000
    hum = np.sin(2 * np.pi * 440 * time).astype(np.float32)[:, None]
    soundfile.write(tmp_path / "hum.wav", hum, 32000)
    audio = {"reference": tmp_path / "hum.wav"}
    made = backend.create()
    plain = sound(run(made, job(tmp_path, "melody")))
    steered = sound(run(made, job(tmp_path, "melody", audio)))
    assert np.abs(plain - steered).max() > 0
    with pytest.raises(LofiError) as caught:
        run(made, job(tmp_path, "small", audio))
    assert caught.value.code == "UNSUPPORTED_TASK"


def test_a_stereo_variant_has_two_channels(tmp_path: Path) -> None:
    musicgen.write(tmp_path / "stereo-small", stereo=True)
    samples = sound(run(backend.create(), job(tmp_path, "stereo-small")))
    assert samples.shape == (160000, 2)


def test_cancel_at_a_token(tmp_path: Path) -> None:
    musicgen.write(tmp_path / "small")
    made = backend.create()
    work = job(tmp_path)
    list(made.load(work, lambda: None))
    left = 20

    def check() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise GenerationCancelled("no longer wanted")

    with pytest.raises(GenerationCancelled):
        list(made.run(work, check))
    assert sound(run(made, work)).shape == (160000, 1)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("config.json", "MODEL_NOT_FOUND"),
        ("model.safetensors", "MODEL_NOT_FOUND"),
        ("tokenizer.json", "MODEL_NOT_FOUND"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, file: str, code: str) -> None:
    folder = musicgen.write(tmp_path / "small")
    (folder / file).unlink()
    with pytest.raises(LofiError) as caught:
        list(backend.create().load(job(tmp_path), lambda: None))
    assert caught.value.code == code
    assert str(folder) in caught.value.message


def test_broken_weights_are_named(tmp_path: Path) -> None:
    folder = musicgen.write(tmp_path / "small")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    gone = "decoder.model.decoder.layers.0.fc1.weight"
    whole = path.read_bytes()
    del tensors[gone]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(LofiError) as caught:
        list(backend.create().load(job(tmp_path), lambda: None))
    assert caught.value.code == "MODEL_LOAD_FAILED"
    assert gone in caught.value.message
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LofiError) as caught:
        list(backend.create().load(job(tmp_path), lambda: None))
    assert caught.value.code == "MODEL_LOAD_FAILED"
