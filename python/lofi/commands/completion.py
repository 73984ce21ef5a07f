"""`lofi completion`: a shell script that completes commands and options, made from the parser."""

from __future__ import annotations

import argparse
from typing import Any

from lofi.commands import screen

SHELLS = ("bash", "zsh", "fish")


def add(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Adds the command; it reads the whole parser when it runs."""
    command = commands.add_parser("completion", help="a completion script for your shell")
    command.add_argument("shell", choices=SHELLS)
    command.set_defaults(run=run, parser=parser)


def run(options: argparse.Namespace) -> int:
    """Prints the script."""
    tree = words(options.parser)
    screen.text({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](tree))
    return 0


def words(parser: argparse.ArgumentParser, path: str = "") -> dict[str, list[str]]:
    """Returns, for each chain of commands, what may follow it."""
    tree: dict[str, list[str]] = {path: []}
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        tree[path] += action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            shown = [choice.dest for choice in action._choices_actions]
            tree[path] += shown
            for name in shown:
                tree.update(words(action.choices[name], f"{path} {name}".strip()))
        elif action.choices and not action.option_strings:
            tree[path] += [str(choice) for choice in action.choices]
    return tree


def _bash(tree: dict[str, list[str]]) -> str:
    cases = "\n".join(
        f'    "{path}") words="{" ".join(follow)}" ;;' for path, follow in tree.items() if path
    )
    return f"""_lofi() {{
  local chain="" word words="{" ".join(tree[""])}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ $word == -* ]] || chain="${{chain:+$chain }}$word"
  done
  case "$chain" in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
  [[ ${{#COMPREPLY[@]}} -gt 0 ]] || COMPREPLY=($(compgen -f -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _lofi lofi"""


def _zsh(tree: dict[str, list[str]]) -> str:
    return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(tree)


def _fish(tree: dict[str, list[str]]) -> str:
    lines = ["complete -c lofi -f"]
    for path, follow in tree.items():
        chain = path.split()
        if chain:
            when = " && ".join(f"__fish_seen_subcommand_from {name}" for name in chain)
        else:
            when = "__fish_use_subcommand"
        for word in follow:
            kind = f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}"
            kind = kind if word.startswith("-") else f"-a {word}"
            lines.append(f"complete -c lofi -n '{when}' {kind}")
    return "\n".join(lines)
