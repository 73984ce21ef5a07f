"""Our network against the names and shapes of the published planners, without weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lofi.backends.ace_step_15.planner.config import PlannerConfig
from lofi.backends.ace_step_15.planner.weights import bare_name, empty_network

MANIFESTS = Path(__file__).parents[3] / "goldens" / "manifests"


@pytest.mark.parametrize("size", ["0.6B", "1.7B", "4B"])
def test_the_network_has_the_published_tensors(size: str) -> None:
    path = MANIFESTS / f"ace-step-1.5-lm-{size}.json"
    known = json.loads(path.read_text(encoding="utf-8"))
    network = empty_network(PlannerConfig.of(known["config"]))
    ours = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert ours == {bare_name(name): shape for name, shape in known["tensors"].items()}
    assert sum(p.numel() for p in network.parameters()) == known["parameter_count"]


def test_an_output_head_is_left_out() -> None:
    assert bare_name("lm_head.weight") is None
