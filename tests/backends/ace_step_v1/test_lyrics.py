"""Lyrics to tokens without the vocabulary and without the language packages."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from lofi.backends.ace_step_v1.lyrics.chinese import spell_chinese, spell_number
from lofi.backends.ace_step_v1.lyrics.extras import PACKAGES
from lofi.backends.ace_step_v1.lyrics.language import language_of
from lofi.backends.ace_step_v1.lyrics.normalise import normalise
from lofi.backends.ace_step_v1.lyrics.tokens import INSTRUMENTAL_IDS, lyric_ids
from lofi.errors import DependencyMissing, ModelLoadFailed, ModelNotFound

NOWHERE = Path("/nowhere/lyric_vocabulary/vocab.json")


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    """A vocabulary of letters with a few of the real ids."""
    ids = {"[UNK]": 1, "[SPACE]": 2, "[en]": 259, "[zh-cn]": 5023}
    ids.update({letter: 10 + number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz")})
    bpe = Tokenizer(models.BPE(vocab=ids, merges=[], unk_token="[UNK]"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    bpe.add_special_tokens(["[SPACE]", "[en]", "[zh-cn]"])
    path = tmp_path / "vocab.json"
    bpe.save(str(path))
    return path


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("lyrics", ["", "  \n\n ", "[inst]", "[INST]"])
def test_instrumental_music_needs_nothing(lyrics: str) -> None:
    assert tuple(lyric_ids(lyrics, NOWHERE)) == INSTRUMENTAL_IDS == (261, 259, 6688, 2)


def test_structure_alone_needs_no_vocabulary() -> None:
    assert lyric_ids("[intro]\n[inst]\n\n[Outro]", NOWHERE) == [
        261, 259, 6682, 2, 259, 6688, 2, 2, 259, 6686, 2,
    ]  # fmt: skip


def test_sung_words_need_the_vocabulary() -> None:
    with pytest.raises(ModelNotFound) as caught:
        lyric_ids("[verse]\nhello", NOWHERE, "en")
    assert "instrumental" in caught.value.hint
    assert caught.value.data["path"] == str(NOWHERE)


def test_a_broken_vocabulary_is_named(tmp_path: Path) -> None:
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"model": 1}))
    with pytest.raises(ModelLoadFailed, match=r"vocab\.json"):
        lyric_ids("hello", path, "en")


def test_a_line_is_its_language_its_pieces_and_its_end(vocabulary: Path) -> None:
    assert lyric_ids("Ab c\n[verse]", vocabulary, "en") == [
        261, 259, 10, 11, 2, 12, 2, 259, 6683, 2,
    ]  # fmt: skip


def test_without_a_language_somebody_must_tell_it(
    vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "py3langid")
    with pytest.raises(DependencyMissing) as caught:
        lyric_ids("hello", vocabulary)
    command = f"Run: {sys.executable} -m pip install py3langid num2words"
    assert caught.value.hint == f"{command}  or name it: vocal_language=en."
    without(monkeypatch, "pip")
    with pytest.raises(DependencyMissing, match="py3langid") as caught:
        lyric_ids("hello", vocabulary)
    assert f"Run: uv pip install --python {sys.executable} py3langid" in caught.value.hint


def test_what_the_languages_need_is_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["lyrics"]
    named = {package for names in PACKAGES.values() for package in names.split()}
    assert {line.partition(">")[0] for line in extra} == named


def test_numbers_need_a_package_and_words_do_not(
    vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "num2words")
    assert lyric_ids("hi", vocabulary, "en")
    with pytest.raises(DependencyMissing, match="num2words"):
        lyric_ids("99 ways", vocabulary, "en")


@pytest.mark.parametrize(
    ("language", "package"),
    [("zh", "pypinyin"), ("ko", "hangul_romanize"), ("ja", "cutlet")],
)
def test_a_script_needs_its_package(
    language: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, package)
    with pytest.raises(DependencyMissing, match=package):
        normalise("夜", language)


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("[Verse 1] anything", "en"),
        ("我走过深夜的街道", "zh"),
        ("こんにちは世界", "ja"),
        ("안녕하세요 세계", "ko"),
        ("Привет, мир", "ru"),
        ("مرحبا بالعالم", "ar"),
        ("नमस्ते दुनिया", "hi"),
        ("ทดสอบ", "en"),
        ("2024", "zh"),
        ("!?", "en"),
    ],
)
def test_scripts_decide_without_a_package(
    line: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "py3langid")
    assert language_of(line) == language


def test_a_short_line_takes_the_language_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("py3langid")
    seen: list[str] = []

    def classify(text: str) -> tuple[str, float]:
        seen.append(text)
        return "de", 1.0

    fake.set_languages = lambda codes: None  # type: ignore[attr-defined]
    fake.classify = classify  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "py3langid", fake)
    assert language_of("mmmm", "[verse]\nich gehe heute fort\nmmmm") == "de"
    assert seen == ["ich gehe heute fort m"]


@pytest.mark.parametrize(
    ("text", "language", "spoken"),
    [
        ("Mr. Moon & Me", "en", "mister moon and me"),
        ('Don\'t stop "now"', "en", "don't stop now"),
        ("100% für   dich", "de", "100 prozent für dich"),
        ("İstanbul", "tr", "istanbul"),
        ("Dr. Eva", "pt", "doutor eva"),
        ("г-жа Луна", "ru", "госпожа луна"),
        ("मेरा   गीत", "hi", "मेरा गीत"),
    ],
)
def test_signs_and_abbreviations_are_spoken(
    text: str, language: str, spoken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = ModuleType("num2words")

    def refuse(*given: object, **options: object) -> str:
        raise NotImplementedError

    fake.num2words = refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "num2words", fake)
    assert normalise(text, language) == spoken


def test_english_numbers_are_asked_for_in_their_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = ModuleType("num2words")

    def speak(number: float, **kind: object) -> str:
        word = f"{number:g}".translate(str.maketrans("0123456789.", "abcdefghijp"))
        if kind.get("to") == "currency":
            return f"{word} {kind['currency']}, no cents"
        return word + ("-th" if kind.get("ordinal") else "")

    fake.num2words = speak  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "num2words", fake)
    spoken = normalise("$20 for the 3rd of 1,000, or 1.5", "en")
    assert spoken == "ca USD for the d-th of baaa, or bpf"


@pytest.mark.parametrize(
    ("number", "spoken"),
    [
        ("0", "零"),
        ("10", "十"),
        ("50", "五十"),
        ("105", "一百零五"),
        ("20003", "二万零三"),
        ("100000000", "一亿"),
        ("3.25", "三点二五"),
    ],
)
def test_chinese_numbers(number: str, spoken: str) -> None:
    assert spell_number(number) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("2024年", "二零二四年"),
        ("3个梦", "三个梦"),
        ("50%", "百分之五十"),
        ("1/3", "三分之一"),
        ("房间12345", "房间一二三四五"),
        ("你好！再见。", "你好,再见,"),
        ("13812345678", "幺三八幺二三四五六七八"),
    ],
)
def test_chinese_text(text: str, spoken: str) -> None:
    assert spell_chinese(text) == spoken
