"""What a measurement was taken on: versions, and the machine without its name."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
from importlib import metadata
from typing import Any, Final

from mapc import __version__

PACKAGES: Final = ("highspy", "ortools", "pyomo", "numba", "numpy")
"""Whose versions change results or times."""


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of mapc, of Python and of `PACKAGES`; what is missing is left out."""
    found = {"mapc": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@functools.cache
def machine() -> dict[str, Any]:
    """Return ``system``, ``machine`` (architecture), ``cpu`` (model) and ``cores`` (usable)."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": cores(),
    }


def cores() -> int:
    """Return on how many cores this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    with (
        contextlib.suppress(OSError),
        open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file,
    ):
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor()
