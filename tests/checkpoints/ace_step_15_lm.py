"""Random planner checkpoints in the published layouts, tiny or of a published size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from lofi.backends.ace_step_15.planner.config import PlannerConfig
from lofi.backends.ace_step_15.planner.network import PlannerNetwork
from tests.weights import fill

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
CODES = (*range(500), 63999)
"""Few, for speed; the last keeps the highest code in reach."""

LOUD_END = 8.0

TINY: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 0,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000,
    "hidden_act": "silu",
    "attention_bias": False,
    "tie_word_embeddings": True,
}
MANIFESTS = Path(__file__).parents[1] / "goldens" / "manifests"


def tokenizer(codes: Sequence[int] = CODES) -> Tokenizer:
    """A byte-level tokenizer without merges, with the chat strings and some audio codes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: place for place, character in enumerate(alphabet)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    audio = [f"<|audio_code_{code}|>" for code in codes]
    made.add_special_tokens(
        [AddedToken(text, special=True, normalized=False) for text in [*SPECIALS, *audio]]
    )
    return made


def published_config(size: str) -> PlannerConfig:
    """The sizes of a published checkpoint: 0.6B, 1.7B or 4B."""
    text = (MANIFESTS / f"ace-step-1.5-lm-{size}.json").read_text(encoding="utf-8")
    return PlannerConfig.of(json.loads(text)["config"])


def write(
    models_folder: Path,
    size: str = "0.6B",
    *,
    prefix: str = "model.",
    shards: int = 1,
    salt: str = "planner",
    codes: Sequence[int] = CODES,
    dtype: torch.dtype = torch.bfloat16,
) -> Path:
    """Writes `acestep-5Hz-lm-<size>` with tiny random weights and returns its folder.

    Args:
        dtype: of the tensors in the file; bfloat16 as published.
        prefix: before each tensor's name: "model." as in the 0.6B file, "" as in the 1.7B one.
        shards: more than one writes an index as the 4B checkpoint has.
    """
    folder = models_folder / f"acestep-5Hz-lm-{size}"
    folder.mkdir(parents=True)
    made = tokenizer(codes)
    made.save(str(folder / "tokenizer.json"))
    config = {**TINY, "vocab_size": made.get_vocab_size()}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    network = PlannerNetwork(PlannerConfig.of(config))
    fill(network, salt)
    with torch.no_grad():  # it ends its answers after tens of tokens, not of thousands
        network.embed_tokens.weight[made.token_to_id("<|im_end|>")] *= LOUD_END
    state = network.to(dtype).state_dict()
    tensors = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    _save(folder, tensors, shards)
    return folder


def _save(folder: Path, tensors: dict[str, torch.Tensor], shards: int) -> None:
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return
    places: dict[str, str] = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = dict(list(tensors.items())[shard::shards])
        save_file(part, folder / name)
        places.update(dict.fromkeys(part, name))
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
