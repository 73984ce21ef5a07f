"""A real Neovim with the plugin in it and a home of its own, and how tests look into it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pynvim

from tests.clock import until

REPO = Path(__file__).resolve().parents[2]
FAKE = Path(__file__).with_name("fake_daemon.py")


class Home:
    """Folders, and the environment that leads every process to them and to nothing else."""

    def __init__(self) -> None:
        # Short: a socket's path has about 100 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="lofi-", dir="/tmp"))
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("LOFI_", "XDG_", "NVIM"))
        }
        self.environment |= {
            "HOME": str(self.root),
            "PATH": os.environ["PATH"],
            "LOFI_PYTHON": sys.executable,
            "LOFI_AUDIO_OUTPUT": "null",
            "OMP_NUM_THREADS": "1",
        }
        for name in ("CONFIG", "DATA", "STATE", "CACHE"):
            self.environment[f"XDG_{name}_HOME"] = str(self.root / name.lower())
        runtime = self.root / "r"
        runtime.mkdir(mode=0o700)
        self.environment["XDG_RUNTIME_DIR"] = str(runtime)
        for name in ("PYTHONPATH", "VIRTUAL_ENV"):
            self.environment.pop(name, None)

    def processes(self) -> list[int]:
        """Returns the processes that live in this home (Linux)."""
        mark = f"HOME={self.root}\0".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes() + b"\0":
                    state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        found.append(int(folder.name))
        return found

    def close(self) -> None:
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)


class Editor:
    """One Neovim."""

    def __init__(self, program: Path, home: Home, options: dict[str, Any] | None = None) -> None:
        self.home = home
        self._is_closed = False
        command = [
            "env",
            "-i",
            *(f"{name}={value}" for name, value in home.environment.items()),
            str(program),
            "--clean",
            "-n",
            "--embed",
            "--headless",
            "--cmd",
            f"set rtp^={REPO}",
        ]
        self.nvim = pynvim.attach("child", argv=command)
        if options is not None:
            self.nvim.exec_lua("vim.g.lofi = ...", options)

    @property
    def pid(self) -> int:
        return int(self.nvim.funcs.getpid())

    def lua(self, code: str, *arguments: Any) -> Any:
        return self.nvim.exec_lua(code, *arguments)

    def command(self, text: str) -> None:
        self.nvim.command(text)

    def until(self, expression: str, seconds: float, what: str = "") -> Any:
        """Returns the Lua expression's value once it is true."""
        return until(lambda: self.lua(f"return {expression}"), seconds, what or expression)

    def watch(self) -> None:
        """Notes every event, notice, and question from now on, in `_G.seen`."""
        self.lua(
            """
            _G.seen = { events = {}, notices = {}, asked = {}, answers = {} }
            require('lofi').on('*', function(event, data)
              assert(not vim.in_fast_event())
              table.insert(_G.seen.events, { event, data or vim.empty_dict() })
            end)
            vim.notify = function(text, level) table.insert(_G.seen.notices, { text, level }) end
            vim.ui.select = function(items, opts, choose)
              local shown = vim.tbl_map(opts.format_item or tostring, items)
              table.insert(_G.seen.asked, { prompt = opts.prompt, items = shown })
              choose(items[_G.seen.choice or 1], _G.seen.choice or 1)
            end
            vim.ui.input = function(opts, use)
              table.insert(_G.seen.asked, opts)
              use(_G.seen.typed)
            end
            """
        )

    def events(self, name: str) -> list[Any]:
        """Returns the data of the events of this name."""
        found: list[Any] = self.lua(
            """
            local name, found = ..., {}
            for _, event in ipairs(_G.seen.events) do
              if event[1] == name then
                table.insert(found, event[2])
              end
            end
            return found
            """,
            name,
        )
        return found

    def event(self, name: str, seconds: float = 10, **members: Any) -> Any:
        """Waits for an event with these members and returns its data."""

        def find() -> Any:
            for data in self.events(name):
                if all(data.get(key) == value for key, value in members.items()):
                    return data
            return None

        return until(find, seconds, f"event {name} {members}; saw {self.names()}")

    def names(self) -> list[str]:
        return [event for event, _ in self.lua("return _G.seen.events")]

    def notice(self, words: str, seconds: float = 10) -> str:
        """Waits for a notice that holds these words."""

        def find() -> str | None:
            texts = [text for text, _ in self.lua("return _G.seen.notices")]
            return next((text for text in texts if words in text), None)

        return until(find, seconds, f"a notice with {words!r}")

    def call(self, function: str, *arguments: Any, seconds: float = 10) -> Any:
        """Calls a function of the API with a callback; returns its result or raises its error."""
        self.lua(
            f"""
            local arguments, count = {{ ... }}, select('#', ...)
            _G.answer = nil
            arguments[count + 1] = function(err, result)
              _G.answer = {{ err = err and {{ code = err.code, message = err.message,
                hint = err.hint }}, result = result == nil and vim.NIL or result }}
            end
            require('lofi').{function}(unpack(arguments, 1, count + 1))
            """,
            *arguments,
        )
        answer = self.until("_G.answer", seconds, f"the answer of {function}")
        if answer.get("err"):
            raise AssertionError(answer["err"])
        return answer["result"]

    def complete(self, line: str) -> list[str]:
        return list(self.nvim.funcs.getcompletion(line, "cmdline"))

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        with contextlib.suppress(OSError, EOFError, pynvim.NvimError):
            self.nvim.command("qa!")
        with contextlib.suppress(OSError, EOFError, RuntimeError):
            self.nvim.close()


class Script:
    """What the fake daemon does, and what it was asked."""

    def __init__(self, folder: Path, steps: dict[str, Any]) -> None:
        self.path = folder / "script.json"
        self.path.write_text(json.dumps(steps))

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(FAKE), str(self.path)]

    def asked(self, method: str | None = None) -> list[dict[str, Any]]:
        log = self.path.with_name(self.path.name + ".log")
        lines = log.read_text().splitlines() if log.exists() else []
        requests = [json.loads(line) for line in lines]
        return [item for item in requests if method in (None, item["method"])]
