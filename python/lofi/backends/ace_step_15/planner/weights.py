"""From a checkpoint folder to a network, whichever way the checkpoint spells its names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lofi.backends.ace_step_15.planner.config import PlannerConfig
from lofi.backends.ace_step_15.planner.network import PlannerNetwork
from lofi.errors import ModelLoadFailed, ModelNotFound

Check = Callable[[], None]
INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"


def bare_name(name: str) -> str | None:
    """Returns a tensor's name without the prefix some checkpoints put before it.

    None for an output head: the embedding is the head.
    """
    return None if name.startswith("lm_head.") else name.removeprefix("model.")


def empty_network(config: PlannerConfig) -> PlannerNetwork:
    """Returns a network without memory, to be loaded into."""
    with torch.device("meta"):
        return PlannerNetwork(config)


def load_network(
    folder: Path, device: torch.device, dtype: torch.dtype, check: Check
) -> PlannerNetwork:
    """Reads the weights of a checkpoint folder, one tensor at a time.

    Raises:
        ModelNotFound, ModelLoadFailed: files are missing, broken, or of another network.
    """
    network = empty_network(PlannerConfig.load(folder))
    state = {name: tensor.to(device=device, dtype=dtype) for name, tensor in tensors(folder, check)}
    fill(network, state)
    return network.eval().requires_grad_(False)


def fill(network: PlannerNetwork, state: Mapping[str, Tensor]) -> None:
    """Puts tensors of bare names into a network, all of them and no others.

    Raises:
        ModelLoadFailed: names or shapes differ.
    """
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ModelLoadFailed(
            f"The planner's weights do not fit its config: {' '.join(lines)[:300]}",
            hint="Replace the planner's files; config.json and the weights belong together.",
        ) from error


def tensors(folder: Path, check: Check) -> Iterator[tuple[str, Tensor]]:
    """Yields every tensor of a checkpoint under its bare name.

    Raises:
        ModelNotFound, ModelLoadFailed: a file is missing or broken.
    """
    for path in _files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    check()
                    bare = bare_name(name)
                    if bare is not None:
                        yield bare, file.get_tensor(name)
        except FileNotFoundError as error:
            raise ModelNotFound(
                f"{path} is missing", hint="Put the planner's weights there."
            ) from error
        except (SafetensorError, OSError) as error:
            raise ModelLoadFailed(
                f"{path} cannot be read: {error}", hint="Replace the file."
            ) from error


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if not index.is_file():
        return [folder / WHOLE]
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelLoadFailed(f"{index} cannot be read: {error}", hint="Replace it.") from error
    return [folder / name for name in sorted(set(names))]
