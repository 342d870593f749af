"""Versions of what a run depends on."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

PACKAGES = ("mapc", "numpy", "numba", "ortools", "highspy")
"""Packages whose version may change what a run finds."""


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
