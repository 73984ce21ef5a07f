"""When memory runs out, numbers go missing, or a device computes wrongly."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lofi.backends.ace_step_15 import Pipeline, Request
from lofi.backends.ace_step_15.stages import Stages
from lofi.backends.ace_step_15.weights import open_bundle
from lofi.errors import InsufficientMemory, ModelInferenceFailed
from lofi.worker.backend import Event, Notice, Stretch
from lofi.worker.device import policy_for
from tests.backends.ace_step_15.jobs import model, never

REQUEST = Request(prompt="rain", duration_sec=6, seed=5, steps=2)


@pytest.fixture
def pipeline(turbo: Path) -> Iterator[Pipeline]:
    made = Pipeline.open(turbo, model=model(turbo))
    list(made.load())
    yield made
    made.unload()


@pytest.fixture
def halved(turbo: Path) -> Iterator[Pipeline]:
    made = Pipeline.open(turbo, model=model(turbo, bf16=True))
    list(made.load())
    yield made
    made.unload()


def heard(events: list[Event]) -> np.ndarray:
    return np.concatenate([event.samples for event in events if isinstance(event, Stretch)])


def told(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


class Tight(nn.Module):
    """A decoder on a device with room for `frames` latent frames, from the second tile on."""

    def __init__(self, inner: nn.Module, frames: int) -> None:
        super().__init__()
        self.inner, self.frames, self.calls = inner, frames, 0

    def forward(self, x: Tensor, *arguments: object, **options: object) -> Tensor:
        self.calls += 1
        if self.calls > 1 and x.shape[1] > self.frames:
            raise torch.OutOfMemoryError("injected")
        found: Tensor = self.inner(x, *arguments, **options)
        return found

    @property
    def conv1(self) -> nn.Module:
        module = self.inner.conv1
        assert isinstance(module, nn.Module)
        return module


def test_smaller_tiles_when_memory_runs_out_and_no_sample_twice(pipeline: Pipeline) -> None:
    plain = heard(list(pipeline.render(REQUEST)))
    with pipeline.stages.use("vae") as vae:
        vae.decoder = Tight(vae.decoder, 40)
    events = list(pipeline.render(REQUEST))
    assert any("tiles of 32" in message for message in told(events))
    found = heard(events)
    assert found.shape == plain.shape
    np.testing.assert_allclose(found, plain, atol=1e-3)


def test_with_no_retreat_left_the_error_says_what_was_needed(pipeline: Pipeline) -> None:
    with pipeline.stages.use("vae") as vae:
        vae.decoder = Tight(vae.decoder, 4)
    with pytest.raises(InsufficientMemory) as caught:
        list(pipeline.render(REQUEST))
    assert caught.value.data["needed_bytes"] > 0
    assert "shorter" in caught.value.hint


@pytest.mark.parametrize("stage", ["text", "dit", "vae"])
def test_numbers_that_went_missing_get_one_float32_retry(halved: Pipeline, stage: str) -> None:
    plain = heard(list(halved.render(REQUEST)))
    poison(halved, stage)
    events = list(halved.render(Request(prompt="sun", duration_sec=6, seed=5, steps=2)))
    assert ["float32" in message for message in told(events)] == [True]
    assert np.isfinite(heard(events)).all()
    # the next job is in bfloat16 again, with the weights of the file
    list(halved.load())
    again = heard(list(halved.render(REQUEST)))
    assert np.array_equal(again, plain)


def poison(pipeline: Pipeline, stage: str) -> None:
    with pipeline.stages.use(stage) as network:  # type: ignore[arg-type]
        weight = {
            "text": lambda: network.norm.weight,
            "dit": lambda: network.decoder.norm_out.weight,
            "vae": lambda: network.decoder.conv1.weight,
        }[stage]()
        weight.data = torch.full_like(weight, float("nan"))


@pytest.mark.parametrize(
    ("stage", "doing"), [("text", "encoding"), ("dit", "diffusion"), ("vae", "decoding")]
)
def test_float32_has_no_second_chance(pipeline: Pipeline, stage: str, doing: str) -> None:
    poison(pipeline, stage)
    with pytest.raises(ModelInferenceFailed) as caught:
        list(pipeline.render(REQUEST))
    assert caught.value.data["stage"] == doing


def test_silent_latents_are_refused(pipeline: Pipeline) -> None:
    silenced = Request(prompt="rain", duration_sec=6, seed=5, steps=2, latent_rescale=1.0)
    with pipeline.stages.use("dit") as network:
        decoder = network.decoder
        # the velocity that leads from any noise to nothing at all
        decoder.forward = lambda x, *rest, **options: x / rest[2].view(-1, 1, 1)
    with pytest.raises(ModelInferenceFailed, match="silence"):
        list(pipeline.render(silenced))


def test_an_apple_device_gets_short_tiles_and_no_half_codec(turbo: Path) -> None:
    old = policy_for("mps", "ace_step_15", None, has_fast_bf16=True, system_version=(14, 2))
    assert old.codec_dtype == torch.float32
    made = Pipeline(Stages(open_bundle(turbo), old), model(turbo))
    assert made.tile_frames * 1920 <= 65536
    rendering = made.rendering(REQUEST)
    assert rendering.encode_frames * 1920 <= 65536
    fixed = policy_for("mps", "ace_step_15", None, has_fast_bf16=True, system_version=(15, 2))
    assert Pipeline(Stages(open_bundle(turbo), fixed), model(turbo)).tile_frames == 32


def test_a_stage_leaves_a_device_that_computes_wrongly(turbo: Path) -> None:
    apple = policy_for("mps", "ace_step_15", None, has_fast_bf16=True, system_version=(15, 2))
    made = Pipeline(Stages(open_bundle(turbo), apple), model(turbo))
    messages = told(list(made.distrust(["convolution"])))
    assert len(messages) == 1
    assert "vae runs on the CPU" in messages[0]
    for _ in made.stages.load(never):
        pass
    assert made.stages.device("vae") == "cpu"
    assert made.stages.device("dit") == "mps"


def test_weights_that_would_not_fit_cast_stay_as_they_are_stored(
    turbo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lofi.backends.ace_step_15.pipeline.free_bytes", lambda _: 100_000)
    made = Pipeline.open(turbo, model=model(turbo, bf16=False))
    messages = told(list(made.load()))
    assert len(messages) == 1 and "bfloat16" in messages[0]
    stages = made.stages
    kinds = [stages.dtype(name) for name in ("text", "dit", "vae")]
    assert kinds == [torch.bfloat16, torch.bfloat16, torch.float32]
    needs = {need.module: need.weight_bytes for need in stages.needs(250, 64)}
    assert needs["text"] == needs["dit"] == 0 < needs["vae"], "mapped weights take no memory"
    assert np.isfinite(heard(list(made.render(REQUEST)))).all()
    assert not told(list(made.load())), "said once"


def test_weights_that_are_on_the_device_wait_for_no_memory(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "lofi.backends.ace_step_15.pipeline"
    waits: list[str] = []

    def wait(device: str, *_: object) -> Generator[Event, None, bool]:
        waits.append(device)
        yield from ()
        return True

    monkeypatch.setattr(f"{module}.wait_for_memory", wait)
    monkeypatch.setattr(f"{module}.free_bytes", lambda _: 1 << 40)
    held = 0
    monkeypatch.setattr(Stages, "on_device_bytes", lambda _: held)
    monkeypatch.setattr(pipeline.stages, "policy", replace(pipeline.stages.policy, device="mps"))
    rendering = pipeline.rendering(REQUEST)
    list(pipeline.place(rendering))
    assert waits == ["mps"]
    held = 1 << 30
    list(pipeline.place(rendering))
    assert waits == ["mps"], "what they need they have"


def test_needs_grow_with_length_and_count_the_weights(pipeline: Pipeline) -> None:
    short = {need.module: need for need in pipeline.stages.needs(250, 64)}
    long = {need.module: need for need in pipeline.stages.needs(15000, 64)}
    assert long["dit"].working_bytes > 5 * short["dit"].working_bytes
    assert short["dit"].weight_bytes > short["vae"].weight_bytes / 100


def test_an_adapter_survives_the_float32_retry(halved: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 8}')
    name = "base_model.model.layers.0.mlp.up_proj"
    generator = torch.Generator().manual_seed(0)
    tensors = {
        f"{name}.lora_A.weight": torch.randn(2, 64, generator=generator),
        f"{name}.lora_B.weight": torch.randn(96, 2, generator=generator),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    plain = up_proj(halved)
    halved.adapt([(folder, 1.0)])
    merged = up_proj(halved)
    poison(halved, "dit")
    events = list(halved.render(REQUEST))
    assert any("float32" in message for message in told(events))
    assert up_proj(halved).dtype == torch.float32
    torch.testing.assert_close(up_proj(halved).bfloat16(), merged)
    list(halved.load())
    halved.adapt([])
    assert torch.equal(up_proj(halved), plain)


def up_proj(pipeline: Pipeline) -> Tensor:
    with pipeline.stages.use("dit") as network:
        weight: Tensor = network.decoder.layers[0].mlp.up_proj.weight
        return weight.clone()
