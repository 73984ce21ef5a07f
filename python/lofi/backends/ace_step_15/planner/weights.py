"""From a checkpoint folder to a network, whichever way the checkpoint spells its names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from lofi.backends.ace_step_15.planner.config import PlannerConfig, is_plain, read_config
from lofi.backends.ace_step_15.planner.network import Network, PlannerNetwork
from lofi.nn.packed import NARROW, can_pack
from lofi.worker.weights import load, read_header, weight_files

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
    wide, narrow = dtype, _narrow(folder)
    if narrow and device.type == "cpu" and dtype == torch.float32 and can_pack():
        wide = narrow

    def wanted(name: str) -> torch.dtype:
        return dtype if name.endswith("norm.weight") else wide

    load(network, folder, dtype=wanted, device=str(device), rename=bare_name, check=check)
    if wide != dtype and not network.pack(check):
        network.to(dtype)
    return network


def _narrow(folder: Path) -> torch.dtype | None:
    """Returns the one type of sixteen bits that all matrices of a checkpoint are stored in."""
    entries = [entry for file in weight_files(folder) for entry in read_header(file)]
    stored = {entry.dtype for entry in entries if len(entry.shape) == 2}
    return stored.pop() if len(stored) == 1 and stored <= set(NARROW) else None
