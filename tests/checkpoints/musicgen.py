"""Random MusicGen checkpoints in the published layout, tiny or full size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

TINY: dict[str, dict[str, Any]] = {
    "text": {"d_model": 24, "d_ff": 32, "d_kv": 8, "num_heads": 2, "num_layers": 1,
             "vocab_size": 300},
    "audio": {"num_filters": 4, "hidden_size": 8, "codebook_dim": 8, "codebook_size": 32,
              "upsampling_ratios": [8, 5, 4, 4], "sampling_rate": 32000, "num_lstm_layers": 1,
              "num_residual_layers": 1, "norm_type": "weight_norm", "use_causal_conv": False,
              "target_bandwidths": [1.0], "audio_channels": 1},
    "decoder": {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2,
                "num_attention_heads": 2, "vocab_size": 32, "max_position_embeddings": 256,
                "num_codebooks": 4},
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "text": {"d_model": 768, "d_ff": 3072, "d_kv": 64, "num_heads": 12, "num_layers": 12},
    "audio": {"num_filters": 64, "hidden_size": 128, "codebook_dim": 128, "codebook_size": 2048,
              "upsampling_ratios": [8, 5, 4, 4], "sampling_rate": 32000, "use_causal_conv": False,
              "target_bandwidths": [2.2], "audio_channels": 1},
    "decoder": {"hidden_size": 1024, "ffn_dim": 4096, "num_hidden_layers": 24,
                "num_attention_heads": 16, "vocab_size": 2048, "num_codebooks": 4},
}  # fmt: skip


def tokenizer() -> Tokenizer:
    """A byte-level tokenizer that ends each text with T5's end token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<pad>": 0, "</s>": 1, **{char: 2 + i for i, char in enumerate(alphabet)}}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return made


def write(
    folder: Path, size: dict[str, dict[str, Any]] = TINY, *, stereo: bool = False,
    melody: bool = False, seed: int = 0,
) -> Path:  # fmt: skip
    """Writes a checkpoint whose folder is named after its variant, and returns the folder."""
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        MusicgenMelodyConfig,
        MusicgenMelodyDecoderConfig,
        MusicgenMelodyForConditionalGeneration,
        T5Config,
    )

    codebooks = size["decoder"]["num_codebooks"] * (2 if stereo else 1)
    own = {
        **size["decoder"],
        "num_codebooks": codebooks,
        "audio_channels": 2 if stereo else 1,
        "pad_token_id": size["decoder"]["vocab_size"],
        "bos_token_id": size["decoder"]["vocab_size"],
        "dropout": 0.0,
    }
    text, audio = T5Config(**size["text"]), EncodecConfig(**size["audio"])
    kind: Any
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if melody:
            config: Any = MusicgenMelodyConfig(
                text_encoder=text.to_dict(),
                audio_encoder=audio.to_dict(),
                decoder=MusicgenMelodyDecoderConfig(**own).to_dict(),
                num_chroma=12,
                chroma_length=6,
            )
            kind = MusicgenMelodyForConditionalGeneration
        else:
            config = MusicgenConfig(
                text_encoder=text.to_dict(),
                audio_encoder=audio.to_dict(),
                decoder=MusicgenDecoderConfig(**own).to_dict(),
            )
            kind = MusicgenForConditionalGeneration
        model = kind(config).eval()
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "norm" not in name:
                # transformers draws so small that no condition would move a sample
                torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
        for module in model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                if name == "embed":  # the codec's codebooks are zero until trained
                    buffer.normal_()
    model.generation_config.update(
        decoder_start_token_id=own["pad_token_id"],
        pad_token_id=own["pad_token_id"],
        bos_token_id=own["bos_token_id"],
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer().save(str(folder / "tokenizer.json"))
    return folder
