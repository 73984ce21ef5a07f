"""How to bring a model onto the machine, in one sentence for whoever lacks it."""

from __future__ import annotations

from lofi import hub
from lofi.catalog import Backend, Variant, lm_component, spelling
from lofi.paths import MODEL_VARIABLES

GIGABYTE = 1e9


def how_to_install(backend: Backend, variant: Variant | None = None) -> str:
    """Returns the command with its size, and the way for those who have the files already."""
    wanted = variant or backend.variant(None)
    size = hub.order(backend, wanted).size_bytes / GIGABYTE
    choice = "" if wanted.name == backend.default_variant else f" variant={wanted.name}"
    return (
        f"Run :Lofi setup {spelling(backend.type)}{choice} ({size:.1f} GB), or put its published "
        f"files into a folder and name that folder in {MODEL_VARIABLES[backend.type]}."
    )


def how_to_install_planner(lm_size: str) -> str:
    """Returns the command that brings a planner, with its own size."""
    size = hub.PUBLISHED["ace_step_15"][lm_component(lm_size)].size_bytes / GIGABYTE
    return f"Run :Lofi setup ace-step-1.5 lm={lm_size} ({size:.1f} GB)."
