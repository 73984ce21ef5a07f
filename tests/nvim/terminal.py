"""A Neovim on a real screen: typed into and read as a person does, by way of tmux."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.clock import until
from tests.nvim.editor import REPO, Home

HAS_TMUX = shutil.which("tmux") is not None


class Terminal:
    """One Neovim in one window of a tmux server of its own."""

    def __init__(
        self, program: Path, home: Home, *arguments: str, columns: int = 80, rows: int = 24
    ) -> None:
        self._socket = str(home.root / "tmux")
        self._environment = home.environment | {
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
        }
        command = ["env", "-i", *(f"{name}={value}" for name, value in self._environment.items()),
                   str(program), "--clean", "-n", "--cmd", f"set rtp^={REPO} shm+=I",
                   *arguments]  # fmt: skip
        self._tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(REPO),
                   f"exec {shlex.join(command)}")  # fmt: skip
        self._tmux("set-option", "-g", "status", "off")
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-S", self._socket, "-f", "/dev/null", *words]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env=self._environment
        )
        return done.stdout

    def type(self, text: str) -> None:
        """Types a line and Enter."""
        self._tmux("send-keys", "-l", text)
        self._tmux("send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Presses keys as tmux names them."""
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def colored(self) -> str:
        """Returns the screen with its colours, as escape sequences."""
        return self._tmux("capture-pane", "-p", "-e")

    def wait(self, seconds: float, *words: str) -> str:
        """Waits until all words are on the screen, and returns it."""
        shown: Any = ""

        def sees() -> bool:
            nonlocal shown
            shown = self.screen()
            return all(word in shown for word in words)

        try:
            until(sees, seconds, f"{words}")
        except AssertionError as error:
            raise AssertionError(f"{error}; the screen:\n{shown}") from None
        return str(shown)

    def close(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")
