"""The exchange directory: a plan as one text file a field, for programs that share a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lofi.errors import InvalidParams, InvalidPrompt, InvalidSource, LofiError

UNKNOWN: Final = "N/A"
INSTRUMENTAL: Final = "[Instrumental]"
DEFAULT_SEC: Final = 120.0
CODE_COUNT: Final = 64000
CODES_PER_SEC: Final = 5


@dataclass(frozen=True, slots=True)
class Exchange:
    """The fields of a directory, a missing one at its default."""

    caption: str
    lyrics: str = INSTRUMENTAL
    bpm: str = UNKNOWN
    keyscale: str = UNKNOWN
    timesig: str = UNKNOWN
    language: str = "en"
    duration_sec: float = DEFAULT_SEC
    codes: tuple[int, ...] = ()

    @property
    def length_sec(self) -> float:
        """How long the piece will be: the codes decide where there are any."""
        return len(self.codes) / CODES_PER_SEC if self.codes else self.duration_sec

    def warnings(self) -> list[str]:
        """Returns what a person should know before this is rendered."""
        if self.codes and abs(self.length_sec - self.duration_sec) >= 1 / CODES_PER_SEC:
            return [
                f"{len(self.codes)} codes make {self.length_sec:g} s; "
                f"duration says {self.duration_sec:g} s"
            ]
        return []

    def params(self) -> dict[str, Any]:
        """Returns the parameters of `generate` that render it, without any further planning.

        Raises:
            InvalidParams: `bpm` is no number.
        """
        params: dict[str, Any] = {
            "backend": "ace_step_15",
            "prompt": self.caption,
            "lyrics": self.lyrics,
            "vocal_language": self.language,
            "duration_sec": self.length_sec,
            "thinking": False,
            "use_cot_metas": False,
            "use_cot_language": False,
            "use_cot_caption": False,
        }
        if self.bpm != UNKNOWN:
            params["bpm"] = int(_number("bpm", self.bpm))
        if self.keyscale != UNKNOWN:
            params["keyscale"] = self.keyscale
        if self.timesig != UNKNOWN:
            params["timesignature"] = self.timesig
        if self.codes:
            params["audio_codes"] = list(self.codes)
        return params


def read_exchange(folder: Path) -> Exchange:
    """Reads a directory. Only trailing newlines and carriage returns are taken off.

    Raises:
        InvalidSource: there is no such directory, or a file cannot be read.
        InvalidPrompt: `caption` is missing or empty.
        InvalidParams: `codes`, `duration` or `bpm` hold something else.
    """
    if not folder.is_dir():
        raise InvalidSource(f"{folder} is no directory", hint="Create it, with a file `caption`.")
    caption = _field(folder, "caption")
    if not caption:
        raise InvalidPrompt(
            f"{folder / 'caption'} is missing or empty",
            hint="Write what the music should be into that file.",
        )
    duration = _field(folder, "duration")
    return Exchange(
        caption=caption,
        lyrics=_field(folder, "lyrics") or INSTRUMENTAL,
        bpm=_tempo(folder / "bpm", _field(folder, "bpm")),
        keyscale=_field(folder, "keyscale") or UNKNOWN,
        timesig=_field(folder, "timesig") or UNKNOWN,
        language=_field(folder, "language") or "en",
        duration_sec=_number(str(folder / "duration"), duration) if duration else DEFAULT_SEC,
        codes=_codes(folder / "codes", _field(folder, "codes")),
    )


def write_exchange(folder: Path, plan: Exchange) -> None:
    """Writes a directory that must exist: caption and lyrics always, the others if known.

    Files of an earlier plan that this one leaves out are removed, for they would be read as part of
    it.

    Raises:
        InvalidSource: there is no such directory.
    """
    if not folder.is_dir():
        raise InvalidSource(f"{folder} is no directory", hint="Create it first.")
    fields = {
        "caption": plan.caption,
        "lyrics": plan.lyrics,
        "bpm": "" if plan.bpm == UNKNOWN else plan.bpm,
        "keyscale": "" if plan.keyscale == UNKNOWN else plan.keyscale,
        "timesig": "" if plan.timesig == UNKNOWN else plan.timesig,
        "language": plan.language,
        "duration": str(int(plan.duration_sec)) if plan.duration_sec > 0 else "",
        "codes": ",".join(map(str, plan.codes)) + "\n" if plan.codes else "",
    }
    for name, text in fields.items():
        path = folder / name
        if text or name in ("caption", "lyrics"):
            path.write_text(text, encoding="utf-8", newline="")
        else:
            path.unlink(missing_ok=True)


def _field(folder: Path, name: str) -> str:
    path = folder / name
    try:
        return path.read_bytes().decode("utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSource(f"{path} cannot be read: {error}", hint="Write UTF-8 text.") from error


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise InvalidParams(f"{name} holds {text!r}, no number above 0", hint="Correct the file.")
    return int(number) if number == int(number) else number


def _tempo(path: Path, text: str) -> str:
    if text not in ("", UNKNOWN):
        _number(str(path), text)
    return text or UNKNOWN


def _codes(path: Path, text: str) -> tuple[int, ...]:
    codes = []
    for part in re.split(r"[,\s]+", text):
        if not part:
            continue
        if not re.fullmatch(r"[0-9]+", part) or int(part) >= CODE_COUNT:
            raise _no_code(path, part)
        codes.append(int(part))
    return tuple(codes)


def _no_code(path: Path, part: str) -> LofiError:
    return InvalidParams(
        f"{path} holds {part[:40]!r}, no code",
        hint=f"Codes are integers from 0 to {CODE_COUNT - 1}, separated by commas or spaces.",
        param="codes",
    )
