"""How to install, in the editor's words and in the shell's."""

from __future__ import annotations

import pytest

from lofi import catalog
from lofi.commands.screen import in_shell
from lofi.hints import how_to_install, how_to_install_planner


def test_a_hint_names_command_size_and_the_way_without_a_download() -> None:
    backend = catalog.BACKENDS["ace_step_15"]
    assert how_to_install(backend) == (
        "Run :Lofi setup ace-step-1.5 (6.3 GB), or put its published files into a folder and name "
        "that folder in LOFI_ACE_STEP_15_MODEL_PATH."
    )
    assert "ace-step-1.5 variant=xl-sft (" in how_to_install(backend, backend.variant("xl_sft"))
    assert how_to_install_planner("0.6b") == "Run :Lofi setup ace-step-1.5 lm=0.6b (1.4 GB)."


@pytest.mark.parametrize(
    ("hint", "shell"),
    [
        (":Lofi setup ace-step-1.5 (6.3 GB), or", "lofi setup ace-step-1.5 (6.3 GB), or"),
        ("Run :Lofi setup ace-step-1.5 variant=xl-sft lm=0.6b.",
         "Run lofi setup ace-step-1.5 --variant xl-sft --lm 0.6b."),
        ("Run :Lofi setup, or point", "Run lofi setup, or point"),
        (":Lofi list shows the tracks there are.", "lofi list shows the tracks there are."),
        ("Run :Lofi setup python.", "Run :Lofi setup python."),
        (":Lofi log says more.", ":Lofi log says more."),
    ],
)  # fmt: skip
def test_commands_as_the_shell_takes_them(hint: str, shell: str) -> None:
    assert in_shell(hint) == shell
