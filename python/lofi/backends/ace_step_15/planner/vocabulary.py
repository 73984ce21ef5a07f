"""The model's vocabulary: text to ids and back, and the ids that mean something to the planner."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lofi.backends.ace_step_15.planner.codes import CODE_COUNT
from lofi.errors import ModelLoadFailed, ModelNotFound


class Vocabulary:
    """`tokenizer.json` read by the `tokenizers` library alone: the generic loaders spend half a
    minute on the 65535 added tokens, this a fraction of a second.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.size: int = tokenizer.get_vocab_size(with_added_tokens=True)
        self.end = self._special("<|im_end|>")
        self.think = self._special("<think>")
        self.think_end = self._special("</think>")
        self.newline = self._single("\n")
        self.space = self._single(" ")
        self._texts: dict[int, str] = {}

    @classmethod
    def load(cls, folder: Path) -> Vocabulary:
        """Reads `tokenizer.json` of a checkpoint folder.

        Raises:
            ModelNotFound, ModelLoadFailed: there is none, or it is not this model's.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ModelNotFound(
                f"{path} is missing",
                hint="Put the planner's tokenizer.json into that folder; it needs no other "
                "tokenizer file.",
            )
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception
            raise ModelLoadFailed(
                f"{path} cannot be read: {error}", hint="Replace the file."
            ) from error
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Returns the ids of `text`, specials recognised, none added."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of `ids`, specials kept: the audio codes are among them."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def text_of(self, token: int) -> str:
        """Returns the text of one id."""
        text = self._texts.get(token)
        if text is None:
            text = self._texts[token] = self.decode([token])
        return text

    def pieces(self, text: str) -> list[int]:
        """Returns ids that spell `text`, each the longest prefix left that is one token."""
        ids: list[int] = []
        rest = text
        while rest:
            for length in range(len(rest), 0, -1):
                encoded = self.encode(rest[:length])
                if len(encoded) == 1:
                    ids += encoded
                    rest = rest[length:]
                    break
            else:  # a character of several byte tokens
                ids += self.encode(rest[0])
                rest = rest[1:]
        return ids

    @cached_property
    def code_ids(self) -> NDArray[np.int64]:
        """Id of each code of the codebook, -1 where this vocabulary lacks it. [64000]."""
        first, last = (self._id(f"<|audio_code_{n}|>") for n in (0, CODE_COUNT - 1))
        if first is not None and last is not None and last - first == CODE_COUNT - 1:
            return np.arange(first, last + 1)
        ids = np.full(CODE_COUNT, -1, dtype=np.int64)
        for code in range(CODE_COUNT):
            token = self._id(f"<|audio_code_{code}|>")
            if token is not None:
                ids[code] = token
        return ids

    @cached_property
    def known_code_ids(self) -> NDArray[np.int64]:
        """The ids of all codes there are, ascending by code."""
        return self.code_ids[self.code_ids >= 0]

    @cached_property
    def _codes(self) -> dict[int, int]:
        return {int(token): code for code, token in enumerate(self.code_ids) if token >= 0}

    def codes_of(self, ids: Sequence[int]) -> list[int]:
        """Returns the codes among `ids`; other tokens are passed over."""
        return [self._codes[token] for token in ids if token in self._codes]

    @cached_property
    def in_words(self) -> NDArray[np.bool_]:
        """True for tokens free text may hold. [size].

        Neither codes nor chat and reasoning strings; `end` is there because it ends the text.
        """
        allowed = np.ones(self.size, dtype=np.bool_)
        allowed[list(self._tokenizer.get_added_tokens_decoder())] = False
        allowed[self.end] = True
        return allowed

    @cached_property
    def in_caption(self) -> NDArray[np.bool_]:
        """True for tokens a caption may hold: words but for the end and backticks. [size]."""
        allowed = self.in_words.copy()
        allowed[self.end] = False
        backtick = self.encode("`")
        if len(backtick) == 1:
            allowed[backtick[0]] = False
        return allowed

    def _id(self, text: str) -> int | None:
        token = self._tokenizer.token_to_id(text)
        return None if token is None else int(token)

    def _special(self, text: str) -> int:
        token = self._id(text)
        if token is None:
            raise ModelLoadFailed(
                f"The tokenizer has no {text}",
                hint="This is no planner's tokenizer.json; replace the file.",
            )
        return token

    def _single(self, text: str) -> int:
        ids = self.encode(text)
        if len(ids) != 1:
            raise ModelLoadFailed(
                f"The tokenizer splits {text!r}",
                hint="This is no planner's tokenizer.json; replace the file.",
            )
        return ids[0]
