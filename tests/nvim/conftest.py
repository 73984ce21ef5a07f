"""Neovims of every version that can be had; the whole suite on one, a core of it on the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nvim import get_nvim
from tests.nvim.editor import Editor, Home, Script

_found: dict[str, Path] = {}


def neovims() -> dict[str, Path]:
    """Returns the Neovims there are, newest first; at least one."""
    if not _found:
        _found.update(get_nvim.find(tuple(reversed(get_nvim.VERSIONS))))
        if not _found:
            pytest.exit("no Neovim can be had here: install 0.10 or newer, or set NVIM_TEST_BIN", 3)
    return _found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "program" in metafunc.fixturenames:
        is_core = metafunc.definition.get_closest_marker("every_nvim") is not None
        versions = list(neovims()) if is_core else list(neovims())[:1]
        metafunc.parametrize("program", [neovims()[v] for v in versions], ids=versions)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "every_nvim: run on each Neovim there is, not on one")


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.close()


Open = Callable[..., Editor]


@pytest.fixture
def open_editor(program: Path, home: Home) -> Iterator[Open]:
    """Opens Neovims that live until the test's end."""
    editors: list[Editor] = []

    def open_one(options: dict[str, Any] | None = None) -> Editor:
        editor = Editor(program, home, options)
        editors.append(editor)
        return editor

    yield open_one
    for editor in editors:
        editor.close()


@pytest.fixture
def editor(open_editor: Open) -> Editor:
    """A Neovim in which nothing was done yet."""
    return open_editor()


Talk = Callable[..., tuple[Editor, Script]]


@pytest.fixture
def talk(open_editor: Open, tmp_path: Path) -> Talk:
    """Opens a Neovim that talks to the fake daemon, watched."""

    def start(steps: dict[str, Any] | None = None, **options: Any) -> tuple[Editor, Script]:
        script = Script(tmp_path, steps or {})
        options.setdefault("daemon", {})["cmd"] = script.command
        editor = open_editor(options)
        editor.watch()
        return editor, script

    return start
