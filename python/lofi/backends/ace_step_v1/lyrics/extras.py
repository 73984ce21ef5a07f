"""The language packages sung lyrics may need; instrumental music needs none of them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from lofi.errors import DependencyMissing

EVERYDAY = "py3langid num2words"
"""What most lyrics in Latin letters need, small enough to come together."""
PACKAGES = {
    "py3langid": EVERYDAY,
    "num2words": EVERYDAY,
    "pypinyin": "pypinyin",
    "hangul_romanize": "hangul-romanize",
    "cutlet": "cutlet fugashi unidic-lite",
    "unidic_lite": "cutlet fugashi unidic-lite",
}
"""What to install for a module; together the extra `lyrics`."""


def language_package(
    module: str, purpose: str, instead: str = "make the track instrumental"
) -> ModuleType:
    """Returns the imported module.

    Raises:
        DependencyMissing: it is not installed; the hint has the command for this very Python.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise DependencyMissing(
            f"{purpose} needs the Python package {package}, which is not installed",
            hint=f"Run: {_installer()} {PACKAGES[package]}  or {instead}.",
            package=package,
        ) from error


def _installer() -> str:
    python = f"'{sys.executable}'" if " " in sys.executable else sys.executable
    if importlib.util.find_spec("pip") is None:  # an environment made by uv
        return f"uv pip install --python {python}"
    return f"{python} -m pip install"
