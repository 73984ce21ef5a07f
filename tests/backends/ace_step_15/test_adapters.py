"""Every way an adapter is written, against the change it stands for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lofi.backends.ace_step_15.adapters import Merger, module_name, read_adapter
from lofi.errors import GenerationCancelled, InvalidLora

GENERATOR = torch.Generator().manual_seed(0)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn = nn.ModuleDict(
            {"q_proj": nn.Linear(8, 6, bias=False), "o_proj": nn.Linear(6, 8, bias=False)}
        )


class Small(nn.Module):
    """The names of a decoder, nothing of its work."""

    def __init__(self) -> None:
        super().__init__()
        self.proj_in = nn.Sequential(nn.Identity(), nn.Conv1d(4, 6, 2))
        self.layers = nn.ModuleList([Layer()])


@pytest.fixture
def decoder() -> Small:
    torch.manual_seed(0)
    return Small().requires_grad_(False)


def never() -> None:
    """Lets everything pass."""


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def weight(decoder: Small, name: str = "q_proj") -> Tensor:
    tensor = decoder.layers[0].self_attn[name].weight  # type: ignore[union-attr,index]
    assert isinstance(tensor, Tensor)
    return tensor.clone()


A, B = draw(2, 8), draw(6, 2)


def peft(folder: Path, **config: object) -> Path:
    folder.mkdir()
    name = "base_model.model.layers.0.self_attn.q_proj"
    tensors = {f"{name}.lora_A.weight": A.clone(), f"{name}.lora_B.weight": B.clone()}
    save_file(tensors, folder / "adapter_model.safetensors")
    members = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, **config}
    (folder / "adapter_config.json").write_text(json.dumps(members), encoding="utf-8")
    return folder


def single(path: Path, *, up: str, down: str, prefix: str, alpha: float | None) -> Path:
    name = f"{prefix}layers.0.self_attn.q_proj"
    tensors = {f"{name}.{down}.weight": A.clone(), f"{name}.{up}.weight": B.clone()}
    if alpha is not None:
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
    save_file(tensors, path)
    return path


WRITTEN: dict[str, tuple[Callable[[Path], Path], float, str]] = {
    "peft": (lambda p: peft(p / "a"), 3.0, "peft"),
    "rank stabilised": (lambda p: peft(p / "a", use_rslora=True), 6 / 2**0.5, "peft"),
    "alpha by pattern": (lambda p: peft(p / "a", alpha_pattern={"q_proj": 1}), 0.5, "peft"),
    "comfy": (
        lambda p: single(
            p / "a.safetensors", up="lora_up", down="lora_down", prefix="diffusion_model.", alpha=4
        ),
        2.0,
        "single_file",
    ),
    "bare": (
        lambda p: single(
            p / "a.safetensors", up="lora_B", down="lora_A", prefix="decoder.", alpha=None
        ),
        1.0,
        "single_file",
    ),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_low_rank_adapters(decoder: Small, tmp_path: Path, kind: str) -> None:
    write, strength, name = WRITTEN[kind]
    adapter = read_adapter(write(tmp_path))
    assert (adapter.format, adapter.rank) == (name, 2)
    before = weight(decoder)
    merger = Merger(decoder)
    merger.apply([(adapter, 0.5)], never)
    torch.testing.assert_close(weight(decoder), before + 0.5 * strength * (B @ A))
    merger.apply([], never)
    assert torch.equal(weight(decoder), before)


def test_the_names_of_diffusers_are_ours() -> None:
    assert module_name("transformer.layers.3.cross_attn.to_out.0") == "layers.3.cross_attn.o_proj"
    assert module_name("base_model.model.layers.0.self_attn.to_q") == "layers.0.self_attn.q_proj"
    assert module_name("transformer.proj_in_conv") == "proj_in.1"


def lokr(path: Path, tensors: dict[str, Tensor], **config: object) -> Path:
    save_file(tensors, path, metadata={"lokr_config": json.dumps(config)})
    return path


def test_kronecker_factors_whole_and_decomposed(decoder: Small, tmp_path: Path) -> None:
    one, two = draw(2, 4), draw(3, 2)
    left, right = draw(3, 1), draw(1, 2)
    name = "lycoris_layers_0_self_attn_q_proj"
    before = weight(decoder)
    whole = {f"{name}.lokr_w1": one, f"{name}.lokr_w2": two, f"{name}.alpha": torch.tensor(64.0)}
    merger = Merger(decoder)
    merger.apply([(read_adapter(lokr(tmp_path / "w.safetensors", whole)), 1.0)], never)
    torch.testing.assert_close(weight(decoder), before + torch.kron(one, two))
    parts = {
        f"{name}.lokr_w1": one,
        f"{name}.lokr_w2_a": left,
        f"{name}.lokr_w2_b": right,
        f"{name}.alpha": torch.tensor(2.0),
    }
    merger.apply([(read_adapter(lokr(tmp_path / "p.safetensors", parts)), 1.0)], never)
    torch.testing.assert_close(weight(decoder), before + 2 * torch.kron(one, left @ right))


def test_a_convolution_and_its_core(decoder: Small, tmp_path: Path) -> None:
    one, core = draw(2, 2), draw(1, 1, 2)
    left, right = draw(1, 3), draw(1, 2)
    name = "lycoris_proj_in_1"
    tensors = {
        f"{name}.lokr_w1": one,
        f"{name}.lokr_w2_a": left,
        f"{name}.lokr_w2_b": right,
        f"{name}.lokr_t2": core,
        f"{name}.alpha": torch.tensor(1.0),
    }
    before = decoder.proj_in[1].weight.clone()
    Merger(decoder).apply([(read_adapter(lokr(tmp_path / "c.safetensors", tensors)), 1.0)], never)
    two = torch.einsum("ijk,ip,jr->prk", core, left, right)
    change = torch.einsum("ab,cdk->acbdk", one, two).reshape(6, 4, 2)
    torch.testing.assert_close(decoder.proj_in[1].weight, before + change)


def test_weight_decomposition_sets_the_lengths(decoder: Small, tmp_path: Path) -> None:
    one, two, lengths = draw(2, 4), draw(3, 2), draw(1, 8).abs() + 1
    name = "lycoris_layers_0_self_attn_q_proj"
    tensors = {f"{name}.lokr_w1": one, f"{name}.lokr_w2": two, f"{name}.dora_scale": lengths}
    Merger(decoder).apply([(read_adapter(lokr(tmp_path / "d.safetensors", tensors)), 1.0)], never)
    torch.testing.assert_close(weight(decoder).norm(dim=0, keepdim=True), lengths)


def test_two_adapters_add_up(decoder: Small, tmp_path: Path) -> None:
    first = read_adapter(peft(tmp_path / "first"))
    second = read_adapter(peft(tmp_path / "second", lora_alpha=2))
    before = weight(decoder)
    merger = Merger(decoder)
    merger.apply([(first, 1.0), (second, -1.0)], never)
    torch.testing.assert_close(weight(decoder), before + 2 * (B @ A))


def test_a_cancelled_merge_leaves_the_base(decoder: Small, tmp_path: Path) -> None:
    adapter = read_adapter(peft(tmp_path / "a"))
    before = weight(decoder)
    merger = Merger(decoder)

    def cancel() -> None:
        raise GenerationCancelled("no longer wanted")

    with pytest.raises(GenerationCancelled):
        merger.apply([(adapter, 1.0)], cancel)
    assert torch.equal(weight(decoder), before)
    merger.apply([(adapter, 1.0)], never)
    assert not torch.equal(weight(decoder), before)


@pytest.mark.parametrize("wrong", ["foreign key", "half a pair", "no adapter", "cut short"])
def test_what_is_no_adapter_is_refused(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "x.safetensors"
    if wrong == "foreign key":
        save_file({"unet.down.weight": draw(2, 2)}, path)
    elif wrong == "half a pair":
        save_file({"decoder.layers.0.self_attn.q_proj.lora_A.weight": A}, path)
    elif wrong == "no adapter":
        path = tmp_path
    else:
        path.write_bytes(b"\x00" * 20)
    with pytest.raises(InvalidLora):
        read_adapter(path)


def test_an_adapter_without_its_kind_is_refused(tmp_path: Path) -> None:
    folder = peft(tmp_path / "a")
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidLora, match="peft_type"):
        read_adapter(folder)
