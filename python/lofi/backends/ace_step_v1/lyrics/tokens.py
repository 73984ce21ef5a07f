"""Lyrics to token ids: the sequence format and the vocabulary."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from lofi.backends.ace_step_v1.lyrics.language import LANGUAGES, language_of
from lofi.backends.ace_step_v1.lyrics.normalise import normalise
from lofi.errors import ModelLoadFailed, ModelNotFound

VOCABULARY_FILE = "lyric_vocabulary/vocab.json"
"""Beside the components; it comes from the source repository, not from the checkpoint's."""
START, LINE_END, ENGLISH = 261, 2, 259
INSTRUMENTAL_IDS = (START, ENGLISH, 6688, LINE_END)
"""`[inst]`, what instrumental music was trained with."""
TAGS = {
    "[start]": 6681,
    "[intro]": 6682,
    "[verse]": 6683,
    "[chorus]": 6684,
    "[bridge]": 6685,
    "[outro]": 6686,
    "[end]": 6687,
    "[inst]": 6688,
    "[solo]": 6689,
    "[hook]": 6690,
    "[pre-chorus]": 6691,
    "[break]": 6692,
}
"""Tags that are one token; lines of these and empty lines need no vocabulary."""
_INSTRUMENTAL_WORD = (ENGLISH, 1, 718, 1951, 763, 56, 1)
"""`[instrumental]` is no tag of its own and goes through pieces."""


def lyric_ids(lyrics: str, vocabulary: Path, language: str = "unknown") -> list[int]:
    """Returns the tokens of lyrics; empty ones mean instrumental music.

    Args:
        vocabulary: the file of the BPE vocabulary, read only when words are sung.
        language: of every line, or `unknown` to tell it line by line.

    Raises:
        ModelNotFound: words are sung and the vocabulary is not there.
        ModelLoadFailed: it is no vocabulary.
        DependencyMissing: a language package is needed and not installed.
    """
    if not lyrics.strip():
        return list(INSTRUMENTAL_IDS)
    return written_ids(lyrics, vocabulary, language)


def written_ids(lyrics: str, vocabulary: Path, language: str) -> list[int]:
    """Returns the tokens of lyrics as they are written, also when nothing is."""
    tokenizer: LyricTokenizer | None = None
    ids = [START]
    for line in (line.strip() for line in lyrics.split("\n")):
        if line:
            known = _tag(line)
            if known is None:
                tokenizer = tokenizer or LyricTokenizer(vocabulary)
                known = tokenizer.encode(line, _language(line, language, lyrics))
            ids += known
        ids.append(LINE_END)
    return ids


def _tag(line: str) -> list[int] | None:
    folded = line.lower()
    if folded == "[instrumental]":
        return list(_INSTRUMENTAL_WORD)
    return [ENGLISH, TAGS[folded]] if folded in TAGS else None


def _language(line: str, given: str, lyrics: str) -> str:
    if line.startswith("[") or given not in LANGUAGES:
        return language_of(line, lyrics)
    return given


class LyricTokenizer:
    """The vocabulary's byte-pair encoding of one normalised line."""

    def __init__(self, vocabulary: Path) -> None:
        """Reads the file.

        Raises:
            ModelNotFound: it is not there.
            ModelLoadFailed: it is no vocabulary.
        """
        if not vocabulary.is_file():
            raise ModelNotFound(
                f"Sung lyrics need the vocabulary {vocabulary}, which does not exist",
                hint="Run :Lofi setup ace-step, or leave lyrics empty: "
                "instrumental music needs none.",
                path=str(vocabulary),
            )
        try:
            self._bpe = Tokenizer.from_file(str(vocabulary))
        except Exception as error:  # the library raises bare exceptions
            raise ModelLoadFailed(f"{vocabulary} is no tokenizer file: {error}") from error

    def encode(self, line: str, language: str) -> list[int]:
        """Returns the ids of one stripped line: its language, then its pieces."""
        return self.pieces(normalise(line, language), language)

    def pieces(self, normalised: str, language: str) -> list[int]:
        """Returns the ids of a line that is already in its spoken form."""
        code = "zh-cn" if language == "zh" else language
        return list(self._bpe.encode(f"[{code}]{normalised}".replace(" ", "[SPACE]")).ids)
