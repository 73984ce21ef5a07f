"""Networks are built without memory, and quickly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from pathlib import Path
from tests.checkpoints import ace_step_15, ace_step_15_lm, ace_step_v1

folder = Path(sys.argv[1])
ace_step_v1.write_checkpoint(folder / "v1")
ace_step_15_lm.write(ace_step_15.write_bundle(folder / "bundle"))
print("torch" in sys.modules, "torch._dynamo" in sys.modules)
"""
"""Each network is built on the meta device for the names and shapes of its tensors."""


@pytest.mark.slow
def test_no_network_reads_the_compiler_when_it_is_built(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={"PYTHONPATH": f"{ROOT / 'python'}:{ROOT}", "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "False"]
