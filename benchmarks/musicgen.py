"""MusicGen's decode loop beside transformers' `generate`: the same samples, tokens per second.

python -m benchmarks.musicgen [--tokens 60] [--tiny]

Full-size random weights of the small variant in float32, both sides warm, alternated; the median
ratio of three pairs. Exits 1 when a sample differs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from lofi.backends.musicgen import codec, weights
from lofi.backends.musicgen.condition import condition, token_ids
from lofi.backends.musicgen.tokens import Sampling, draw
from tests.checkpoints import musicgen

PROMPT = "lofi hip hop, mellow piano, vinyl crackle"
SAMPLING = Sampling(3.0, 1.0, 250, 0.0)
PAIRS = 3


def ours(loaded: weights.Loaded, tokens: int) -> tuple[float, torch.Tensor]:
    """Returns seconds and codes."""
    started = time.perf_counter()
    heard = condition(loaded, PROMPT, "", None, guided=True)
    rows = loaded.model.config.decoder.num_codebooks
    generator = torch.Generator().manual_seed(1)
    empty = torch.zeros(rows, 0, dtype=torch.long)
    *_, codes = draw(loaded.model.decoder, heard, empty, tokens, SAMPLING, generator, lambda: None)
    assert isinstance(codes, torch.Tensor)
    return time.perf_counter() - started, codes


def theirs(loaded: weights.Loaded, tokens: int) -> tuple[float, torch.Tensor]:
    """Returns seconds without the codec, and samples."""
    decoded: list[float] = []
    codec_decode = loaded.model.audio_encoder.decode

    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return codec_decode(*arguments, **named)
        finally:
            decoded.append(time.perf_counter() - begun)

    loaded.model.audio_encoder.decode = timed
    ids = token_ids(loaded, PROMPT)
    torch.manual_seed(1)
    started = time.perf_counter()
    samples = loaded.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        guidance_scale=SAMPLING.guidance,
        top_k=SAMPLING.top_k,
        max_new_tokens=tokens + 3,
    )
    spent = time.perf_counter() - started - sum(decoded)
    loaded.model.audio_encoder.decode = codec_decode
    return spent, samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    size = musicgen.TINY if options.tiny else musicgen.SMALL
    with tempfile.TemporaryDirectory() as folder:
        path = musicgen.write(Path(folder) / "small", size)
        loaded = weights.load(path, torch.device("cpu"), torch.float32)
    ours(loaded, 8)
    theirs(loaded, 8)
    ratios = []
    for _ in range(PAIRS):
        mine, codes = ours(loaded, options.tokens)
        other, samples = theirs(loaded, options.tokens)
        ratios.append(other / mine)
        print(
            f"ours {options.tokens / mine:.2f} tokens/s, transformers {options.tokens / other:.2f}"
        )
    same = torch.equal(codec.decode(loaded, codes, lambda: None).T, samples[0])
    print(f"ratio {statistics.median(ratios):.2f}, samples {'equal' if same else 'DIFFER'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
