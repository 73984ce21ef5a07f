"""Draws doc/screen.svg: what a terminal really showed while `:Lofi` played.

    python -m tests.nvim.screenshot [doc/screen.svg]

Neovim runs in tmux with the plugin and a real daemon (silent); the screen is captured with its
colours and drawn cell by cell. The text of it goes beside the picture as `screen.txt`.
"""

from __future__ import annotations

import html
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from tests.nvim import get_nvim
from tests.nvim.editor import REPO, Home
from tests.nvim.terminal import Terminal

COLUMNS, ROWS = 92, 24
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 14
BACKGROUND, FOREGROUND = "#14161b", "#e0e2ea"
BASIC = ("#14161b #ffc0b9 #b3f6c0 #fce094 #a6dbff #ffcaff #8cf8f7 #e0e2ea "
         "#4f5258 #ffc0b9 #b3f6c0 #fce094 #a6dbff #ffcaff #8cf8f7 #ffffff").split()  # fmt: skip
START = """
vim.opt.laststatus, vim.opt.number, vim.opt.termguicolors = 2, true, true
vim.opt.statusline = " %f%=%{v:lua.require'lofi'.statusline()??''} "
vim.g.lofi = { audio = { output = 'null' }, defaults = { duration_sec = 150 } }
"""
SHOWN = "python/lofi/music.py"


@dataclass(frozen=True, slots=True)
class Look:
    """How a cell is drawn."""

    fore: str = FOREGROUND
    back: str = BACKGROUND
    is_bold: bool = False
    is_reversed: bool = False


def _color(codes: list[int]) -> str:
    """Takes what follows 38 or 48 off the list and returns the colour."""
    if codes.pop(0) == 2:
        red, green, blue = codes[:3]
        del codes[:3]
        return f"#{red:02x}{green:02x}{blue:02x}"
    index = codes.pop(0)
    if index < 16:
        return BASIC[index]
    if index >= 232:
        return f"#{8 + (index - 232) * 10:02x}" + f"{8 + (index - 232) * 10:02x}" * 2
    steps = (0, 95, 135, 175, 215, 255)
    parts = (index - 16) // 36, (index - 16) // 6 % 6, (index - 16) % 6
    return "#" + "".join(f"{steps[part]:02x}" for part in parts)


def _change(look: Look, codes: list[int]) -> Look:
    while codes:
        code = codes.pop(0)
        if code == 0:
            look = Look()
        elif code in (1, 22):
            look = replace(look, is_bold=code == 1)
        elif code in (7, 27):
            look = replace(look, is_reversed=code == 7)
        elif code == 38:
            look = replace(look, fore=_color(codes))
        elif code == 48:
            look = replace(look, back=_color(codes))
        elif code in (39, 49):
            look = replace(look, fore=FOREGROUND) if code == 39 else replace(look, back=BACKGROUND)
        elif 30 <= code <= 37 or 90 <= code <= 97:
            look = replace(look, fore=BASIC[code % 10 + (8 if code >= 90 else 0)])
        elif 40 <= code <= 47 or 100 <= code <= 107:
            look = replace(look, back=BASIC[code % 10 + (8 if code >= 100 else 0)])
    return look


def parse(line: str, look: Look) -> tuple[list[tuple[Look, str]], Look]:
    """Returns the runs of one look in a captured line, and the look it ends with."""
    runs: list[tuple[Look, str]] = []
    for piece in re.split(r"(\x1b\[[\d;:]*m)", line):
        found = re.fullmatch(r"\x1b\[([\d;:]*)m", piece)
        if found:
            codes = [int(code or 0) for code in re.split("[;:]", found[1])]
            look = _change(look, codes)
        elif piece:
            runs.append((look, piece))
    return runs, look


def draw(screen: str) -> str:
    """Returns the captured screen as SVG."""
    width = COLUMNS * CELL_WIDTH + 2 * MARGIN
    height = ROWS * CELL_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="ui-monospace, Menlo, DejaVu Sans Mono, '
        'monospace" font-size="14" role="img" aria-label="Neovim with lofi.nvim playing">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
    ]
    look = Look()
    for row, line in enumerate(screen.split("\n")[:ROWS]):
        runs, look = parse(line, look)
        column, top = 0, MARGIN + row * CELL_HEIGHT
        for run, text in runs:
            fore, back = (run.back, run.fore) if run.is_reversed else (run.fore, run.back)
            left, wide = MARGIN + column * CELL_WIDTH, len(text) * CELL_WIDTH
            if back != BACKGROUND:
                parts.append(
                    f'<rect x="{left:.1f}" y="{top}" width="{wide:.1f}" height="{CELL_HEIGHT}" '
                    f'fill="{back}"/>'
                )
            if text.strip():
                bold = ' font-weight="bold"' if run.is_bold else ""
                parts.append(
                    f'<text x="{left:.1f}" y="{top + 13}" fill="{fore}"{bold} xml:space="preserve" '
                    f'textLength="{wide:.1f}">{html.escape(text)}</text>'
                )
            column += len(text)
    return "\n".join([*parts, "</svg>", ""])


def capture(program: Path, home: Home) -> str:
    """Returns the screen, colours and all, while music plays and another track is made."""
    init = home.root / "init.lua"
    init.write_text(START, encoding="utf-8")
    terminal = Terminal(program, home, "-u", str(init), SHOWN, columns=COLUMNS, rows=ROWS)
    try:
        terminal.wait(20, "music.py")
        terminal.type(":Lofi")
        terminal.wait(40, "▶ 0:0")
        terminal.type(":Lofi generate rainy night, jazzy piano 120 backend=procedural")
        terminal.wait(60, "generating", "◌")
        terminal.type(":Lofi status")
        terminal.wait(20, "playing", "volume")
        return terminal.colored()
    finally:
        terminal.close()


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else REPO / "doc" / "screen.svg")
    program = next(iter(get_nvim.find(("0.12", "0.11", "0.10")).values()))
    home = Home()
    try:
        screen = capture(program, home)
    finally:
        home.close()
    target.write_text(draw(screen), encoding="utf-8")
    plain = re.sub(r"\x1b\[[\d;:]*m", "", screen)
    lines = "\n".join(line.rstrip() for line in plain.split("\n")).rstrip()
    target.with_suffix(".txt").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
