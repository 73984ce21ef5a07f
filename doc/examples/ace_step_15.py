"""ACE-Step 1.5 without an editor: a folder of published files and a sentence become a sound file.

python doc/examples/ace_step_15.py MODELS "rain on a window, felt piano" --seconds 30 --out rain.wav
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soundfile

from lofi.backends.ace_step_15 import Pipeline, Request


def main() -> None:
    """Renders one request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, help="holds acestep-v15-<variant>, vae, Qwen3-…")
    parser.add_argument("prompt")
    parser.add_argument("--variant", default="turbo")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("music.wav"))
    arguments = parser.parse_args()
    pipeline = Pipeline.open(arguments.models, arguments.variant)
    request = Request(prompt=arguments.prompt, duration_sec=arguments.seconds, seed=arguments.seed)
    soundfile.write(arguments.out, pipeline.generate(request), 48000)


if __name__ == "__main__":
    main()
