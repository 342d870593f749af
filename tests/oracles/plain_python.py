"""Kernels as plain Python, the oracle of what they are compiled into."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def both_ways(script: str) -> list[str]:
    """Return what a script prints in a process of its own, with compiled kernels and without.

    It may import from the oracles.
    """
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    return [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "NUMBA_DISABLE_JIT": plain, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for plain in ("0", "1")
    ]
