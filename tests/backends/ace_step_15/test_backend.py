"""From files on disk to samples through the worker's contract, on tiny checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lofi.backends.ace_step_15 import AceStep15, Pipeline, Request, create
from lofi.errors import (
    GenerationCancelled,
    InvalidLora,
    InvalidLyrics,
    InvalidParams,
    InvalidSource,
    UnsupportedTask,
)
from lofi.worker.backend import Answer, Job, Lora, Phase, Step
from tests.backends.ace_step_15.jobs import RATE, model, never, ran, recipe, start, tone
from tests.checkpoints.ace_step_15 import write_bundle


@pytest.fixture(scope="module")
def backend() -> Iterator[AceStep15]:
    made = create()
    yield made
    made.unload()


@pytest.fixture(scope="module")
def guided() -> Iterator[AceStep15]:
    made = create()
    yield made
    made.unload()


BASE = {"shift": 1.0, "guidance_scale": 5.0}


def test_text_becomes_music_of_exactly_the_asked_length(backend: AceStep15, turbo: Path) -> None:
    for seconds in (1.0, 2.0, 5.123457, 6.4):
        done = ran(backend, turbo, {"duration_sec": seconds})
        assert done.phases == ["loading", "encoding", "diffusion", "decoding"]
        assert done.samples.shape == (round(seconds * RATE), 2)
        assert done.sound.frames == len(done.samples)
        assert done.sound.streams
        assert np.isfinite(done.samples).all()
        assert np.abs(done.samples).max() > 0.01


def test_steps_count_up_to_their_phase(backend: AceStep15, turbo: Path) -> None:
    done = ran(backend, turbo, {"infer_steps": 3, "duration_sec": 6.0})
    total, counts = {}, {}
    for event in done.events:
        if isinstance(event, Phase):
            name, total[event.name] = event.name, event.total
        elif isinstance(event, Step):
            counts[name] = event.done
            assert event.done <= event.total
    assert counts["diffusion"] == total["diffusion"] == 3
    assert counts["decoding"] == total["decoding"] > 1


def test_one_seed_one_track(backend: AceStep15, turbo: Path) -> None:
    first = ran(backend, turbo, {"seed": 1}).samples
    other = ran(backend, turbo, {"seed": 2}).samples
    fresh = create()
    assert np.array_equal(ran(fresh, turbo, {"seed": 1}).samples, first)
    fresh.unload()
    assert np.array_equal(ran(backend, turbo, {"seed": 1}).samples, first)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("scheduler", ["euler", "heun", "sde"])
@pytest.mark.parametrize("dcw", ["off", "double"])
def test_solvers_and_correction(backend: AceStep15, turbo: Path, scheduler: str, dcw: str) -> None:
    once = ran(backend, turbo, {"scheduler": scheduler, "dcw": dcw}).samples
    again = ran(backend, turbo, {"scheduler": scheduler, "dcw": dcw}).samples
    assert np.array_equal(once, again)


def test_what_is_asked_for_changes_the_music(backend: AceStep15, turbo: Path) -> None:
    plain = ran(backend, turbo, {}).samples
    for members in (
        {"prompt": "fast drums"},
        {"lyrics": "[verse]\nhello"},
        {"bpm": 90},
        {"infer_steps": 3},
        {"timesteps": [1.0, 0.5], "infer_steps": None, "shift": None},
        {"audio_codes": list(range(10))},
        {"dcw": "low"},
    ):
        assert not np.array_equal(ran(backend, turbo, members).samples, plain), members


def test_codes_decide_the_length(backend: AceStep15, turbo: Path) -> None:
    done = ran(backend, turbo, {"audio_codes": [5] * 7, "duration_sec": 60})
    assert len(done.samples) == round(7 / 5 * RATE)
    assert [notice.code for notice in done.notices] == ["PARAM_ADJUSTED"]
    exact = ran(backend, turbo, {"audio_codes": [5] * 7, "duration_sec": 1.3})
    assert len(exact.samples) == round(1.3 * RATE)
    assert not exact.notices


@pytest.mark.parametrize(
    "members",
    [
        {"task": "cover"},
        {"task": "cover", "cover_strength": 0.5, "cover_noise_strength": 0.3},
        {"task": "cover_nofsq"},
        {"task": "audio2audio", "cover_noise_strength": 0.5},
        {"task": "repaint", "repaint_start": 0.5, "repaint_end": 1.5},
        {"task": "repaint", "repaint_start": 1.0, "repaint_mode": "aggressive"},
        {"task": "edit", "edit_source_prompt": "piano", "edit_n_min": 0.2, "edit_n_max": 0.8},
    ],
    ids=lambda members: "-".join(str(value) for value in members.values()),
)
def test_tasks_with_a_source_keep_its_length(
    backend: AceStep15, turbo: Path, tmp_path: Path, members: dict[str, Any]
) -> None:
    source = tone(tmp_path / "source.wav", 3.0)
    done = ran(backend, turbo, {**members, "infer_steps": 4}, audio={"source": source})
    assert done.samples.shape == (3 * RATE, 2)
    assert np.isfinite(done.samples).all()


@pytest.mark.parametrize("task", ["lego", "extract", "complete"])
def test_stem_tasks_on_base(guided: AceStep15, base: Path, tmp_path: Path, task: str) -> None:
    source = tone(tmp_path / "source.wav", 2.5)
    stems = {"tracks": ["drums", "bass"]} if task == "complete" else {"track": "drums"}
    members = {"task": task, **stems, **BASE}
    done = ran(guided, base, members, variant="base", audio={"source": source})
    assert len(done.samples) == round(2.5 * RATE)


def test_stem_tasks_need_base(backend: AceStep15, turbo: Path, tmp_path: Path) -> None:
    source = tone(tmp_path / "source.wav")
    with pytest.raises(UnsupportedTask, match="base"):
        ran(backend, turbo, {"task": "lego", "track": "drums"}, audio={"source": source})


def test_guidance_and_its_interval_reach_the_sampler(guided: AceStep15, base: Path) -> None:
    def samples(**members: Any) -> Any:
        return ran(guided, base, {**BASE, "infer_steps": 4, **members}, variant="base").samples

    plain = samples()
    for members in (
        {"guidance_scale": 1.0},
        {"guidance_scale": 3.0},
        {"use_adg": True},
        {"cfg_interval_start": 0.6},
    ):
        assert not np.array_equal(samples(**members), plain), members


def test_outside_a_repainted_window_the_source_stays(
    backend: AceStep15, turbo: Path, tmp_path: Path
) -> None:
    source = tone(tmp_path / "source.wav", 4.0, RATE)
    members = {"task": "repaint", "repaint_start": 1.0, "repaint_end": 2.0}
    done = ran(backend, turbo, members, audio={"source": source})
    assert not done.sound.streams
    t = np.arange(4 * RATE) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 3 * t)
    kept = np.r_[: int(0.97 * RATE), int(2.03 * RATE) : 4 * RATE]
    np.testing.assert_allclose(done.samples[kept, 0], wave[kept], atol=1e-4)
    assert np.abs(done.samples[int(1.2 * RATE) : int(1.8 * RATE), 0]).max() > 1e-3
    inside = slice(int(1.2 * RATE), int(1.8 * RATE))
    assert np.abs(done.samples[inside, 0] - wave[inside]).max() > 0.05


def test_repaint_beyond_the_ends_grows_the_track(
    backend: AceStep15, turbo: Path, tmp_path: Path
) -> None:
    source = tone(tmp_path / "source.wav", 3.0)
    members = {"task": "repaint", "repaint_start": -1.0, "repaint_end": 3.5}
    done = ran(backend, turbo, members, audio={"source": source})
    assert len(done.samples) == round(4.5 * RATE)


def test_extend_adds_on_both_sides_and_keeps_the_middle(
    backend: AceStep15, turbo: Path, tmp_path: Path
) -> None:
    source = tone(tmp_path / "source.wav", 3.0, RATE)
    members = {"task": "extend", "extend_left_sec": 1.5, "extend_right_sec": 2.0}
    done = ran(backend, turbo, members, audio={"source": source})
    assert len(done.samples) == round(6.5 * RATE)
    t = np.arange(3 * RATE) / RATE
    wave = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 3 * t)
    middle = slice(int(0.1 * RATE), int(2.9 * RATE))
    kept = done.samples[int(1.5 * RATE) : int(4.5 * RATE), 0]
    np.testing.assert_allclose(kept[middle], wave[middle], atol=1e-4)
    for part in (done.samples[: int(1.4 * RATE)], done.samples[int(4.6 * RATE) :]):
        assert np.abs(part).max() > 1e-3


def test_an_empty_window_is_refused(backend: AceStep15, turbo: Path, tmp_path: Path) -> None:
    source = tone(tmp_path / "source.wav", 3.0)
    members = {"task": "repaint", "repaint_start": 2.0, "repaint_end": 1.0}
    with pytest.raises(InvalidParams, match="window"):
        ran(backend, turbo, members, audio={"source": source})


def test_retake_turns_the_noise(backend: AceStep15, turbo: Path, tmp_path: Path) -> None:
    plain = ran(backend, turbo, {}).samples
    still = {"task": "retake", "retake_seed": 9, "retake_variance": 0.0}
    source = tone(tmp_path / "source.wav", 4.0)
    same = ran(backend, turbo, still, audio={"source": source})
    assert np.array_equal(same.samples, plain)
    little = {**still, "retake_variance": 0.2}
    much = {**still, "retake_variance": 1.0}
    near = np.abs(ran(backend, turbo, little).samples - plain).mean()
    far = np.abs(ran(backend, turbo, much).samples - plain).mean()
    assert 0 < near < far


def test_a_reference_changes_the_timbre(backend: AceStep15, turbo: Path, tmp_path: Path) -> None:
    reference = tone(tmp_path / "reference.wav", 4.0)
    plain = ran(backend, turbo, {}).samples
    once = ran(backend, turbo, {}, audio={"reference": reference}).samples
    assert not np.array_equal(once, plain)
    assert np.array_equal(ran(backend, turbo, {}, audio={"reference": reference}).samples, once)


def test_a_silent_reference_is_refused(backend: AceStep15, turbo: Path, tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(RATE), RATE)
    with pytest.raises(InvalidSource, match="silent"):
        ran(backend, turbo, {}, audio={"reference": path})


def test_a_source_that_is_no_sound_is_named(
    backend: AceStep15, turbo: Path, tmp_path: Path
) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("not a sound")
    with pytest.raises(InvalidSource, match=r"notes\.wav"):
        ran(backend, turbo, {"task": "cover"}, audio={"source": path})


def test_cancelling_ends_the_job_and_the_next_one_works(backend: AceStep15, turbo: Path) -> None:
    plain = ran(backend, turbo, {}).samples
    for when in (0, 3, 12, 20):
        left = when

        def check() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise GenerationCancelled("no longer wanted")

        job = Job(recipe=recipe(), model=model(turbo))
        with pytest.raises(GenerationCancelled):
            list(start(backend, job, check))
    assert np.array_equal(ran(backend, turbo, {}).samples, plain)


def test_check_is_called_after_each_layer_and_tile(backend: AceStep15, turbo: Path) -> None:
    ran(backend, turbo, {})  # loaded
    seen = {"encoding": 0, "diffusion": 0, "decoding": 0}
    phase = "loading"

    def check() -> None:
        if phase in seen:
            seen[phase] += 1

    job = Job(recipe=recipe(prompt="something new"), model=model(turbo))
    for event in start(backend, job, check):
        if isinstance(event, Phase):
            phase = event.name
    assert seen["diffusion"] >= 2 * 4  # layers times steps
    assert seen["encoding"] >= 2
    assert seen["decoding"] >= 5


def test_latents_are_kept_and_can_be_used_again(
    backend: AceStep15, turbo: Path, tmp_path: Path
) -> None:
    path = tmp_path / "track.latents.safetensors"
    ran(backend, turbo, {"duration_sec": 2.02}, latents=path)
    latents = load_file(path)["latents"]
    assert latents.shape == (51, 8)
    pipeline = Pipeline.open(turbo, model=model(turbo))
    audio = pipeline.generate(Request(task="cover_nofsq", source_latents=latents, steps=2))
    assert audio.shape == (51 * 1920, 2)


def lora(folder: Path, size: int = 64) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}'
    )
    generator = torch.Generator().manual_seed(0)
    name = "base_model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{name}.lora_A.weight": torch.randn(2, size, generator=generator),
        f"{name}.lora_B.weight": torch.randn(64, 2, generator=generator),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("bf16", [False, True])
def test_an_adapter_comes_and_goes_without_a_trace(turbo: Path, tmp_path: Path, bf16: bool) -> None:
    backend = create()
    adapter = lora(tmp_path / "adapter")
    plain = ran(backend, turbo, {}, bf16=bf16).samples
    with_it = ran(backend, turbo, {}, loras=(Lora(adapter, "", 1.0),), bf16=bf16).samples
    half = ran(backend, turbo, {}, loras=(Lora(adapter, "", 0.5),), bf16=bf16).samples
    twice = (Lora(adapter, "", 0.5), Lora(adapter, "", 0.5))
    both = ran(backend, turbo, {}, loras=twice, bf16=bf16).samples
    assert not np.array_equal(with_it, plain)
    assert not np.array_equal(half, with_it)
    np.testing.assert_allclose(both, with_it, atol=0.1 if bf16 else 1e-4)
    assert np.array_equal(ran(backend, turbo, {}, bf16=bf16).samples, plain)
    backend.unload()


def test_an_adapter_for_another_size_is_refused(
    backend: AceStep15, turbo: Path, tmp_path: Path
) -> None:
    adapter = lora(tmp_path / "adapter", size=32)
    plain = ran(backend, turbo, {}).samples
    with pytest.raises(InvalidLora) as caught:
        ran(backend, turbo, {}, loras=(Lora(adapter, "", 1.0),))
    assert caught.value.data["first_mismatch"].endswith("q_proj")
    assert np.array_equal(ran(backend, turbo, {}).samples, plain)


@pytest.mark.parametrize("variant", ["sft", "xl-turbo", "xl-base", "turbo-shift1"])
def test_every_variant_renders(tmp_path: Path, variant: str) -> None:
    folder = write_bundle(tmp_path, variant)
    backend = create()
    members = {} if "turbo" in variant else BASE
    done = ran(backend, folder, members, variant=variant)
    assert len(done.samples) == 2 * RATE
    backend.unload()


def test_takes_equal_single_requests(backend: AceStep15, turbo: Path) -> None:
    together = [ran(backend, turbo, {"seed": 40 + i}).samples for i in range(4)]
    for i in (0, 3):
        alone = create()
        assert np.array_equal(ran(alone, turbo, {"seed": 40 + i}).samples, together[i])
        alone.unload()


def operated(
    backend: AceStep15, folder: Path, operation: str, params: dict[str, Any]
) -> dict[str, Any]:
    events = list(backend.operate(operation, params, model(folder), never))
    answer = events[-1]
    assert isinstance(answer, Answer)
    return dict(answer.value)


def test_lyrics_are_timed_from_kept_latents_and_from_sound(
    backend: AceStep15, turbo: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "track.latents.safetensors"
    sung = recipe(lyrics="[verse]\nhello world\n\ngood night", duration_sec=6.0)
    ran(backend, turbo, sung, latents=kept)
    answer = operated(backend, turbo, "lyrics_timing", {"recipe": sung, "latents": str(kept)})
    assert [line["text"] for line in answer["lines"]] == ["[verse]", "hello world", "good night"]
    assert all(0 <= line["start"] <= 6.1 for line in answer["lines"])
    starts = [line["start"] for line in answer["lines"]]
    assert starts == sorted(starts)
    assert answer["lrc"].splitlines()[1].endswith("]hello world")
    path = tone(tmp_path / "track.wav", 6.0)
    scored = operated(backend, turbo, "score", {"recipe": sung, "path": str(path)})
    assert 0 <= scored["lyrics_alignment"] <= 1
    assert scored["prompt_match"] is None


def test_an_instrumental_cannot_be_timed(backend: AceStep15, turbo: Path, tmp_path: Path) -> None:
    path = tone(tmp_path / "track.wav")
    with pytest.raises(InvalidLyrics):
        operated(backend, turbo, "lyrics_timing", {"recipe": recipe(), "path": str(path)})


def test_the_library_renders(turbo: Path) -> None:
    pipeline = Pipeline.open(turbo, "turbo", model=model(turbo))
    audio = pipeline.generate(Request(prompt="rain", duration_sec=1.5, seed=3, steps=2))
    assert audio.shape == (72000, 2)
    assert np.abs(audio).max() == pytest.approx(10 ** (-1 / 20), abs=1e-5)
    pipeline.unload()
