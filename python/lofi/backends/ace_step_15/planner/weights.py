"""From a checkpoint folder to a network, whichever way the checkpoint spells its names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from lofi.backends.ace_step_15.planner.config import PlannerConfig, is_plain, read_config
from lofi.backends.ace_step_15.planner.network import Network, PlannerNetwork
from lofi.worker.weights import load

Check = Callable[[], None]


def bare_name(name: str) -> str | None:
    """Returns a tensor's name without the prefix some checkpoints put before it.

    None for an output head: the embedding is the head.
    """
    return None if name.startswith("lm_head.") else name.removeprefix("model.")


def empty_network(config: PlannerConfig) -> PlannerNetwork:
    """Returns a network without memory, to be loaded into."""
    with torch.device("meta"):
        return PlannerNetwork(config)


def load_network(folder: Path, device: torch.device, dtype: torch.dtype, check: Check) -> Network:
    """Reads the weights of a checkpoint folder: one file or shards, names with or without `model.`.

    A checkpoint that is not built as the published ones runs through transformers.

    Raises:
        ModelNotFound, ModelLoadFailed: files are missing, broken, or of another network.
    """
    config = read_config(folder)
    if not is_plain(config):
        # imported only here: transformers takes seconds
        from lofi.backends.ace_step_15.planner.fallback import load_fallback

        return load_fallback(folder, config, device, dtype, check)
    network = empty_network(PlannerConfig.of(config))
    load(network, folder, dtype=dtype, device=str(device), rename=bare_name, check=check)
    return network
