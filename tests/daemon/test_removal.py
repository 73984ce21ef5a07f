"""What goes with a model that is taken off the machine, and what stays."""

from __future__ import annotations

from pathlib import Path

from lofi import catalog
from lofi.checkpoints import RECORD
from lofi.daemon.inventory import STAGING, Inventory
from lofi.daemon.removal import remove
from lofi.paths import Paths
from lofi.settings import Settings


def component(models: Path, name: str, *, is_ours: bool) -> Path:
    folder = models / name
    folder.mkdir(parents=True)
    (folder / (RECORD if is_ours else "config.json")).write_text("{}")
    return folder


def test_a_planner_of_ones_own_stays_and_holds_nothing_up(tmp_path: Path) -> None:
    paths = Paths.from_environment({"HOME": str(tmp_path)})
    settings = Settings.load(paths.config_file, paths.overrides_file, {})
    models = tmp_path / "models"
    backend = catalog.backend_named("ace_step_15")
    variant = backend.variant("turbo")
    gone = [component(models, name, is_ours=True) for name in variant.components]
    gone.append(component(models, "acestep-5Hz-lm-1.7B", is_ours=True))
    gone.append(component(models / STAGING, "acestep-5Hz-lm-4B", is_ours=False))
    own = component(models, "acestep-5Hz-lm-0.6B", is_ours=False)
    freed = remove(Inventory(paths, settings), models, backend, variant)
    assert freed == 2 * len(gone)
    assert own.is_dir() and not any(folder.exists() for folder in gone)
