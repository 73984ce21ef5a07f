"""MusicGen's decode loop beside transformers' `generate`: the same samples, steps per second.

python -m benchmarks.musicgen [--tokens 60] [--pairs 3] [--tiny] [--checkpoint DIR] [--output FILE]

Full-size random weights of the small variant in float32, both sides warm, alternated; the median
of the pairs. A step is one code of each codebook, a fiftieth of a second of music. Exits 1 when a
sample differs.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import MusicgenForConditionalGeneration

from lofi.backends.musicgen import codec, weights
from lofi.backends.musicgen.condition import condition, token_ids
from lofi.backends.musicgen.tokens import Sampling, draw
from tests.checkpoints import musicgen

PROMPT = "lofi hip hop, mellow piano, vinyl crackle"
SAMPLING = Sampling(3.0, 1.0, 250, 0.0)


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


def theirs(model: Any, loaded: weights.Loaded, tokens: int) -> tuple[float, torch.Tensor]:
    """Returns seconds without the codec, and samples, of the model as transformers makes it."""
    decoded: list[float] = []
    codec_decode = model.audio_encoder.decode

    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return codec_decode(*arguments, **named)
        finally:
            decoded.append(time.perf_counter() - begun)

    model.audio_encoder.decode = timed
    ids = token_ids(loaded, PROMPT)
    torch.manual_seed(1)
    started = time.perf_counter()
    samples = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        guidance_scale=SAMPLING.guidance,
        top_k=SAMPLING.top_k,
        max_new_tokens=tokens + 3,
    )
    spent = time.perf_counter() - started - sum(decoded)
    model.audio_encoder.decode = codec_decode
    return spent, samples


def report(pairs: list[tuple[float, float]], same: bool, options: argparse.Namespace) -> str:
    """Returns the results as a page."""
    speeds = [(options.tokens / mine, options.tokens / other) for mine, other in pairs]
    ratio = statistics.median(mine / other for mine, other in speeds)
    rows = [f"| {mine:.2f} | {other:.2f} | {mine / other:.2f} |" for mine, other in speeds]
    size = "tiny" if options.tiny else "small, full size (random weights)"
    return "\n".join(
        (
            "# MusicGen's decode loop beside transformers' `generate`",
            "",
            f"`python -m benchmarks.musicgen --tokens {options.tokens} --pairs {options.pairs}`: "
            f"{size}, float32,",
            f"{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
            f"transformers {version('transformers')}.",
            "Steps per second, both sides in one process, in turns; guidance 3, top-k 250. Fifty "
            "steps are a second of music.",
            "",
            "| ours | transformers | ratio |",
            "|---|---|---|",
            *rows,
            "",
            f"Median ratio {ratio:.2f}. The samples of both are "
            f"{'equal, every one' if same else 'DIFFERENT'}.",
            "",
        )
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    found = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): value.strip() for name, value in found.items()}
    widest = [flag for flag in ("amx_tile", "avx512f", "avx2") if flag in facts.get("flags", "")]
    return f"{facts.get('model name', platform.machine())} ({', '.join(widest[:1]) or 'no AVX'})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--checkpoint", type=Path, help="kept from run to run; written if missing")
    parser.add_argument("--output", type=Path, help="a page with the results")
    options = parser.parse_args()
    size = musicgen.TINY if options.tiny else musicgen.SMALL
    with tempfile.TemporaryDirectory() as folder:
        path = options.checkpoint or Path(folder) / "small"
        if not (path / "config.json").is_file():
            musicgen.write(path, size)
        loaded = weights.load(path, torch.device("cpu"), torch.float32)
        plain = MusicgenForConditionalGeneration.from_pretrained(path, dtype=torch.float32).eval()
    ours(loaded, 8)
    theirs(plain, loaded, 8)
    pairs = []
    for _ in range(options.pairs):
        mine, codes = ours(loaded, options.tokens)
        other, samples = theirs(plain, loaded, options.tokens)
        pairs.append((mine, other))
        print(f"ours {mine:.1f} s, transformers {other:.1f} s", file=sys.stderr, flush=True)
    same = torch.equal(codec.decode(loaded, codes, lambda: None).T, samples[0])
    page = report(pairs, same, options)
    print(page)
    if options.output:
        options.output.write_text(page, encoding="utf-8")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
