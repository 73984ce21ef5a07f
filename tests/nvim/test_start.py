"""What loading the plugin costs and defines."""

from __future__ import annotations

import pytest

from tests.nvim.editor import Editor

pytestmark = pytest.mark.every_nvim

PLUGS = (
    "toggle play pause stop skip previous seek-forward seek-back volume-up volume-down mute "
    "generate prompt submit cancel status list queue favorite"
).split()


def test_starting_the_editor_loads_no_module_and_defines_no_global(editor: Editor) -> None:
    loaded = editor.lua("return vim.tbl_keys(package.loaded)")
    assert [name for name in loaded if name.startswith(("lofi", "lualine"))] == []
    assert editor.lua("return vim.fn.exists(':Lofi')") == 2
    assert [name for name in editor.lua("return vim.tbl_keys(_G)") if "lofi" in name.lower()] == []
    assert editor.home.processes() == [editor.pid]


def test_the_plug_keys_are_there_and_no_other_key_is_mapped(editor: Editor) -> None:
    maps = editor.lua(
        "return vim.tbl_map(function(m) return m.lhs end, vim.api.nvim_get_keymap('n'))"
    )
    assert {f"<Plug>(lofi-{name})" for name in PLUGS} == {m for m in maps if "lofi" in m}
    visual = editor.lua("return vim.fn.maparg('<Plug>(lofi-generate)', 'x')")
    assert visual == ":Lofi generate<CR>"


def test_highlights_are_linked_and_a_users_own_stay(editor: Editor) -> None:
    assert (
        editor.lua("return vim.api.nvim_get_hl(0, { name = 'LofiPlaying' }).link") == "DiagnosticOk"
    )
    editor.lua(
        """
        vim.api.nvim_set_hl(0, 'LofiPlaying', { link = 'Title' })
        vim.g.loaded_lofi = nil
        vim.cmd.runtime('plugin/lofi.lua')
        """
    )
    assert editor.lua("return vim.api.nvim_get_hl(0, { name = 'LofiPlaying' }).link") == "Title"


def test_requiring_and_setting_up_starts_no_process(editor: Editor) -> None:
    editor.lua("require('lofi').setup({ playback = { volume = 0.5 } })")
    assert editor.home.processes() == [editor.pid]
    assert editor.lua("return require('lofi').statusline() == nil")
    assert editor.lua("return require('lofi').is_daemon_running()") is False
