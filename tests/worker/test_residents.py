"""Who is on the device, and what moves when another one is wanted there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lofi.worker import residents as room
from lofi.worker.residents import Residency, Residents, module_bytes


def test_module_bytes_counts_tied_weights_once() -> None:
    embedding = nn.Embedding(100, 8)
    head = nn.Linear(8, 100, bias=False)
    head.weight = embedding.weight
    assert module_bytes(nn.ModuleList([embedding, head])) == 100 * 8 * 4
    assert module_bytes(nn.Linear(4, 4).to(torch.bfloat16)) == 20 * 2
    assert module_bytes(nn.Linear(4, 4, device="meta")) == 0
    assert module_bytes(nn.BatchNorm1d(3)) == 4 * 3 * 4 + 8


def linear(size: int, seed: int) -> nn.Linear:
    module = nn.Linear(size, size)
    with torch.no_grad():
        module.weight.copy_(torch.randn(size, size, generator=torch.Generator().manual_seed(seed)))
    return module.requires_grad_(False)


def devices_of(residents: Residents, *names: str) -> list[str]:
    return [next(residents[name].parameters()).device.type for name in names]


@pytest.fixture
def residents(monkeypatch: pytest.MonkeyPatch) -> Residents:
    """A text encoder, a transformer and a small decoder; the meta device plays the GPU."""
    monkeypatch.setattr(room, "SMALL_BYTES", 1000)
    found = Residents("meta", Residency.SEQUENTIAL)
    for seed, (name, size) in enumerate({"text": 32, "dit": 64, "vae": 4}.items()):
        found.add(name, linear(size, seed))
    return found


def test_one_large_module_at_a_time(residents: Residents) -> None:
    before = residents["dit"].weight.clone()
    with residents.use("text"):
        assert devices_of(residents, "text", "dit", "vae") == ["meta", "cpu", "cpu"]
    with residents.use("dit") as dit:
        assert dit is residents["dit"]
        assert devices_of(residents, "text", "dit", "vae") == ["cpu", "meta", "cpu"]
    with residents.use("vae"):
        assert devices_of(residents, "text", "dit", "vae") == ["cpu", "cpu", "meta"]
    assert devices_of(residents, "text", "dit", "vae") == ["cpu", "cpu", "meta"], "small ones stay"
    assert torch.equal(residents["dit"].weight, before)


def test_leaving_the_device_brings_the_same_storage_back(residents: Residents) -> None:
    address = residents["dit"].weight.data_ptr()
    with residents.use("dit"):
        pass
    assert residents["dit"].weight.data_ptr() == address, "nothing was copied"


def test_a_failure_in_a_stage_still_leaves_the_device(residents: Residents) -> None:
    with pytest.raises(ZeroDivisionError), residents.use("dit"):
        raise ZeroDivisionError
    assert devices_of(residents, "dit") == ["cpu"]


def test_everything_stays_when_everything_fits() -> None:
    found = Residents("meta", Residency.NONE)
    found.add("a", linear(8, 0))
    found.add("b", linear(8, 1))
    for name in ("a", "b"):
        with found.use(name):
            pass
    assert devices_of(found, "a", "b") == ["meta", "meta"]


def test_the_cpu_policy_computes_on_the_cpu(residents: Residents) -> None:
    residents.settle(Residency.CPU)
    with residents.use("dit") as dit:
        assert dit(torch.ones(64)).shape == (64,)
    assert residents.residency is Residency.CPU


def test_buffers_move_with_their_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SMALL_BYTES", 0)
    found = Residents("meta", Residency.SEQUENTIAL)
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4))
    module.requires_grad_(False)
    found.add("net", module)
    with found.use("net"):
        assert module[0].running_mean.device.type == "meta"  # type: ignore[union-attr]
    running: Tensor = module[0].running_mean  # type: ignore[assignment]
    assert running.device.type == "cpu" and torch.equal(running, torch.zeros(4))


def test_sizes_and_letting_go(residents: Residents) -> None:
    assert residents.sizes()["dit"] == 64 * 65 * 4
    residents.drop("dit")
    assert "dit" not in residents and "vae" in residents
    residents.clear()
    assert residents.sizes() == {}
