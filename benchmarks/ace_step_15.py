"""ACE-Step 1.5's networks at full size with random weights, beside diffusers' in one run.

    python -m benchmarks.ace_step_15 [--seconds 30] [--device cpu] [--repeats 3] [--output FILE]
    python -m benchmarks.ace_step_15 --whole MODELS     request to file on a checkpoint folder

The peer holds the very same tensors, made outside inference mode, so that both compute the same
numbers: the table says how far their results lie apart. Calls alternate; each figure is a median
after one run that is not counted. CPU seconds are given too: they do not change when other
programs run. `python -m tests.checkpoints.ace_step_15 FOLDER --full` writes a random checkpoint.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor, nn

from lofi.backends.ace_step_15 import Pipeline, Request, tiles
from lofi.backends.ace_step_15.config import FRAME_RATE, ModelConfig, VaeConfig
from lofi.backends.ace_step_15.dit import Decoder
from lofi.backends.ace_step_15.pipeline import TILE_FRAMES
from lofi.backends.ace_step_15.vae import Vae
from lofi.nn.convolution import channels_last
from lofi.worker.device import choose, policy, set_threads
from lofi.worker.process import memory_bytes
from tests.checkpoints.files import Normal

MANIFESTS = Path(__file__).parents[1] / "tests" / "goldens" / "manifests"
TURBO_STEPS = 8
CONDITION_ROWS = 180
"""Rows of a short prompt without lyrics."""
RENAMED = (
    ("proj_in.1.", "proj_in_conv."),
    ("proj_out.1.", "proj_out_conv."),
    (".q_proj.", ".to_q."),
    (".k_proj.", ".to_k."),
    (".v_proj.", ".to_v."),
    (".o_proj.", ".to_out.0."),
    (".q_norm.", ".norm_q."),
    (".k_norm.", ".norm_k."),
)


def config(name: str) -> dict[str, Any]:
    """The published config of a component."""
    path = MANIFESTS / f"ace-step-1.5-{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["config"]
    return found


def filled(module: nn.Module, device: str, dtype: torch.dtype) -> None:
    """Gives a module on the meta device random weights."""
    draw = Normal(0, 0.7)
    state = {
        name: draw(name, tuple(tensor.shape)).to(device, dtype)
        for name, tensor in module.state_dict().items()
    }
    module.load_state_dict(state, assign=True)
    module.eval().requires_grad_(False)


def decoders(device: str, dtype: torch.dtype) -> tuple[Decoder, Any]:
    """Our decoder and the peer's, on the same tensors."""
    from diffusers.models.transformers.ace_step_transformer import AceStepTransformer1DModel

    raw = config("turbo")
    with torch.device("meta"):
        ours = Decoder(ModelConfig.from_dict(raw))
        names = (
            "hidden_size intermediate_size num_hidden_layers num_attention_heads "
            "num_key_value_heads head_dim in_channels audio_acoustic_hidden_dim patch_size "
            "rope_theta rms_norm_eps sliding_window layer_types is_turbo"
        ).split()
        peer = AceStepTransformer1DModel(**{name: raw[name] for name in names})
    filled(ours, device, dtype)
    state: dict[str, Tensor] = {}
    for name, tensor in ours.state_dict().items():
        for theirs in RENAMED:
            name = name.replace(*theirs)
        state[name] = tensor
    peer.load_state_dict(state, strict=True, assign=True)
    return ours, peer.eval().requires_grad_(False)


def autoencoders(device: str, dtype: torch.dtype) -> tuple[Vae, Any]:
    """Our autoencoder and the peer's, of the same values."""
    from diffusers import AutoencoderOobleck

    raw = config("vae")
    with torch.device("meta"):
        ours = Vae(VaeConfig.from_dict(raw))
    peer = AutoencoderOobleck(**{k: v for k, v in raw.items() if not k.startswith("_")})
    draw = Normal(0, 0.5)
    state: dict[str, Tensor] = {}
    theirs: dict[str, Tensor] = {}
    for name, tensor in ours.state_dict().items():
        value = draw(name, tuple(tensor.shape)).to(dtype)
        if name.endswith(".weight"):
            theirs[f"{name}_v"] = value
            theirs[f"{name}_g"] = value.float().flatten(1).norm(dim=1).view(-1, 1, 1).to(dtype)
            value = channels_last(value)
        else:
            theirs[name] = value
        state[name] = value.to(device)
    ours.load_state_dict(state, assign=True)
    peer.load_state_dict(theirs, strict=True)
    return ours.eval().requires_grad_(False), peer.to(device, dtype).eval().requires_grad_(False)


class Clock:
    """Times alternating calls."""

    def __init__(self, device: str, repeats: int) -> None:
        self._device, self._repeats = device, repeats

    def compare(self, calls: Mapping[str, Callable[[], Any]]) -> dict[str, dict[str, float]]:
        """Median wall and CPU seconds of each call."""
        walls: dict[str, list[float]] = {name: [] for name in calls}
        works: dict[str, list[float]] = {name: [] for name in calls}
        for turn in range(self._repeats + 1):
            for name, call in calls.items():
                self._wait()
                wall, work = time.perf_counter(), time.process_time()
                call()
                self._wait()
                if turn:
                    walls[name].append(time.perf_counter() - wall)
                    works[name].append(time.process_time() - work)
        return {
            name: {
                "seconds": round(statistics.median(walls[name]), 4),
                "cpu_seconds": round(statistics.median(works[name]), 4),
            }
            for name in calls
        }

    def _wait(self) -> None:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()


def distance(ours: Tensor, theirs: Tensor) -> float:
    """1 - cosine of two results."""
    a, b = ours.double().flatten().cpu(), theirs.double().flatten().cpu()
    return float(1 - a @ b / (a.norm() * b.norm()))


@torch.inference_mode()
def diffusion(pair: tuple[Decoder, Any], frames: int, clock: Clock) -> dict[str, Any]:
    """One step of the decoder against the peer's, and all eight."""
    ours, peer = pair
    device, dtype = ours.scale_shift_table.device, ours.dtype
    x, context = torch.randn(1, frames, 64), torch.randn(1, frames, 128)
    rows = torch.randn(1, CONDITION_ROWS, 2048)
    x, context, rows = (tensor.to(device, dtype) for tensor in (x, context, rows))
    t = torch.full((1,), 0.5, device=device)

    def step() -> Tensor:
        return ours(x, context, memory, t)

    def theirs() -> Tensor:
        found: Tensor = peer(x, t.to(dtype), t.to(dtype), rows, context, return_dict=False)[0]
        return found

    memory = ours.remember(rows)
    away = distance(step(), theirs())
    table = clock.compare(
        {"remember": lambda: ours.remember(rows), "step": step, "peer step": theirs}
    )
    total = table["remember"]["seconds"] + TURBO_STEPS * table["step"]["seconds"]
    work = table["remember"]["cpu_seconds"] + TURBO_STEPS * table["step"]["cpu_seconds"]
    return {
        **table,
        "seconds": round(total, 3),
        "peer_seconds": round(TURBO_STEPS * table["peer step"]["seconds"], 3),
        "ratio": round(TURBO_STEPS * table["peer step"]["seconds"] / total, 2),
        "cpu_ratio": round(TURBO_STEPS * table["peer step"]["cpu_seconds"] / max(work, 1e-9), 2),
        "1 - cosine": away,
    }


@torch.inference_mode()
def decoding(pair: tuple[Vae, Any], frames: int, clock: Clock) -> dict[str, Any]:
    """The autoencoder's decoder against the better of the peer's whole and tiled decode."""
    ours, peer = pair
    device = ours.decoder.conv1.weight.device
    latents = torch.randn(1, frames, 64).to(device, ours.dtype)
    turned = latents.transpose(1, 2).contiguous()
    chunk = TILE_FRAMES.get(device.type, 128)

    def tiled() -> Tensor:
        plan = tiles.tiles(frames, chunk, tiles.DECODE_OVERLAP)
        return torch.cat([tiles.decode_tile(ours, latents, tile) for tile in plan], dim=1)

    def peer_whole() -> Tensor:
        peer.disable_tiling()
        found: Tensor = peer.decode(turned).sample
        return found

    def peer_tiled() -> Tensor:
        peer.enable_tiling()
        found: Tensor = peer.decode(turned).sample
        return found

    away = distance(tiled().transpose(1, 2), peer_whole().float())
    table = clock.compare({"tiled": tiled, "peer whole": peer_whole, "peer tiled": peer_tiled})
    best = min(table["peer whole"]["seconds"], table["peer tiled"]["seconds"])
    work = min(table["peer whole"]["cpu_seconds"], table["peer tiled"]["cpu_seconds"])
    return {
        **table,
        "tile_frames": chunk,
        "ratio": round(best / table["tiled"]["seconds"], 2),
        "cpu_ratio": round(work / max(table["tiled"]["cpu_seconds"], 1e-9), 2),
        "1 - cosine": away,
    }


def whole(folder: Path, device: str, seconds: float, output: Path) -> dict[str, Any]:
    """From request to file on a checkpoint, warm: the second of two renderings."""
    pipeline = Pipeline.open(folder, "turbo", device=device)
    begin = time.perf_counter()
    for _ in pipeline.load():
        pass
    loaded = time.perf_counter() - begin
    spent = 0.0
    for turn in range(2):
        begin = time.perf_counter()
        request = Request(prompt=f"rain on a window {turn}", duration_sec=seconds, seed=turn)
        audio = pipeline.generate(request)
        soundfile.write(output, audio, 48000)
        spent = time.perf_counter() - begin
    return {
        "load_seconds": round(loaded, 2),
        "seconds": round(spent, 2),
        "times_real_time": round(seconds / spent, 2),
        "anonymous_memory_mb": memory_bytes() >> 20,
    }


def main() -> None:
    """Measures and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--whole", type=Path, metavar="MODELS")
    parser.add_argument("--only", choices=("diffusion", "decoding"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    device = choose(arguments.device)
    chosen = policy(device, "ace_step_15", None)
    frames = round(arguments.seconds * FRAME_RATE)
    clock = Clock(device, arguments.repeats)
    table: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "threads": set_threads(arguments.threads),
        "device": device,
        "dtype": str(chosen.dtype),
        "seconds_of_audio": arguments.seconds,
    }
    if arguments.whole is not None:
        table["whole"] = whole(
            arguments.whole, device, arguments.seconds, arguments.whole / "benchmark.wav"
        )
    else:
        if arguments.only != "decoding":
            table["diffusion"] = diffusion(decoders(device, chosen.dtype), frames, clock)
        if arguments.only != "diffusion":
            table["decoding"] = decoding(autoencoders(device, chosen.codec_dtype), frames, clock)
    text = json.dumps(table, indent=1)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
