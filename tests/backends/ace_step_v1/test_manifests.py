"""Our modules against the names and shapes of the published files, without weights."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from lofi.backends.ace_step_v1.config import TransformerConfig, VocoderConfig
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.backends.ace_step_v1.vocoder import Vocoder
from lofi.backends.ace_step_v1.weights import is_used
from lofi.nn.weight_norm import fold_weight_norm
from tests.checkpoints.ace_step_v1 import MANIFESTS, stored_shapes


def manifest(part: str) -> dict[str, Any]:
    loaded = json.loads((MANIFESTS / f"ace-step-v1-{part}.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize("part", ["transformer", "dcae", "vocoder", "umt5"])
def test_the_part_has_the_published_tensors(part: str) -> None:
    known = manifest(part)
    expected = {name: tuple(shape) for name, shape in known["tensors"].items()}
    assert stored_shapes(part, known["config"]) == expected


def test_what_only_training_used_is_left_out() -> None:
    known = manifest("transformer")
    left_out = [shape for name, shape in known["tensors"].items() if not is_used(name)]
    assert sum(math.prod(shape) for shape in left_out) == known["unused"] == 717_231_872
    with torch.device("meta"):
        model = Transformer(TransformerConfig.read(known["config"]))
    assert sum(p.numel() for p in model.parameters()) == 3_305_659_264 - 717_231_872


def test_the_vocoder_has_the_published_tensors_once_folded() -> None:
    known = manifest("vocoder")
    with torch.device("meta"):
        vocoder = Vocoder(VocoderConfig.read(known["config"]))
        stored = {
            name: torch.empty(shape)
            for name, shape in known["tensors"].items()
            if not name.startswith("mel_transform.")
        }
        folded = fold_weight_norm(stored)
    shapes = {name: tensor.shape for name, tensor in vocoder.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in folded.items()}
