"""Chinese numbers in characters, and Chinese text in pinyin."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

from lofi.backends.ace_step_v1.lyrics.extras import language_package

DIGITS = "零一二三四五六七八九"
_SMALL = ("", "十", "百", "千")
_LARGE = ("", "万", "亿", "兆")
_MEASURES = (
    "个只头匹张座回场尾条口把块门位本件层次间栋部辆台岁人年月日天周点分秒时度米里斤两克元角毛"
    "吨升双对副套首封份支枝朵颗粒滴片杯瓶碗盘遍番趟阵声步句页章篇项名家户"
)
_PUNCTUATION = (
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃《》「」『』【】"
    "〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏·"
) + string.punctuation
_NUMBER = r"\d+(?:\.\d+)?"


def spell_digits(digits: str) -> str:
    """Returns the digits one by one: 2024 -> 二零二四."""
    return "".join(DIGITS[int(digit)] for digit in digits)


def spell_number(number: str) -> str:
    """Returns a decimal number as it is spoken: 305.2 -> 三百零五点二."""
    whole, _, fraction = number.partition(".")
    words = _spell_whole(int(whole))
    return f"{words}点{spell_digits(fraction)}" if fraction else words


def _spell_whole(number: int) -> str:
    if number == 0:
        return DIGITS[0]
    if number >= 10**16:
        return spell_digits(str(number))
    groups = []
    while number:
        number, rest = divmod(number, 10**4)
        groups.append(rest)
    words = ""
    for place in range(len(groups) - 1, -1, -1):
        group = groups[place]
        if group == 0:
            continue
        if words and (group < 1000 or groups[place + 1] == 0):
            words += DIGITS[0]
        words += _spell_group(group) + _LARGE[place]
    # 一十 at the very start is 十
    return words[1:] if words.startswith("一十") else words


def _spell_group(group: int) -> str:
    words, gap = "", False
    for place in range(3, -1, -1):
        digit = group // 10**place % 10
        if digit == 0:
            gap = bool(words)
            continue
        words += (DIGITS[0] if gap else "") + DIGITS[digit] + _SMALL[place]
        gap = False
    return words


def _year(match: re.Match[str]) -> str:
    return spell_digits(match.group(1)) + "年"


def _fraction(match: re.Match[str]) -> str:
    return f"{spell_number(match.group(2))}分之{spell_number(match.group(1))}"


def _percent(match: re.Match[str]) -> str:
    return "百分之" + spell_number(match.group(1))


def _counted(match: re.Match[str]) -> str:
    return spell_number(match.group(1)) + match.group(2)


def _telephone(match: re.Match[str]) -> str:
    return spell_digits(match.group(0)).replace("一", "幺")


_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(\d{4}|\d{2})年"), _year),
    (re.compile(r"(?<!\d)1[3-9]\d{9}(?!\d)"), _telephone),
    (re.compile(r"(\d+)/(\d+)"), _fraction),
    (re.compile(rf"({_NUMBER})%"), _percent),
    (re.compile(rf"({_NUMBER})([多余几]?[{_MEASURES}])"), _counted),
    (re.compile(r"\d{4,}"), lambda match: spell_digits(match.group(0))),
    (re.compile(_NUMBER), lambda match: spell_number(match.group(0))),
)
_COMMAS = str.maketrans(dict.fromkeys(_PUNCTUATION, ","))


def spell_chinese(text: str) -> str:
    """Returns text with numbers in characters and every punctuation mark as a comma."""
    for pattern, spoken in _RULES:
        text = pattern.sub(spoken, text)
    return text.translate(_COMMAS)


def pinyin(text: str) -> str:
    """Returns Chinese characters as syllables with tone numbers, everything else as it is.

    Raises:
        DependencyMissing: pypinyin is not installed.
    """
    package: Any = language_package("pypinyin", "Chinese lyrics")
    syllables = package.lazy_pinyin(text, style=package.Style.TONE3, neutral_tone_with_five=True)
    return "".join(syllables)
