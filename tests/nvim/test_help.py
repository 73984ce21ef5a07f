"""The help: whatever exists has a tag, and every link leads somewhere."""

from __future__ import annotations

import re

from lofi import errors
from tests.nvim.editor import REPO, Editor

TEXT = (REPO / "doc" / "lofi.txt").read_text(encoding="utf-8")
TAGS = set(re.findall(r"\*([^*\s]+)\*", TEXT))


def test_every_command_has_a_tag(editor: Editor) -> None:
    names = editor.lua("return vim.tbl_keys(require('lofi.command').table())")
    assert {f":Lofi-{name}" for name in names} == {tag for tag in TAGS if tag.startswith(":Lofi-")}


def test_every_option_has_a_tag_and_its_default(editor: Editor) -> None:
    options = editor.lua(
        """
        return vim.tbl_map(function(option)
          return { option.key, vim.inspect(option.default) }
        end, require('lofi.options').LIST)
        """
    )
    for key, default in options:
        assert f"lofi.{key}" in TAGS, key
        assert f"    {key} = {default}\n".replace('"', "'") in TEXT, key
        assert f"lofi-config-{key.split('.')[0]}" in TAGS


def test_every_function_has_a_tag(editor: Editor) -> None:
    names = editor.lua("return vim.tbl_keys(require('lofi'))")
    wanted = {"lofi.version" if name == "version" else f"lofi.{name}()" for name in names}
    daemon = editor.lua("return vim.tbl_keys(require('lofi.daemon'))")
    wanted |= {f"lofi.daemon.{name}()" for name in daemon}
    assert {tag for tag in TAGS if tag.startswith("lofi.") and tag.endswith("()")} | {
        "lofi.version"
    } == wanted


def test_every_event_has_a_tag(editor: Editor) -> None:
    for name in editor.lua("return require('lofi.events').NAMES"):
        assert f"lofi-event-{name}" in TAGS
        assert editor.lua("return require('lofi.events').pattern_of(...)", name) in TAGS


def test_every_plug_key_and_highlight_has_a_tag(editor: Editor) -> None:
    maps = editor.lua(
        "return vim.tbl_map(function(map) return map.lhs end, vim.api.nvim_get_keymap('n'))"
    )
    assert {lhs for lhs in maps if "lofi" in lhs} == {tag for tag in TAGS if "<Plug>" in tag}
    groups = editor.nvim.funcs.getcompletion("Lofi", "highlight")
    assert {f"hl-{group}" for group in groups} == {tag for tag in TAGS if tag.startswith("hl-")}


def test_every_parameter_is_listed(editor: Editor) -> None:
    chapter = TEXT.partition("*lofi-generate-parameters*")[2].partition("*lofi-tasks*")[0]
    chapter = re.sub(
        r"\*lofi-words\*.*?(?=^\S[^\n]*~$)", "", chapter, flags=re.DOTALL | re.MULTILINE
    )
    listed = set(re.findall(r"^    ([a-z_]+)\b", chapter, re.MULTILINE))
    assert listed == set(editor.lua("return require('lofi.parameters').names()"))


def test_every_error_has_a_tag_and_its_number(editor: Editor) -> None:
    def numbers(kind: type[errors.LofiError]) -> dict[str, int]:
        found = {kind.code: kind.number}
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:  # others never reach the wire
                found |= numbers(child)
        return found

    known = editor.lua("return require('lofi.errors').NUMBERS")
    assert known.items() >= numbers(errors.LofiError).items()
    assert len(set(known.values())) == len(known)
    assert {f"lofi-{code}" for code in known} <= TAGS
    told = editor.lua(
        """
        local failure = { code = 'INSUFFICIENT_MEMORY', message = 'm', hint = 'h' }
        return require('lofi.errors').from_notification(failure).rpc_code
        """
    )
    assert told == errors.InsufficientMemory.number


def test_the_help_is_well_formed(editor: Editor) -> None:
    editor.command(f"helptags {REPO / 'doc'}")  # refuses a tag that is there twice
    assert [line for line in TEXT.splitlines() if len(line) > 79] == []
    for link in set(re.findall(r"\|([^|\s]+)\|", TEXT)):
        assert editor.nvim.funcs.getcompletion(link, "help"), link
    for hint in re.findall(r":Lofi!? ([a-z]+)", TEXT):
        assert f":Lofi-{hint}" in TAGS, hint
