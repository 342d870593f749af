"""Backends that misbehave, named ``faulty_backends:<function>`` and run in a child process.

The program they are given is `cover` of the tests: min x0 + 2 x1 + 3 x2, at least one of them.
"""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np

from mapc.solvers.base import Solution, Status, Stop

GOOD = [1.0, 0.0, 0.0]
POOR = [0.0, 0.0, 1.0]


def _forever():
    while True:
        time.sleep(60)


def whoami(program, limits, start, report):
    """Solve, and say in which process."""
    return Solution(Status.OPTIMAL, Stop.PROVEN, bound=1.0, values=GOOD, message=str(os.getpid()))


def die_after_incumbent(program, limits, start, report):
    report.incumbent(POOR)
    report.bound(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def hang(program, limits, start, report):
    """Hang, unless no nodes are allowed."""
    if limits.nodes == 0:
        return Solution(Status.UNKNOWN, Stop.WORK)
    report.incumbent(POOR)
    report.bound(0.5)
    return _forever()


def hang_with_lock(program, limits, start, report):
    """Hang in native code that never lets another thread of the interpreter run."""
    if limits.nodes == 0:
        return Solution(Status.UNKNOWN, Stop.WORK)
    report.incumbent(POOR)
    return re.match(r"(a+)+$", "a" * 64 + "b")


def hang_with_helper(program, limits, start, report):
    """Hang, after starting a process, as solvers that are executables do."""
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    report.note(str(helper.pid))
    report.incumbent(POOR)
    return _forever()


def obedient(program, limits, start, report):
    """Find a plan, then wait to be cancelled."""
    report.incumbent(POOR)
    while not report.cancelled:
        time.sleep(0.005)
    return Solution(Status.FEASIBLE, Stop.CANCELLED, bound=0.5, values=GOOD)


def hungry(program, limits, start, report):
    report.incumbent(POOR)
    hoard = []
    while True:
        hoard.append(np.ones(1 << 20))


def native_out_of_memory(program, limits, start, report):
    """What a C++ solver leaves behind when an allocation fails on a thread of its own."""
    report.incumbent(POOR)
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def abort(program, limits, start, report):
    os.write(2, b"Check failed: x > 0\n")
    os.abort()


def leave(program, limits, start, report):
    os._exit(3)


def fail(program, limits, start, report):
    report.incumbent(POOR)
    raise RuntimeError("first line\nsecond line")


def refuse(program, limits, start, report):
    raise ValueError("column x[0] is not to my taste")


def no_solution(program, limits, start, report):
    return {"status": "optimal"}


def chatty(program, limits, start, report):
    """Write to every stream a solver might write to, more than a pipe holds."""
    for _ in range(200):
        print("x" * 1000)
        os.write(1, b"y" * 1000)
        sys.stderr.write("z" * 1000)
    return Solution(Status.OPTIMAL, Stop.PROVEN, bound=1.0, values=GOOD)


def infeasible_values(program, limits, start, report):
    return Solution(Status.OPTIMAL, Stop.PROVEN, bound=0.0, values=[0.0, 0.0, 0.0])


def false_bound(program, limits, start, report):
    return Solution(Status.OPTIMAL, Stop.PROVEN, bound=3.0, values=GOOD)


def loses_its_best(program, limits, start, report):
    """Stream the best plan and return a poorer one."""
    report.incumbent(GOOD)
    report.incumbent([0.0, 0.0, 0.0])
    report.bound(0.25)
    report.bound(0.125)
    return Solution(Status.FEASIBLE, Stop.WORK, values=POOR)


def echo_start(program, limits, start, report):
    return Solution(Status.FEASIBLE, Stop.WORK, message=repr(None if start is None else [*start]))


def big_answer(program, limits, start, report):
    """Stream more than pipes hold, many times."""
    for _ in range(20):
        report.incumbent(np.ones(program.n_columns))
    return Solution(Status.FEASIBLE, Stop.WORK, values=np.ones(program.n_columns))


def wrong_optimum(program, limits, start, report):
    """Claim a feasible point of the probe that is not its optimum."""
    values = np.repeat([1.0, 9.0], 10)
    return Solution(Status.OPTIMAL, Stop.PROVEN, bound=110.0, values=values)
