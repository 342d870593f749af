"""Backends that go wrong in every way a solver can, for the tests of what happens then."""

import os
import signal
import time
from typing import Any

import numpy as np

from mapc.program import Program
from mapc.solvers.backend import Report
from mapc.solvers.base import Limits, Solution, Status, Stop


def killed(program: Program, limits: Limits, start: Any, report: Report) -> Solution:
    """Die as if the system had run out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def hangs(program: Program, limits: Limits, start: Any, report: Report) -> Solution:
    """Ignore the limit and every request to stop."""
    while True:
        time.sleep(3600)


def eats_memory(program: Program, limits: Limits, start: Any, report: Report) -> Solution:
    """Allocate until the cap says no."""
    hoard = []
    while True:
        hoard.append(np.ones(2**22))


def raises(program: Program, limits: Limits, start: Any, report: Report) -> Solution:
    """Fail with an error of its own."""
    raise RuntimeError("lost the licence")


def lies(program: Program, limits: Limits, start: Any, report: Report) -> Solution:
    """Call a point optimal that breaks every row."""
    values = program.matrix.upper.copy()
    return Solution(Status.OPTIMAL, Stop.PROVEN, objective=0.0, bound=0.0, values=values)
