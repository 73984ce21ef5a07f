"""What the planner wrote, as values: its reasoning block, its codes, its lyrics."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from lofi.backends.ace_step_15.planner.metadata import FIELDS, Metadata

_BLOCK = re.compile(r"<(think|reasoning)>(.*?)</\1>", re.DOTALL)
_CODE = re.compile(r"<\|audio_code_(\d+)\|>")
_LYRIC_HEAD = re.compile(r"\A#\s*Lyrics?[^\S\n]*(?:\n|\Z)", re.IGNORECASE)
_LANGUAGE_HEAD = re.compile(r"\A#\s*Languages?[^\S\n]*\n(?:[^#\n].*\n|\s*\n)*(?=#)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What no text holds and no editor shows: all control characters but tab and newline."""
END = "<|im_end|>"


@dataclass(frozen=True, slots=True)
class Written:
    """One answer of the model, taken apart."""

    metadata: Metadata = field(default_factory=dict)
    code_text: str = ""
    """The `<|audio_code_N|>` strings, joined."""
    lyrics: str = ""


def printable(text: str) -> str:
    """Returns a text without control characters."""
    return _CONTROL.sub("", text)


def read(text: str) -> Written:
    """Takes an answer apart; never fails, for a model may write anything."""
    text = printable(text)
    return Written(
        metadata=read_block(text),
        code_text="".join(match.group(0) for match in _CODE.finditer(text)),
        lyrics=read_lyrics(text),
    )


def read_block(text: str) -> Metadata:
    """Returns the fields of the first reasoning block; without one, of the text before the codes.

    A stopped answer has no closing tag. The last of two equal fields wins.
    """
    block = _BLOCK.search(text)
    body = block.group(2) if block else _CODE.split(text, maxsplit=1)[0]
    lines: dict[str, list[str]] = {}
    name = ""
    for line in body.split("\n"):
        if line.startswith("<") or not line.strip():
            continue
        if line[0] in " \t":
            if name:
                lines[name].append(line.strip())
        elif ":" in line:
            head, _, rest = line.partition(":")
            name = head.strip().lower()
            lines[name] = [rest.strip()]
    known = {name: " ".join(filter(None, parts)) for name, parts in lines.items() if name in FIELDS}
    values = {name: _value(name, text) for name, text in known.items()}
    return {name: value for name, value in values.items() if value != ""}


def _value(name: str, text: str) -> int | str:
    text = _unquoted(text)
    if name in ("bpm", "duration"):
        try:
            return int(text)
        except ValueError:
            return text
    return text


def _unquoted(text: str) -> str:
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return text
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    try:
        return str(yaml.safe_load(text))
    except yaml.YAMLError:
        return text


def read_lyrics(text: str) -> str:
    """Returns what follows the reasoning block, without the headings the model puts above it."""
    _, closed, rest = text.partition("</think>")
    if not closed:
        return ""
    lyrics = rest.strip().removesuffix(END).strip()
    lyrics = _LANGUAGE_HEAD.sub("", lyrics)
    return _LYRIC_HEAD.sub("", lyrics).strip()
