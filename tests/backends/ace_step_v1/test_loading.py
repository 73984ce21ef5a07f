"""What is kept from job to job, and which part computes where on other machines than this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lofi.backends.ace_step_v1.loading import CODEC, SPARE_BYTES, TEXT, TRANSFORMER, Loaded
from lofi.backends.ace_step_v1.pipeline import AceStepV1
from lofi.backends.ace_step_v1.rendering import tiles_for
from lofi.backends.ace_step_v1.weights import cast_bytes
from lofi.errors import (
    DependencyMissing,
    GenerationCancelled,
    InsufficientMemory,
    ModelNotFound,
)
from lofi.worker import memory
from lofi.worker.backend import Job, Lora, Model, nothing
from lofi.worker.device import Policy, policy_for
from lofi.worker.residents import Residency
from lofi.worker.retreats import Footing
from lofi.worker.weights import own_bytes
from tests.backends.ace_step_v1.studio import RECIPE, Studio
from tests.checkpoints.ace_step_v1 import write_checkpoint


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_checkpoint(tmp_path_factory.mktemp("v1"))


def test_the_next_take_needs_no_encoder(models: Path, tmp_path: Path) -> None:
    studio, fresh = Studio(models), Studio(models)
    song = studio.render()
    path = studio.write(song, tmp_path / "song.wav")
    edit: dict[str, Any] = {"task": "edit", "edit_source_prompt": "rain", "audio": {"source": path}}
    expected = [fresh.render(seed=4), fresh.render(seed=5, **edit)]
    studio.poison(TEXT)
    assert np.array_equal(studio.render(seed=4), expected[0])

    studio = Studio(models)
    studio.render(**edit)
    studio.poison(TEXT)
    studio.poison(CODEC, "autoencoder.encoder")
    assert np.array_equal(studio.render(seed=5, **edit), expected[1])
    assert studio.warned() == []


def test_another_source_at_the_same_place_is_another(models: Path, tmp_path: Path) -> None:
    studio = Studio(models)
    songs = [studio.render(seed=seed) for seed in (1, 2)]
    made = []
    for song in songs:
        path = studio.write(song, tmp_path / "song.wav")
        made.append(studio.render(task="audio2audio", ref_audio_strength=1.0,
                                  audio={"source": path}))  # fmt: skip
    assert not np.array_equal(made[0], made[1])


def test_words_that_cannot_be_sung_are_refused_before_loading(models: Path) -> None:
    backend = AceStepV1()
    job = Job({**RECIPE, "lyrics": "la la", "vocal_language": "en"}, Model(path=models))
    with pytest.raises((ModelNotFound, DependencyMissing)):
        list(backend.load(job, nothing))
    assert backend._loaded is not None and TRANSFORMER not in backend._loaded.residents


def test_offloading_everything_is_a_job_for_the_cpu(models: Path) -> None:
    studio = Studio(models)
    made = studio.render(model={"device": "cuda:7", "offload": "cpu"})
    assert np.array_equal(made, studio.render())
    with pytest.raises(Exception, match="cuda:7"):
        studio.render(model={"device": "cuda:7"})


def loaded(models: Path, policy: Policy, wrong: tuple[str, ...] = ()) -> tuple[Loaded, Job]:
    """Parts for another machine, its self-test having found `wrong`."""
    job = Job(RECIPE, Model(path=models))
    parts = Loaded(job.model, policy)
    list(parts.distrust(list(wrong)))
    list(parts.load(job, nothing))
    return parts, job


def apple(version: tuple[int, int]) -> Policy:
    return policy_for("mps", "ace_step", None, has_fast_bf16=True, system_version=version)


def test_a_part_leaves_a_device_that_computes_wrongly(models: Path) -> None:
    parts, job = loaded(models, apple((15, 2)), ("transposed convolution",))
    where = [parts.device_of(name) for name in (TEXT, TRANSFORMER, CODEC)]
    assert where == ["mps", "mps", "cpu"]
    assert tiles_for(parts, job.model)[0] == 64, "the tiles of a CPU"
    with parts.use(CODEC) as codec:
        assert next(codec.parameters()).device.type == "cpu"


def test_an_old_apple_system_gets_tiles_its_convolutions_take(models: Path) -> None:
    parts, job = loaded(models, apple((14, 0)))
    tile, smallest = tiles_for(parts, job.model)
    halo = parts.codec.vocoder.head.halo
    assert 1 <= smallest <= tile and (8 * tile + 2 * halo) * 512 <= 65536
    newer, job = loaded(models, apple((15, 2)))
    assert tiles_for(newer, job.model) == (256, 16)


def test_the_last_retreat_computes_in_float32_on_the_cpu(models: Path) -> None:
    parts, job = loaded(models, policy_for("cuda:0", "ace_step", None, has_fast_bf16=True))
    assert parts.dtype_of(TRANSFORMER) is torch.bfloat16
    parts.stand(TRANSFORMER, Footing("cpu", Residency.CPU, 64), job, nothing)
    assert (parts.device_of(TRANSFORMER), parts.dtype_of(TRANSFORMER)) == ("cpu", torch.float32)
    assert parts.dtype_of(CODEC) is torch.bfloat16, "the codec stays where it is"
    list(parts.load(job, nothing))
    assert parts.device_of(TRANSFORMER) == "cuda:0", "the next job tries the device again"


def roomy(free_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lofi.worker.memory.free_bytes", lambda device: free_bytes)


def test_where_memory_is_short_weights_stay_as_stored_and_make_the_same_music(
    models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    song = Studio(models).render()
    generator = torch.Generator().manual_seed(1)
    name = "transformer_blocks.3.attn.to_v"
    tensors = {f"{name}.lora_A.weight": torch.randn(4, 16, generator=generator)}
    tensors[f"{name}.lora_B.weight"] = torch.randn(16, 4, generator=generator)
    save_file(tensors, tmp_path / "pytorch_lora_weights.safetensors")
    lora = (Lora(tmp_path, "a" * 64, 1.0),)
    adapted = Studio(models).render(loras=lora)

    wide, narrow = (cast_bytes(models, torch.float32, narrow=kept) for kept in (False, True))
    assert narrow < wide
    roomy(narrow + SPARE_BYTES, monkeypatch)
    studio = Studio(models)
    assert np.array_equal(studio.render(), song)
    assert studio.warned() == ["DEGRADED"]
    kept = parameters(studio)["transformer_blocks.0.ff.point_conv.conv.weight"]
    assert kept.dtype is torch.bfloat16
    assert np.array_equal(studio.render(loras=lora), adapted)
    assert studio.warned() == [], "once, when it is loaded"
    assert np.array_equal(studio.render(), song)


def test_sequential_on_a_cpu_keeps_weights_as_stored_unasked(models: Path) -> None:
    studio = Studio(models)
    made = studio.render(model={"offload": "sequential"})
    assert studio.warned() == []
    assert parameters(studio)["transformer_blocks.0.attn.to_q.weight"].dtype is torch.bfloat16
    assert np.array_equal(made, studio.render())
    assert parameters(studio)["transformer_blocks.0.attn.to_q.weight"].dtype is torch.float32


def test_a_machine_that_is_too_small_says_so_before_it_loads(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy(SPARE_BYTES // 2, monkeypatch)
    studio = Studio(models)
    with pytest.raises(InsufficientMemory, match=r"0\.5 are free") as caught:
        studio.render()
    assert caught.value.data["free_bytes"] == SPARE_BYTES // 2


def test_a_load_that_was_cancelled_goes_on_with_what_is_there(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = int((cast_bytes(models, torch.float32, narrow=False) + SPARE_BYTES) / 0.9) + 1
    roomy(free, monkeypatch)
    studio = Studio(models)

    def late() -> None:
        loaded = studio.backend._loaded  # type: ignore[attr-defined]
        if loaded is not None and TRANSFORMER in loaded.residents:
            raise GenerationCancelled("not wanted")

    with pytest.raises(GenerationCancelled):
        studio.render(check=late)
    assert isinstance(studio.backend, AceStepV1) and studio.backend._loaded is not None
    roomy(free - own_bytes(studio.backend._loaded.transformer), monkeypatch)
    studio.render()
    assert studio.warned() == []


def test_the_codec_of_every_job_is_planned_for(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[set[str]] = []

    def plan(needs: list[memory.Need], *rest: Any) -> memory.Plan:
        planned.append({need.module for need in needs})
        return memory.Plan(Residency.NONE, 0, 0)

    monkeypatch.setattr(memory, "plan", plan)
    Studio(models).render()
    assert planned == [{TEXT, TRANSFORMER, CODEC}]


def parameters(studio: Studio) -> dict[str, torch.Tensor]:
    assert isinstance(studio.backend, AceStepV1) and studio.backend._loaded is not None
    return dict(studio.backend._loaded.transformer.named_parameters())
