"""`python -m lofi`, the same as the console script."""

from lofi.cli import entry

if __name__ == "__main__":
    entry()
