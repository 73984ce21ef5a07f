"""Files on disk to sound, for every task, on a tiny checkpoint in the published layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE

from lofi.backends.ace_step_v1 import create
from lofi.errors import (
    GenerationCancelled,
    InsufficientMemory,
    InvalidLora,
    InvalidScheduler,
    InvalidSource,
    ModelInferenceFailed,
    ModelNotFound,
    UnsupportedTask,
)
from lofi.worker.backend import Check, Job, Lora, Model, Phase, Sound, Step, Stretch, nothing
from tests.backends.ace_step_v1.studio import RECIPE, Samples, Studio
from tests.checkpoints.ace_step_v1 import write_checkpoint


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    torch.set_num_threads(1)
    return Studio(write_checkpoint(tmp_path_factory.mktemp("v1")))


@pytest.fixture(scope="module")
def song(studio: Studio) -> Samples:
    return studio.render()


@pytest.fixture(scope="module")
def source(song: Samples, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    path = tmp_path_factory.mktemp("audio") / "song.wav"
    soundfile.write(path, song, 48000, subtype="FLOAT")
    return {"source": path}


def test_a_song_has_its_phases_steps_and_exact_length(studio: Studio) -> None:
    studio.backend.unload()
    samples = studio.render(duration_sec=13.37)
    assert len(samples) == round(13.37 * 48000)
    phases = [(phase.name, phase.device, phase.dtype) for phase in studio.of(Phase)]
    names = ["loading", "encoding", "diffusion", "decoding"]
    assert phases == [(name, "cpu", "float32") for name in names]
    assert [step.done for step in studio.of(Step) if step.total == 4] == [1, 2, 3, 4]
    (sound,) = studio.of(Sound)
    assert sound == Sound(48000, 2, len(samples), streams=True, gain=sound.gain)
    assert len(studio.of(Stretch)) == 3  # 144 latent frames in tiles of 64


def test_the_second_job_loads_nothing(studio: Studio) -> None:
    studio.render()
    studio.render()
    assert "loading" not in [phase.name for phase in studio.of(Phase)]


def test_the_same_seed_is_the_same_song(studio: Studio, song: Samples) -> None:
    assert np.array_equal(studio.render(), song)
    assert not np.array_equal(studio.render(seed=4), song)


def test_a_fresh_backend_makes_the_same_song(studio: Studio, song: Samples) -> None:
    assert np.array_equal(Studio(studio.models).render(), song)


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "loud drums"},
        {"scheduler": "heun"},
        {"scheduler": "pingpong"},
        {"cfg_type": "cfg"},
        {"cfg_type": "cfg_star"},
        {"guidance_scale": 1.0},
        {"omega_scale": -80.0},
        {"guidance_interval": 1.0, "guidance_interval_decay": 1.0},
        {"guidance_scale_text": 5.0, "guidance_scale_lyric": 1.5},
        {"use_erg_tag": False},
        {"use_erg_lyric": False},
        {"use_erg_diffusion": False},
        {"oss_steps": [2, 3, 6]},
        {"negative_prompt": "noise, distortion and a much longer text than the prompt"},
        {"lyrics": "[intro]\n[inst]\n[outro]"},
    ],
    ids=str,
)
def test_a_parameter_is_heard(changes: dict[str, Any], studio: Studio, song: Samples) -> None:
    made = studio.render(**changes)
    assert not np.array_equal(made, song)
    if changes.get("scheduler") == "pingpong":
        assert np.array_equal(studio.render(**changes), made)


def test_nothing_of_a_retake_is_the_song_and_all_of_it_another(
    studio: Studio, song: Samples
) -> None:
    def retake(variance: float, seed: int = 9) -> Samples:
        return studio.render(task="retake", retake_variance=variance, retake_seed=seed)

    assert np.array_equal(retake(0.0), song)
    near, far = retake(0.2), retake(1.0)
    assert np.abs(near - song).mean() < np.abs(far - song).mean()
    assert not np.array_equal(retake(0.2, seed=10), near)


def test_repaint_changes_its_section_most(
    studio: Studio, source: dict[str, Path], tmp_path: Path
) -> None:
    def latents(**recipe: Any) -> torch.Tensor:
        path = tmp_path / "latents.safetensors"
        studio.render(audio=source, latents_path=path, **recipe)
        return load_file(path)["latents"]

    same = latents(task="repaint", repaint_start=1.0, repaint_end=3.0, retake_variance=0.0)
    made = latents(task="repaint", repaint_start=1.0, repaint_end=3.0, retake_variance=1.0)
    change = (made - same).abs().amax(dim=(0, 1, 2))
    start, stop = int(1.0 * 44100 / 4096), int(3.0 * 44100 / 4096)
    assert change[start:stop].min() > 0.01
    assert change[:start].max() < 1e-5
    assert change[stop:].max() < 1e-5


def test_repaint_to_the_end_and_of_everything(studio: Studio, source: dict[str, Path]) -> None:
    part = studio.render(
        task="repaint", repaint_start=2.0, repaint_end=-1, retake_variance=0.5, audio=source
    )
    assert [phase.total for phase in studio.of(Phase) if phase.name == "diffusion"] == [2]
    whole = studio.render(
        task="repaint", repaint_start=0.0, repaint_end=-1, retake_variance=0.5, audio=source
    )
    assert len(part) == len(whole) == 240000


def test_repaint_starts_inside_its_source(studio: Studio, source: dict[str, Path]) -> None:
    with pytest.raises(InvalidSource, match="outside"):
        studio.render(task="repaint", repaint_start=6.0, retake_variance=0.5, audio=source)


@pytest.mark.parametrize(("left", "right"), [(0.0, 3.0), (2.0, 0.0), (1.5, 7.25)])
def test_extend_keeps_the_source_where_it_was(
    left: float,
    right: float,
    studio: Studio,
    source: dict[str, Path],
    song: Samples,
    tmp_path: Path,
) -> None:
    path = tmp_path / "latents.safetensors"
    longer = studio.render(
        task="extend",
        extend_left_sec=left,
        extend_right_sec=right,
        retake_variance=1.0,
        audio=source,
        latents_path=path,
    )
    assert len(longer) == round((5.0 + left + right) * 48000)
    kept = load_file(path)["latents"]
    studio.render(task="audio2audio", ref_audio_strength=1.0, audio=source, latents_path=path)
    before = load_file(path)["latents"]
    first = -(-int(left * 44100) // 4096) if left else 0
    # away from the edges, where the codec sees what lies beside
    inner = slice(8, 40)
    moved = kept[..., first:][..., inner]
    torch.testing.assert_close(moved, before[..., inner], rtol=0, atol=0.05)


def test_extend_beyond_the_trained_length_keeps_the_far_end(
    studio: Studio, source: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lofi.backends.ace_step_v1.diffusion.MAX_FRAMES", 60)
    for left, right in ((0.0, 2.0), (2.0, 0.0), (2.0, 2.0)):
        longer = studio.render(
            task="extend",
            extend_left_sec=left,
            extend_right_sec=right,
            retake_variance=1.0,
            audio=source,
        )
        assert len(longer) == round((5.0 + left + right) * 48000)
    # both sides do not fit at once: one after the other
    assert [phase.total for phase in studio.of(Phase) if phase.name == "diffusion"] == [8]


def test_edit_leads_the_source_to_the_target(studio: Studio, source: dict[str, Path]) -> None:
    def edit(low: float, high: float, **recipe: Any) -> Samples:
        return studio.render(task="edit", edit_n_min=low, edit_n_max=high, audio=source, **recipe)

    untouched = edit(1.0, 1.0)
    described = {"prompt": "rain", "edit_source_prompt": "rain", "edit_source_lyrics": "[inst]"}
    little = edit(0.6, 1.0, **described)
    much = edit(0.0, 1.0, prompt="loud drums", edit_source_prompt="rain", edit_n_avg=2)
    remix = edit(0.2, 0.4, prompt="loud drums", edit_source_prompt="rain")
    assert np.abs(little - untouched).mean() < np.abs(much - untouched).mean()
    assert not np.array_equal(remix, much)


def test_audio2audio_lies_between_the_source_and_the_prompt(
    studio: Studio, source: dict[str, Path]
) -> None:
    def near(strength: float) -> Samples:
        return studio.render(
            task="audio2audio", ref_audio_strength=strength, audio=source, infer_steps=8
        )

    whole, strong, weak = near(1.0), near(0.8), near(0.2)
    assert np.abs(strong - whole).mean() < np.abs(weak - whole).mean()


def test_any_rate_and_mono_are_sources(studio: Studio, song: Samples, tmp_path: Path) -> None:
    path = tmp_path / "mono.flac"
    soundfile.write(path, song[:, 0], 32000)
    made = studio.render(task="audio2audio", ref_audio_strength=0.5, audio={"source": path})
    assert len(made) == round(240000 / 32000 * 48000)


def test_a_source_is_needed_and_must_be_sound(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match="needs a source"):
        studio.render(task="edit")
    path = tmp_path / "text.wav"
    path.write_text("no sound")
    with pytest.raises(InvalidSource, match="Cannot read"):
        studio.render(task="edit", audio={"source": path})
    soundfile.write(path, np.zeros(1000, np.float32), 48000)
    with pytest.raises(InvalidSource, match="lasts"):
        studio.render(task="edit", audio={"source": path})


def test_an_adapter_is_heard_scaled_and_taken_out(
    studio: Studio, song: Samples, tmp_path: Path
) -> None:
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for part in ("to_q", "to_k", "to_v", "to_out.0"):
        for attention in ("attn", "cross_attn"):
            name = f"transformer_blocks.3.{attention}.{part}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(4, 16, generator=generator)
            tensors[f"{name}.lora_B.weight"] = torch.randn(16, 4, generator=generator)
    save_file(tensors, tmp_path / "pytorch_lora_weights.safetensors")

    def adapted(scale: float) -> Samples:
        return studio.render(loras=(Lora(tmp_path, "a" * 64, scale),))

    full, half = adapted(1.0), adapted(0.5)
    assert not np.array_equal(full, song)
    assert not np.array_equal(full, half)
    assert np.array_equal(adapted(0.0), song)
    assert np.array_equal(adapted(1.0), full)
    assert np.array_equal(studio.render(), song)
    with pytest.raises(InvalidLora):
        studio.render(loras=(Lora(tmp_path / "gone", "b" * 64, 1.0),))
    assert np.array_equal(studio.render(), song)


def test_words_are_sung_with_a_vocabulary(studio: Studio, song: Samples, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.symlink_to(studio.models, target_is_directory=True)
    letters = {letter: 10 + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    bpe = Tokenizer(BPE(vocab={"[UNK]": 1, "[SPACE]": 2, **letters}, merges=[], unk_token="[UNK]"))
    vocabulary = studio.models / "lyric_vocabulary" / "vocab.json"
    vocabulary.parent.mkdir()
    bpe.save(str(vocabulary))
    try:
        own = Studio(models)
        sung = own.render(lyrics="[verse]\nrain on the window", vocal_language="en")
        other = own.render(lyrics="[verse]\nsun on the window", vocal_language="en")
    finally:
        shutil.rmtree(vocabulary.parent)
    assert not np.array_equal(sung, song)
    assert not np.array_equal(sung, other)


def test_latents_are_kept_where_they_are_wanted(studio: Studio, tmp_path: Path) -> None:
    path = tmp_path / "song.latents.safetensors"
    studio.render(latents_path=path)
    assert load_file(path)["latents"].shape == (1, 8, 16, 54)


def test_a_long_prompt_is_cut_with_a_warning(studio: Studio) -> None:
    studio.render(prompt="a" * 300)
    assert studio.warned() == ["PROMPT_TRUNCATED"]


def counting(limit: int, raised: Callable[[], Exception]) -> Check:
    """A check that raises once, when it is called for the `limit`th time."""
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == limit:
            raise raised()

    return check


@pytest.mark.parametrize("calls", [1, 3, 20, 60, 90])
def test_a_job_can_be_cancelled_anywhere_and_the_next_one_works(
    calls: int, studio: Studio, song: Samples
) -> None:
    def cancel() -> Exception:
        return GenerationCancelled("no longer wanted")

    with pytest.raises(GenerationCancelled):
        studio.render(check=counting(calls, cancel))
    assert np.array_equal(studio.render(), song)


def test_memory_that_runs_out_is_survived(studio: Studio, song: Samples) -> None:
    """Whichever call fails, the song is finished, with one warning and nothing heard twice."""
    for calls in (10, 40, 80, 105):
        made = studio.render(check=counting(calls, MemoryError))
        assert studio.warned() == ["DEGRADED"]
        np.testing.assert_allclose(made, song, atol=1e-4)


def test_memory_that_never_suffices_is_an_error(studio: Studio) -> None:
    def check() -> None:
        raise MemoryError

    with pytest.raises(InsufficientMemory) as caught:
        studio.render(check=check)
    assert caught.value.data["needed_bytes"] > 0
    assert caught.value.hint


def test_no_numbers_are_repaired_in_float32(studio: Studio) -> None:
    own = Studio(studio.models)
    own.render(model={"bf16": True})
    # bfloat16 on a CPU is honoured with a warning
    assert own.warned() == ["DEGRADED"]
    for part in ("text_encoder", "transformer", "codec"):
        own.poison(part)
        # words the encoder has not seen yet
        own.render(model={"bf16": True}, prompt=f"a song for the {part}")
        assert own.warned() == ["DEGRADED", "DEGRADED"]
    own.render(model={"bf16": True})
    # the part that was repaired is back in the precision that is wanted
    assert own.warned() == ["DEGRADED"]
    assert {phase.dtype for phase in own.of(Phase)} == {"bfloat16"}


def test_no_numbers_in_float32_either_is_an_error(studio: Studio) -> None:
    own = Studio(studio.models)
    own.render()
    own.poison("transformer")
    with pytest.raises(ModelInferenceFailed, match="no numbers while in diffusion"):
        own.render()


def test_what_v1_cannot_do_is_said(studio: Studio) -> None:
    with pytest.raises(UnsupportedTask, match="cover"):
        studio.render(task="cover")
    with pytest.raises(UnsupportedTask, match="lm_inspire"):
        next(iter(studio.backend.operate("lm_inspire", {}, Model(), nothing)))
    with pytest.raises(InvalidScheduler):
        studio.render(scheduler="heun", oss_steps=[1, 3])
    with pytest.raises(ModelNotFound, match="vocabulary"):
        studio.render(lyrics="la la la", vocal_language="en")


def test_a_backend_without_a_folder_says_so() -> None:
    with pytest.raises(ModelNotFound, match="folder"):
        next(iter(create().load(Job(RECIPE), nothing)))
