"""The texts the model was trained with: instruction, caption, metadata, lyrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lofi.backends.ace_step_15.text import END_MARK

INSTRUCTIONS = {
    "text2music": "Fill the audio semantic mask based on the given conditions:",
    "cover": "Generate audio semantic tokens based on the given conditions:",
    "cover_nofsq": "Generate audio semantic tokens based on the given conditions:",
    "repaint": "Repaint the mask area based on the given conditions:",
}
INSTRUMENTAL = "[Instrumental]"
UNKNOWN_LANGUAGE = "unknown"
MISSING = "N/A"
TRACKS = (
    "woodwinds",
    "brass",
    "fx",
    "synth",
    "strings",
    "percussion",
    "keyboard",
    "guitar",
    "bass",
    "drums",
    "backing_vocals",
    "vocals",
)


@dataclass(frozen=True, slots=True)
class Metas:
    """What the caption's metadata block says; None and blank become `N/A`."""

    bpm: int | str | None = None
    keyscale: str | None = None
    timesignature: str | None = None
    duration_sec: float | None = None
    """Rounded down in the text. Without one the text says 30 seconds."""


def instruction_for(task: str, tracks: Sequence[str] = ()) -> str:
    """The task's instruction line; `tracks` name the stems of extract, lego and complete."""
    names = " | ".join(track.upper() for track in tracks)
    if task == "extract":
        what = f"the {names} track" if names else "the track"
        return f"Extract {what} from the audio:"
    if task == "lego":
        who = f"the {names} track" if names else "the track"
        return f"Generate {who} based on the audio context:"
    if task == "complete":
        return f"Complete the input track with {names}:" if names else "Complete the input track:"
    return INSTRUCTIONS.get(task, INSTRUCTIONS["text2music"])


def bare_caption(caption: str) -> str:
    """The caption alone, when somebody pasted a whole text prompt."""
    if "# Instruction" not in caption or "# Caption" not in caption:
        return caption
    return caption.split("# Caption", 1)[1].split("# Metas", 1)[0].strip()


def lego_caption(
    caption: str, global_caption: str, instruction: str, *, chunk_mask_mode: str
) -> str:
    """The caption of checkpoints trained on stems: song, stem, and who chose the mask."""
    lines = [f"Local: {caption}", f"Mask Control: {_yes(chunk_mask_mode != 'auto')}"]
    if "a segment" not in instruction:
        lines.insert(0, f"Global: {global_caption}")
    return "\n".join(lines)


def text_prompt(instruction: str, caption: str, metas: Metas) -> str:
    """The prompt of the text encoder. One end mark and a newline close it."""
    if not instruction.endswith(":"):
        instruction += ":"
    seconds = 30 if metas.duration_sec is None else int(metas.duration_sec)
    return (
        f"# Instruction\n{instruction}\n\n"
        f"# Caption\n{bare_caption(caption)}\n\n"
        "# Metas\n"
        f"- bpm: {_stated(metas.bpm)}\n"
        f"- timesignature: {_stated(metas.timesignature)}\n"
        f"- keyscale: {_stated(metas.keyscale)}\n"
        f"- duration: {seconds} seconds\n"
        f"{END_MARK}\n"
    )


def lyric_header(language: str) -> str:
    """What stands before the lyrics themselves."""
    return f"# Languages\n{language}\n\n# Lyric\n"


def lyric_prompt(lyrics: str, language: str = UNKNOWN_LANGUAGE) -> str:
    """The prompt whose bare token embeddings are the lyrics."""
    return f"{lyric_header(language)}{lyrics}{END_MARK}"


def _stated(value: int | str | None) -> str:
    text = "" if value is None or value == 0 else str(value).strip()
    return text or MISSING


def _yes(value: bool) -> str:
    return "true" if value else "false"
