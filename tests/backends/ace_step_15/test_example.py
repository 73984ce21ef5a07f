from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import soundfile

ROOT = Path(__file__).parents[3]


def test_the_example_writes_a_sound_file(turbo: Path, tmp_path: Path) -> None:
    out = tmp_path / "music.wav"
    command = [
        sys.executable,
        str(ROOT / "doc" / "examples" / "ace_step_15.py"),
        str(turbo),
        "rain",
    ]
    environment = {"PYTHONPATH": str(ROOT / "python"), "OMP_NUM_THREADS": "1", "PATH": ""}
    subprocess.run([*command, "--seconds", "1.5", "--out", str(out)], check=True, env=environment)
    assert soundfile.info(out).frames == 72000
