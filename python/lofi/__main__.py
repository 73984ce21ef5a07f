"""One program, several roles: relay, daemon, worker, or a command that a person types.

Each imports its own rooms when it is chosen, so the relay starts fast and nothing but a neural
worker ever imports torch.
"""

import sys


def entry() -> None:
    """`lofi`, and `python -m lofi`."""
    sys.exit(main(sys.argv[1:]))


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    if argv[:1] == ["daemon"]:
        from lofi.daemon import door

        return door.main(argv[1:])
    if argv[:1] == ["worker"]:
        from lofi.worker import loop

        return loop.main("neural" if argv[1:] == ["neural"] else "light")
    from lofi import cli

    return cli.main(argv)


if __name__ == "__main__":
    entry()
