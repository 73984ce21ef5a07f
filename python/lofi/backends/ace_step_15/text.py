"""The text encoder: a Qwen3 decoder without head. Lyrics only use its embedding table."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from lofi.backends.ace_step_15.config import TextConfig
from lofi.backends.ace_step_15.encoders import never
from lofi.nn.attention import Attention
from lofi.nn.embedding import Embedding
from lofi.nn.mlp import GatedMLP
from lofi.nn.norms import RMSNorm
from lofi.nn.rope import Rotary, rotary_table
from lofi.worker.backend import Check

END_MARK = "<|endoftext|>"
TEXT_LIMIT = 256
LYRIC_LIMIT = 2048


class TextLayer(nn.Module):
    """Causal attention and feed-forward, each behind a norm and added."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        width = config.width
        self.input_layernorm = RMSNorm(width.size, config.eps)
        self.self_attn = Attention(
            width.size,
            width.heads,
            width.kv_heads,
            config.head_dim,
            eps=config.eps,
            bias=config.attention_bias,
        )
        self.post_attention_layernorm = RMSNorm(width.size, config.eps)
        self.mlp = GatedMLP(width.size, width.inner_size)

    def forward(self, x: Tensor, rotary: Rotary) -> Tensor:
        """x [B, S, C] -> [B, S, C]."""
        x = x + self.self_attn(self.input_layernorm(x), rotary=rotary, causal=True)
        return x + self.mlp(self.post_attention_layernorm(x))


class TextEncoder(nn.Module):
    """Token ids -> hidden states of the last layer, after the final norm."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = Embedding(config.vocab_size, config.width.size)
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.width.size, config.eps)

    def forward(self, ids: Tensor, check: Check = never) -> Tensor:
        """ids [B, S] -> [B, S, C]. Padding is not masked: the model was trained beside it."""
        x = self.embed_tokens(ids)
        positions = torch.arange(ids.shape[1], device=ids.device)
        rotary = rotary_table(
            positions, self.config.head_dim, self.config.rope_theta, dtype=x.dtype
        )
        for layer in self.layers:
            x = layer(x, rotary)
            check()
        return self.norm(x)


class TextTokenizer:
    """Prompt -> ids. The end mark is appended here, whatever the file's post-processor does."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        end = self._tokenizer.token_to_id(END_MARK)
        if end is None:
            raise ValueError(f"{path} has no token {END_MARK}")
        self.end_id: int = end

    def ids(self, text: str, limit: int) -> list[int]:
        """At most `limit` ids, the appended mark counted; `is_cut` says whether more were there."""
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [*found[: limit - 1], self.end_id]

    def is_cut(self, text: str, limit: int) -> bool:
        """Whether `ids` leaves something of `text` out."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids) > limit - 1

    def bare_ids(self, text: str) -> list[int]:
        """The ids of `text` alone."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: list[int]) -> str:
        """The text of `ids`; characters split over missing ids come out as U+FFFD."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))
