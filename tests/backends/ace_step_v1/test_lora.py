"""Adapters: names and scales of every kind of file, misfits, and exact restoration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lofi.backends.ace_step_v1.config import TransformerConfig
from lofi.backends.ace_step_v1.lora import Merger, read_adapter
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.errors import InvalidLora
from tests.checkpoints.ace_step_v1 import TINY

MODULE = "transformer_blocks.1.attn.to_q"
SIZE, RANK = 16, 4


def nothing() -> None:
    pass


def factors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(RANK, SIZE, generator=generator), torch.randn(
        SIZE, RANK, generator=generator
    )


@pytest.fixture
def merged(tmp_path: Path) -> tuple[Transformer, Merger]:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig.read({**TINY["transformer"], "num_layers": 2}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    path = tmp_path / "model.safetensors"
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, path)
    return model, Merger(model, path)


def write(
    folder: Path, names: tuple[str, str], *, file: str = "pytorch_lora_weights.safetensors",
    alpha: float | None = None, metadata: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    folder.mkdir(exist_ok=True)
    tensors = dict(zip(names, factors(), strict=True))
    if alpha is not None:
        tensors[names[0].replace("lora_down.weight", "alpha")] = torch.tensor(alpha)
    save_file(tensors, folder / file, metadata=metadata)
    return folder


def change(model: Transformer, merger: Merger, adapter: Path, strength: float = 1.0) -> Tensor:
    weight = model.get_submodule(MODULE).weight
    assert isinstance(weight, Tensor)
    before = weight.detach().clone()
    merger.apply([(read_adapter(adapter), "x", strength)], nothing)
    return model.get_submodule(MODULE).weight.detach() - before  # type: ignore[union-attr, operator]


def plain(prefix: str = "") -> tuple[str, str]:
    return f"{prefix}{MODULE}.lora_A.weight", f"{prefix}{MODULE}.lora_B.weight"


@pytest.mark.parametrize("prefix", ["", "transformer.", "base_model.model.", "diffusion_model."])
def test_plain_and_prefixed_names_have_scale_one(
    prefix: str, tmp_path: Path, merged: tuple[Transformer, Merger]
) -> None:
    down, up = factors()
    got = change(*merged, write(tmp_path / "a", plain(prefix)), 0.5)
    torch.testing.assert_close(got, 0.5 * up @ down, rtol=1e-5, atol=1e-5)


def test_metadata_gives_the_training_scale(
    tmp_path: Path, merged: tuple[Transformer, Merger]
) -> None:
    config = {"transformer.r": RANK, "transformer.lora_alpha": 32, "transformer.use_rslora": True}
    metadata = {"lora_adapter_metadata": json.dumps(config)}
    down, up = factors()
    got = change(*merged, write(tmp_path / "a", plain(), metadata=metadata))
    torch.testing.assert_close(got, 32 / 2 * up @ down, rtol=1e-4, atol=1e-4)


def test_an_old_single_file_has_its_own_alpha(
    tmp_path: Path, merged: tuple[Transformer, Merger]
) -> None:
    flat = "lora_unet_" + MODULE.replace(".", "_")
    names = (f"{flat}.lora_down.weight", f"{flat}.lora_up.weight")
    folder = write(tmp_path / "a", names, file="rap.safetensors", alpha=8.0)
    down, up = factors()
    got = change(*merged, folder / "rap.safetensors")
    torch.testing.assert_close(got, 2 * up @ down, rtol=1e-4, atol=1e-4)


def test_a_peft_folder_has_its_configuration_beside(
    tmp_path: Path, merged: tuple[Transformer, Merger]
) -> None:
    folder = write(tmp_path / "a", plain("base_model.model."), file="adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 2}))
    down, up = factors()
    got = change(*merged, folder)
    torch.testing.assert_close(got, 0.5 * up @ down, rtol=1e-4, atol=1e-4)


def test_unloading_restores_every_bit(tmp_path: Path, merged: tuple[Transformer, Merger]) -> None:
    model, merger = merged
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapter = read_adapter(write(tmp_path / "a", plain()))
    merger.apply([(adapter, "x", 1.0), (adapter, "x", -0.3)], nothing)
    assert not torch.equal(model.state_dict()[f"{MODULE}.weight"], before[f"{MODULE}.weight"])
    merger.apply([], nothing)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_same_adapter_loads_again_after_unloading(
    tmp_path: Path, merged: tuple[Transformer, Merger]
) -> None:
    model, merger = merged
    folder = write(tmp_path / "a", plain())
    first = change(model, merger, folder)
    merger.apply([], nothing)
    torch.testing.assert_close(change(model, merger, folder), first)


@pytest.mark.parametrize(
    "names",
    [
        ("decoder.layers.0.q_proj.lora_A.weight", "decoder.layers.0.q_proj.lora_B.weight"),
        ("final_layer.linear.lora_A.weight", "final_layer.linear.lora_B.weight"),
    ],
)
def test_a_foreign_adapter_changes_nothing(
    names: tuple[str, str], tmp_path: Path, merged: tuple[Transformer, Merger]
) -> None:
    model, merger = merged
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InvalidLora) as caught:
        merger.apply([(read_adapter(write(tmp_path / "a", names)), "x", 1.0)], nothing)
    assert caught.value.data["matched"] == 0
    assert caught.value.data["expected"] == 1
    assert caught.value.data["first_mismatch"] == names[0].removesuffix(".lora_A.weight")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidLora, match="holds no adapter"):
        read_adapter(tmp_path)
    with pytest.raises(InvalidLora, match="cannot be read"):
        read_adapter(tmp_path / "gone.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(InvalidLora, match="cannot be read"):
        read_adapter(tmp_path / "cut.safetensors")
    save_file({"x.weight": torch.zeros(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(InvalidLora, match="no factor"):
        read_adapter(tmp_path / "other.safetensors")
    save_file({f"{MODULE}.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "half.safetensors")
    with pytest.raises(InvalidLora, match="lacks a factor"):
        read_adapter(tmp_path / "half.safetensors")
