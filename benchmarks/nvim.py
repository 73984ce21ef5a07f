"""What the plugin costs the editor, and how soon `:Lofi` sounds.

    python -m benchmarks.nvim [--rounds 20] [--output FILE]

Load and setup are medians and best times over fresh Neovims, with the processor time beside them:
that does not change when other programs run. First sound counts from the keypress to samples on
the recording sink, with Python's files already read; the longest time the main loop was busy is
the processor time between two ticks of a 1 ms timer. `first_command_ms` is the first `:Lofi` of an
editor, which loads the modules and starts the daemon; `commands_ms` the three commands that
keep the main loop busy longest, of all there are, against a scripted daemon with a thousand tracks.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.nvim import get_nvim
from tests.nvim.editor import Editor, Home, Script
from tests.nvim.test_blocking import SLOW, busy_ms, commands
from tests.nvim.test_music import WATCH_THE_LOOP, recorded

LOAD = """
local began, cpu = vim.uv.hrtime(), os.clock()
vim.g.loaded_lofi = nil
vim.cmd.source(...)
return { (vim.uv.hrtime() - began) / 1e6, (os.clock() - cpu) * 1e3 }
"""
SETUP = """
local began, cpu = vim.uv.hrtime(), os.clock()
require('lofi').setup({ playback = { volume = 0.5 } })
return { (vim.uv.hrtime() - began) / 1e6, (os.clock() - cpu) * 1e3 }
"""
STATUSLINE = """
require('lofi.state').notified('playback_started',
  { track_id = 't', title = 'a', duration_sec = 60, position_sec = 0 })
local began = vim.uv.hrtime()
for _ = 1, 1000 do require('lofi').statusline() end
return (vim.uv.hrtime() - began) / 1e9
"""
PLUGIN = str(Path(__file__).parents[1] / "plugin" / "lofi.lua")


def costs(program: Path, rounds: int) -> dict[str, Any]:
    """Returns milliseconds of loading, setting up and one statusline."""
    found: dict[str, list[list[float]]] = {"load": [], "setup": []}
    statusline = []
    for _ in range(rounds):
        home = Home()
        editor = Editor(program, home)
        found["load"].append(editor.lua(LOAD, PLUGIN))
        found["setup"].append(editor.lua(SETUP))
        statusline.append(editor.lua(STATUSLINE))
        editor.close()
        home.close()
    answer: dict[str, Any] = {"statusline_ms": round(statistics.median(statusline), 4)}
    for name, pairs in found.items():
        wall, processor = zip(*pairs, strict=True)
        answer[f"{name}_ms"] = round(statistics.median(wall), 2)
        answer[f"{name}_best_ms"] = round(min(wall), 2)
        answer[f"{name}_processor_ms"] = round(statistics.median(processor), 2)
    return answer


def busy(program: Path) -> dict[str, Any]:
    """Returns how long the first `:Lofi` and the costliest commands keep the main loop busy."""
    home = Home()
    script = Script(home.root, SLOW)
    editor = Editor(program, home, {"daemon": {"cmd": script.command}})
    try:
        first = busy_ms(editor, lambda: editor.command("Lofi"))
        editor.watch()
        editor.lua("_G.seen.choice = 2")
        editor.call("request", "ping", {})
        spent: dict[str, float] = {}
        for command in commands():
            spent[command] = busy_ms(editor, lambda: editor.command(f"Lofi {command}"))  # noqa: B023
            editor.lua("for _ = 2, #vim.api.nvim_list_wins() do vim.cmd('close!') end")
    finally:
        editor.close()
        home.close()
    costliest = sorted(spent, key=spent.__getitem__, reverse=True)[:3]
    return {
        "first_command_ms": round(first, 2),
        "commands_ms": {command: round(spent[command], 2) for command in costliest},
    }


def first_sound(program: Path) -> dict[str, float]:
    """Returns seconds from `:Lofi` to sound, without a daemon running."""
    home = Home()
    tape = home.root / "tape.wav"
    editor = Editor(program, home, {"audio": {"output": f"file:{tape}"}})
    try:
        editor.watch()
        editor.call("request", "ping", {}, seconds=60)
        editor.command("Lofi! daemon stop")
        editor.notice("the daemon was stopped")
        editor.lua(WATCH_THE_LOOP)
        began = time.monotonic()
        editor.command("Lofi")
        returned = time.monotonic() - began
        while recorded(tape) == 0:
            time.sleep(0.002)
        heard = time.monotonic() - began
        busy_ms = float(editor.lua("return _G.longest_ms"))
    finally:
        editor.close()
        home.close()
    return {
        "command_ms": round(returned * 1e3, 1),
        "heard_sec": round(heard, 3),
        "loop_busy_ms": round(busy_ms, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/nvim.json"))
    options = parser.parse_args()
    table: dict[str, Any] = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0]}
    for version, program in get_nvim.find().items():
        rounds = [first_sound(program) for _ in range(5)]
        table[version] = (
            costs(program, options.rounds)
            | busy(program)
            | {
                "heard_sec": [round_["heard_sec"] for round_ in rounds],
                "command_ms": [round_["command_ms"] for round_ in rounds],
                "loop_busy_ms": max(round_["loop_busy_ms"] for round_ in rounds),
            }
        )
        sys.stdout.write(f"{version}: {json.dumps(table[version])}\n")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=options.output.parent, delete=False) as file:
        json.dump(table, file, indent=2)
        file.write("\n")
    Path(file.name).replace(options.output)


if __name__ == "__main__":
    main()
