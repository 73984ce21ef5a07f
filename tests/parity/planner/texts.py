"""Prompts, reasoning blocks, answers, code strings: text in, text out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lofi.backends.ace_step_15.planner import prompts
from lofi.backends.ace_step_15.planner.codes import read_tokens
from lofi.backends.ace_step_15.planner.metadata import write_block
from lofi.backends.ace_step_15.planner.reading import read, read_lyrics
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from lofi.backends.ace_step_15.prompt import Metas, text_prompt
from tests.parity.planner.tally import Tally

INSTRUCTIONS = {
    "inspire": prompts.INSPIRE,
    "format": prompts.FORMAT,
    "understand": prompts.UNDERSTAND,
}


def prompts_and_ids(content: dict[str, Any], root: Path) -> Tally:
    """Every prompt to the letter, and its ids."""
    tally = Tally()
    vocabulary = Vocabulary.load(root / "tokenizer")
    for number, case in enumerate(content["cases"]):
        prompt = _prompt(case)
        tally.same("prompts", prompt, case["prompt"], number)
        if "ids" in case:
            tally.same("ids", vocabulary.encode(prompt), case["ids"], number)
    return tally


def _prompt(case: dict[str, Any]) -> str:
    mode, negative = case["mode"], case.get("negative_prompt", "")
    toward = case.get("conditional", True)
    if mode == "cot":
        if toward:
            return prompts.generate(case["caption"], case["lyrics"])
        return prompts.generate_text_away(case["lyrics"], negative)
    if mode == "codes":
        if toward:
            return prompts.generate(case["caption"], case["lyrics"], case["cot_text"])
        return prompts.generate_away(negative)
    if not toward:
        return prompts.text_away(INSTRUCTIONS[mode], negative)
    if mode == "inspire":
        return prompts.inspire(case["query"], instrumental=case["instrumental"])
    if mode == "format":
        return prompts.rewrite(case["caption"], case["lyrics"])
    return prompts.understand(case["audio_codes"])


def blocks(content: dict[str, Any], root: Path) -> Tally:
    """Metadata to reasoning block."""
    tally = Tally()
    for number, case in enumerate(content["cases"]):
        tally.same("blocks", write_block(case["metadata"]), case["cot"], number)
    return tally


def answers(content: dict[str, Any], root: Path) -> Tally:
    """Raw text to metadata, codes and lyrics; a better answer is accepted where one is listed."""
    tally = Tally()
    for number, case in enumerate(content["cases"]):
        written = read(case["text"])
        wanted = case.get("accept_also", {}).get("metadata", case["metadata"])
        tally.same("metadata", written.metadata, wanted, number)
        tally.same("codes", written.code_text, case["audio_codes"], number)
        tally.same("lyrics", written.lyrics, case["lyrics"], number)
    for number, case in enumerate(content["lyrics"]):
        wanted = _bare(case["lyrics"])
        tally.same("lyrics alone", read_lyrics(case["text"]), wanted, number)
    return tally


def _bare(lyrics: str) -> str:
    """The reference leaves two headings in that the specification asks to strip."""
    for head in ("# Lyrics\n", "# Languages\nen\n\n# Lyric\n"):
        lyrics = lyrics.removeprefix(head)
    return lyrics


def codes(content: dict[str, Any], root: Path) -> Tally:
    """Code strings to integers."""
    tally = Tally()
    for number, case in enumerate(content["cases"]):
        tally.same("codes", read_tokens(case["text"]), case["codes"], number)
    return tally


def metas(content: dict[str, Any], root: Path) -> Tally:
    """Metadata to the lines of the DiT prompt. The daemon gives it parsed values, so the
    reference's other spellings (`tempo`, "45 seconds", ready text) are read into them first.
    """
    tally = Tally()
    for number, case in enumerate(content["metas_to_text"]):
        if isinstance(case["metas"], str):
            continue  # ready text is passed through there; here nobody has any
        tally.same("lines", _lines(_metas(case["metas"] or {})), case["text"], number)
    for number, case in enumerate(content["build_metadata_dict"]):
        given = Metas(
            bpm=case["bpm"],
            keyscale=_known(case["key_scale"]),
            timesignature=_known(case["time_signature"]),
            duration_sec=case["duration"],
        )
        text = _lines(given)
        for name, value in case["result"].items():
            tally.holds("built", f"- {name}: {value}\n" in text, f"{number}: {text!r}")
    return tally


def _known(value: str) -> str | None:
    return value.strip() or None


def _metas(values: dict[str, Any]) -> Metas:
    seconds = values.get("duration", values.get("length"))
    if isinstance(seconds, str):
        seconds = float(seconds.removesuffix(" seconds"))
    return Metas(
        bpm=values.get("bpm", values.get("tempo")),
        keyscale=values.get("keyscale", values.get("key")),
        timesignature=values.get("timesignature"),
        duration_sec=seconds,
    )


def _lines(metas: Metas) -> str:
    text = text_prompt("x", "y", metas)
    return text.split("# Metas\n", 1)[1].split("<|", 1)[0]
