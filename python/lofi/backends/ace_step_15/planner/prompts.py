"""The texts the model is asked with, every character as in training."""

from __future__ import annotations

from typing import Final

NO_INPUT: Final = "NO USER INPUT"
INSTRUMENTAL: Final = "[Instrumental]"
EMPTY_BLOCK: Final = "<think>\n\n</think>"

GENERATE: Final = "Generate audio semantic tokens based on the given conditions:"
UNDERSTAND: Final = (
    "Understand the given musical conditions and describe the audio semantics accordingly:"
)
INSPIRE: Final = "Expand the user's input into a more detailed and specific musical description:"
FORMAT: Final = "Format the user's input into a more detailed and specific musical description:"


def chat(instruction: str, content: str, answer: str = "") -> str:
    """Returns one exchange with the assistant's turn open and, if given, begun."""
    return (
        f"<|im_start|>system\n# Instruction\n{instruction}\n\n<|im_end|>\n"
        f"<|im_start|>user\n{content}<|im_end|>\n"
        f"<|im_start|>assistant\n{answer}"
    )


def generate(caption: str, lyrics: str, block: str | None = None) -> str:
    """Returns the prompt of phase 1, or with the reasoning block that of phase 2."""
    content = f"# Caption\n{caption}\n\n# Lyric\n{lyrics}\n"
    return chat(GENERATE, content, "" if block is None else f"{block}\n\n")


def generate_away(negative: str) -> str:
    """Returns the prompt of phase 2's guidance branch: what the codes are steered away from."""
    return chat(GENERATE, negative if is_given(negative) else NO_INPUT, f"{EMPTY_BLOCK}\n\n")


def inspire(query: str, *, instrumental: bool) -> str:
    """Returns the prompt that turns one sentence into a song."""
    return chat(INSPIRE, f"{query}\n\ninstrumental: {str(instrumental).lower()}")


def rewrite(caption: str, lyrics: str) -> str:
    """Returns the prompt that enriches a caption and tidies lyrics."""
    return chat(FORMAT, f"# Caption\n{caption}\n\n# Lyric\n{lyrics}")


def understand(code_text: str) -> str:
    """Returns the prompt that asks what a run of codes sounds like."""
    return chat(UNDERSTAND, code_text)


def generate_text_away(lyrics: str, negative: str) -> str:
    """Returns phase 1's guidance branch. Text is sampled without guidance, which distorts it; the
    branch is part of the format and serves whoever compares.
    """
    caption = f"# Caption\n{negative}\n\n" if is_given(negative) else ""
    return chat(GENERATE, f"{caption}# Lyric\n{lyrics}\n")


def text_away(instruction: str, negative: str) -> str:
    """Returns the guidance branch of the other text jobs, under the same reservation."""
    return chat(instruction, negative.strip())


def is_given(negative: str) -> bool:
    """Says whether a negative prompt says anything."""
    return negative.strip() not in ("", NO_INPUT)
