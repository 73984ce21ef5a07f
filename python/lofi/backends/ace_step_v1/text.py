"""The text encoder: the UMT5 of the library, and a levelled run of it for guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from lofi.backends.ace_step_v1.config import MAX_TEXT_TOKENS, WEAK_TEXT_LAYERS, WEAKENING

END = 1
"""`</s>`, the last token of every prompt."""


class ScaledLinear(nn.Linear):
    """A linear whose output can be scaled for a while."""

    factor: float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        y = super().forward(x)
        return y if self.factor == 1.0 else y * self.factor


class TextEncoder(nn.Module):
    """Prompt tokens to text states. Names below `model.` are the checkpoint's but for one:

    the embedding is kept once, as `encoder.embed_tokens`; the file calls it `shared`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = UMT5EncoderModel(UMT5Config.from_dict({**config, "use_cache": False}))
        self.model.shared = nn.Identity()
        self._levelled: list[ScaledLinear] = []
        for index in WEAK_TEXT_LAYERS:
            if index < len(self.model.encoder.block):
                attention = self.model.encoder.block[index].layer[0].SelfAttention
                plain = attention.q
                attention.q = ScaledLinear(plain.in_features, plain.out_features, bias=False)
                self._levelled.append(attention.q)

    @property
    def size(self) -> int:
        """Width of the states."""
        return int(self.model.config.d_model)

    @torch.inference_mode()
    def forward(self, ids: Tensor, mask: Tensor, *, weakened: bool = False) -> Tensor:
        """ids and mask [B, S] -> states [B, S, 768] float32 after the last norm."""
        for layer in self._levelled:
            layer.factor = WEAKENING if weakened else 1.0
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states.float()


def module_name(stored: str) -> str | None:
    """Returns our name of a tensor of the file, None for the second name of the embedding."""
    if stored == "encoder.embed_tokens.weight":
        return None
    return "encoder.embed_tokens.weight" if stored == "shared.weight" else stored


def text_ids(tokenizer: Tokenizer, prompt: str) -> tuple[list[int], bool]:
    """Returns the prompt's tokens, at most 256 with the end token, and whether some were cut."""
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids
    limit = MAX_TEXT_TOKENS - 1
    return [*ids[:limit], END], len(ids) > limit
