"""Our modules against the names and shapes of the published files, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lofi.backends.ace_step_15.config import ModelConfig, TextConfig, VaeConfig
from lofi.backends.ace_step_15.model import AceStep
from lofi.backends.ace_step_15.text import TextEncoder
from lofi.backends.ace_step_15.vae import Vae
from lofi.nn.weight_norm import fold_weight_norm

MANIFESTS = Path(__file__).parents[2] / "goldens" / "manifests"


def manifest(name: str) -> dict[str, Any]:
    loaded = json.loads((MANIFESTS / f"ace-step-1.5-{name}.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("name", ["turbo", "sft", "base", "xl-turbo", "xl-base"])
def test_the_model_has_the_published_tensors(name: str) -> None:
    known = manifest(name)
    with torch.device("meta"):
        model = AceStep(ModelConfig.from_dict(known["config"]))
    assert shapes(model) == {name: tuple(shape) for name, shape in known["tensors"].items()}
    assert sum(p.numel() for p in model.parameters()) == known["parameter_count"]


def test_the_text_encoder_has_the_published_tensors() -> None:
    known = manifest("text-encoder")
    with torch.device("meta"):
        encoder = TextEncoder(TextConfig.from_dict(known["config"]))
    assert shapes(encoder) == {name: tuple(shape) for name, shape in known["tensors"].items()}


def test_the_autoencoder_has_the_published_tensors_once_folded() -> None:
    known = manifest("vae")
    with torch.device("meta"):
        vae = Vae(VaeConfig.from_dict(known["config"]))
        stored = {name: torch.empty(shape) for name, shape in known["tensors"].items()}
        folded = fold_weight_norm(stored)
    assert shapes(vae) == {name: tuple(tensor.shape) for name, tensor in folded.items()}


def test_the_family_follows_is_turbo_alone() -> None:
    raw = manifest("base")["config"]
    assert not ModelConfig.from_dict({**raw, "model_version": "turbo"}).is_turbo
    assert ModelConfig.from_dict(manifest("turbo")["config"]).is_turbo
    assert ModelConfig.from_dict(manifest("xl-turbo")["config"]).is_xl
