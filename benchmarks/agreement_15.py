"""How far bfloat16 is from float32 on one ACE-Step 1.5 checkpoint, stage by stage.

    python -m benchmarks.agreement_15 MODELS [--variant turbo] [--seconds 10] [--output FILE]

Both render the same request from the same noise; each stage gets what its own precision made
before it. With the published weights the cosines must reach the limits printed beside them; random
weights amplify rounding, so their table is only for looking at.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lofi.backends.ace_step_15 import Pipeline, Request
from lofi.backends.ace_step_15.dit import Decoder
from lofi.backends.ace_step_15.rendering import Rendering
from lofi.worker.backend import Stretch

LIMITS = {"text": 0.999, "lyrics": 0.999, "encoder": 0.999, "context": 0.999, "step": 0.99,
          "latents": 0.995, "log-spectrum": 0.97}  # fmt: skip
WINDOW = 2048


def render(folder: Path, variant: str, request: Request, *, bf16: bool) -> dict[str, Tensor]:
    """Renders on the CPU and returns each stage's result by name."""
    pipeline = Pipeline.open(folder, variant, device="cpu", bf16=bf16)
    for _ in pipeline.load():
        pass
    rendering = pipeline.rendering(request)
    found: dict[str, Tensor] = {}
    for _ in rendering.encode_words():
        pass
    found["text"], found["lyrics"] = rendering.encoded("main")
    for _ in rendering.encode_sounds():
        pass
    velocities = _record(rendering, found)
    for _ in rendering.diffuse():
        pass
    for step, velocity in enumerate(velocities, 1):
        found[f"step {step}"] = velocity
    found["latents"] = rendering.latents
    parts = [event.samples for event in rendering.decode() if isinstance(event, Stretch)]
    found["log-spectrum"] = log_spectrum(torch.from_numpy(np.concatenate(parts)).T)
    pipeline.unload()
    return found


@torch.inference_mode()
def _record(rendering: Rendering, found: dict[str, Tensor]) -> list[Tensor]:
    """Notes rows and context, and lets the decoder note each of its velocities."""
    stages = rendering.stages
    velocities: list[Tensor] = []
    with stages.use("dit") as model:
        view = rendering.diffusion.main_view(model, stages.silence.to(stages.device("dit")))
        found["encoder"] = torch.cat([keys.flatten() for keys, _ in view.memory])
        found["context"] = view.context

        def note(module: Any, given: Any, velocity: Tensor) -> None:
            velocities.append(velocity.clone())

        decoder = model.decoder
        assert isinstance(decoder, Decoder)
        decoder.register_forward_hook(note)
    return velocities


def log_spectrum(audio: Tensor) -> Tensor:
    """audio [channels, samples] -> log magnitudes, the mean taken off."""
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(audio, WINDOW, window=window, return_complex=True).abs()
    logs = torch.log(spectrum + 1e-5)
    return logs - logs.mean()


def cosine(a: Tensor, b: Tensor) -> float:
    """The cosine of two results."""
    x, y = a.double().flatten(), b.double().flatten()
    return float(x @ y / (x.norm() * y.norm()).clamp(min=1e-30))


def compare(folder: Path, variant: str, request: Request) -> dict[str, float]:
    """The cosine of float32 and bfloat16 by stage."""
    precise = render(folder, variant, request, bf16=False)
    quick = render(folder, variant, request, bf16=True)
    return {name: cosine(precise[name], quick[name]) for name in precise}


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--variant", default="turbo")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    request = Request(
        prompt="lofi hip hop, mellow piano, vinyl crackle",
        lyrics="[verse]\nrain on the window\nlights in the street",
        duration_sec=arguments.seconds,
        seed=1,
    )
    table = compare(arguments.models, arguments.variant, request)
    for name, value in table.items():
        print(f"{name:<14} {value:.6f}  {LIMITS[name.split(' ')[0]]:.3f}")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
