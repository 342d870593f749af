"""A worker survives whatever its child does."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mapc.errors import UsageError
from mapc.program.model import Program
from mapc.solvers.base import Limits, Status, Stop
from mapc.solvers.process import Process
from mapc.solvers.worker import Worker, merge_start

BACKENDS = Path(__file__).parent / "backends"
PATIENCE = 30.0
"""Seconds a busy machine may take for what needs none."""


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BACKENDS))


@pytest.fixture
def lend():
    """Return a function that makes workers of ``faulty_backends``; they end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(Worker(f"faulty_backends:{name}"))


@pytest.fixture
def cover():
    """Return min x0 + 2 x1 + 3 x2, at least one of them: 1 at (1, 0, 0)."""
    program = Program("cover")
    x = program.variables(3, cost=[1.0, 2.0, 3.0])
    program.rows([x.columns], 1.0, 1.0)
    return program


def running(pid):
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def gone(pid):
    """Wait for a process to end; whether it did."""
    until = time.monotonic() + PATIENCE
    while running(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not running(pid)


def kept(solution):
    """Check that what the child streamed before its end is in the solution."""
    assert solution.status is Status.FEASIBLE
    assert solution.objective == 3.0
    assert solution.values.tolist() == [0.0, 0.0, 1.0]
    assert [event.kind for event in solution.trajectory][:1] == ["incumbent"]


# -- life of a child -----------------------------------------------------------------------------


def test_children_are_reused(lend, cover):
    worker = lend("whoami")
    first, second = worker.solve(cover), worker.solve(cover)
    assert first.status is second.status is Status.OPTIMAL
    assert first.message == second.message == str(worker.pid)
    assert worker.pid != os.getpid()


def test_close_ends_the_child(lend, cover):
    worker = lend("whoami")
    pid = int(worker.solve(cover).message)
    worker.close()
    assert not running(pid)
    assert worker.pid is None
    assert int(worker.solve(cover).message) != pid


def test_a_worker_without_owner_ends_its_child(cover):
    worker = Worker("faulty_backends:whoami")
    pid = int(worker.solve(cover).message)
    del worker
    assert gone(pid)


def test_a_child_that_died_idle_is_replaced(lend, cover):
    worker = lend("whoami")
    pid = int(worker.solve(cover).message)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert worker.solve(cover).status is Status.OPTIMAL


def test_a_child_that_dies_unnoticed_is_replaced(lend, cover, monkeypatch):
    worker = lend("whoami")
    pid = int(worker.solve(cover).message)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    monkeypatch.setattr(Process, "alive", property(lambda self: True))
    assert worker.solve(cover).status is Status.OPTIMAL


def test_children_outlive_the_thread_that_started_them(lend, cover):
    worker = lend("whoami")
    pids = []
    thread = threading.Thread(target=lambda: pids.append(int(worker.solve(cover).message)))
    thread.start()
    thread.join()
    assert int(worker.solve(cover).message) == pids[0]


def test_begin_does_not_wait(lend, cover, tmp_path, monkeypatch):
    gate = tmp_path / "open"
    monkeypatch.setenv("SLOW_BACKEND_GATE", str(gate))
    with Worker("slow_backend:solve") as worker:
        worker.begin()
        pid = worker.pid
        late = worker.solve(cover, Limits(time=0.05))
        assert (late.status, late.stop) == (Status.UNKNOWN, Stop.TIME)
        cancel = threading.Event()
        cancel.set()
        assert worker.solve(cover, cancel=cancel).stop is Stop.CANCELLED
        gate.touch()
        assert int(worker.solve(cover).message) == pid


SCRIPT = """
    import os, sys
    from mapc.program.model import Program
    from mapc.solvers import registry
    program = Program()
    x = program.variables(3, cost=[1.0, 2.0, 3.0])
    program.rows([x.columns], 1.0, 1.0)
    def tell(event):
        print(event.kind, event.text, flush=True)
    name = sys.argv[1]
    with registry._pool.worker(name) as worker:
        worker.begin()
        print("child", worker.pid, flush=True)
    registry.solve(program, name, on_event=tell)
    print("done", flush=True)
"""


def script(name):
    """Start a script without a main guard that solves with a faulty backend."""
    path = os.pathsep.join([str(BACKENDS), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), f"faulty_backends:{name}"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def lines_until(process, word):
    """Return the script's output up to the line that begins with a word."""
    lines = []
    for line in process.stdout:
        lines.append(line.split())
        if lines[-1][0] == word:
            return lines
    raise AssertionError(f"no {word!r} in {lines}")


@pytest.mark.parametrize("name", ["hang", "hang_with_lock"])
def test_children_go_when_their_parent_is_killed(name):
    with script(name) as process:
        pid = int(lines_until(process, "incumbent")[0][1])
        assert running(pid)
        process.kill()
        process.wait()
        assert gone(pid)


def test_what_a_child_started_goes_with_it():
    with script("hang_with_helper") as process:
        lines = lines_until(process, "incumbent")
        helper = int(next(line[1] for line in lines if line[0] == "note"))
        assert running(helper)
        process.kill()
        process.wait()
        assert gone(helper)


def test_children_go_at_exit_of_a_script_without_main_guard():
    with script("whoami") as process:
        lines = lines_until(process, "done")
        assert process.wait(PATIENCE) == 0
        assert gone(int(lines[0][1]))


# -- limits and cancellation ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hang", "hang_with_lock"])
def test_a_child_that_hangs_is_killed(lend, cover, name):
    worker = lend(name)
    worker.solve(cover, Limits(nodes=0))  # loads the backend, which a limit would count
    solution = worker.solve(cover, Limits(time=1.0, grace=0.5))
    kept(solution)
    assert solution.stop is Stop.HUNG
    assert solution.stop.failed
    assert worker.pid is None


def test_a_child_that_ignores_cancel_is_killed(lend, cover):
    worker, cancel = lend("hang"), threading.Event()
    solution = worker.solve(
        cover, Limits(grace=0.1), on_event=lambda event: cancel.set(), cancel=cancel
    )
    kept(solution)
    assert solution.stop is Stop.CANCELLED
    assert "killed" in solution.message
    assert worker.pid is None


def test_a_child_that_stops_when_cancelled_is_kept(lend, cover):
    worker, cancel = lend("obedient"), threading.Event()
    limits = Limits(grace=PATIENCE)
    solution = worker.solve(cover, limits, on_event=lambda event: cancel.set(), cancel=cancel)
    assert (solution.status, solution.stop) == (Status.OPTIMAL, Stop.PROVEN)
    assert solution.objective == solution.bound == 1.0  # 0.5, in a program of whole objectives
    assert worker.pid is not None


def test_a_cancelled_solve_does_not_cancel_the_next(lend, cover):
    worker, cancel = lend("obedient"), threading.Event()
    cancel.set()
    worker.solve(cover, Limits(grace=PATIENCE), cancel=cancel)
    late = threading.Event()
    seen = []
    solution = worker.solve(
        cover,
        Limits(grace=PATIENCE),
        on_event=lambda event: (seen.append(event), late.set()),
        cancel=late,
    )
    assert seen[0].kind == "incumbent"
    assert solution.values.tolist() == [1.0, 0.0, 0.0]


def test_ctrl_c_ends_the_child_and_propagates(lend, cover):
    worker, pids = lend("hang"), []

    def interrupt(event):
        pids.append(worker.pid)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        worker.solve(cover, on_values=interrupt)
    assert not running(pids[0])
    assert worker.pid is None


def test_an_error_in_a_callback_ends_the_child_and_propagates(lend, cover):
    worker = lend("hang")

    def complain(event):
        raise LookupError("no")

    with pytest.raises(LookupError):
        worker.solve(cover, on_event=complain)
    assert worker.pid is None


# -- crashes -------------------------------------------------------------------------------------


def test_sigkill_keeps_the_incumbent(lend, cover):
    worker = lend("die_after_incumbent")
    solution = worker.solve(cover)
    kept(solution)
    assert solution.stop is Stop.CRASHED
    assert "SIGKILL" in solution.message
    assert solution.bound == 1.0  # 0.5, in a program of whole objectives
    assert worker.solve(cover).stop is Stop.CRASHED  # a new child, the same end


@pytest.mark.parametrize(
    ("name", "stop", "words"),
    [
        ("abort", Stop.CRASHED, "killed by SIGABRT: Check failed: x > 0"),
        ("leave", Stop.CRASHED, "exited with code 3"),
        ("refuse", Stop.REFUSED, "column x[0] is not to my taste"),
        ("no_solution", Stop.ERROR, "dict"),
    ],
)
def test_failures_without_an_incumbent(lend, cover, name, stop, words):
    solution = lend(name).solve(cover)
    assert (solution.status, solution.stop) == (Status.UNKNOWN, stop)
    assert words in solution.message
    assert solution.values is None
    assert solution.bound is None


def test_an_exception_keeps_the_incumbent(lend, cover):
    solution = lend("fail").solve(cover)
    kept(solution)
    assert solution.stop is Stop.ERROR
    assert solution.message == "RuntimeError: first line second line"


def test_memory_cap(lend, cover):
    worker = lend("hungry")
    solution = worker.solve(cover, Limits(memory=300_000_000))
    kept(solution)
    assert solution.stop is Stop.MEMORY
    assert worker.pid is None


def test_native_out_of_memory(lend, cover):
    solution = lend("native_out_of_memory").solve(cover)
    kept(solution)
    assert solution.stop is Stop.MEMORY


def test_the_cap_ends_with_the_solve(lend, cover):
    worker = lend("whoami")
    capped = worker.solve(cover, Limits(memory=1_000_000_000))
    limits = Path(f"/proc/{worker.pid}/limits").read_text().splitlines()
    row = next(line for line in limits if line.startswith("Max data size"))
    assert capped.status is Status.OPTIMAL
    assert "1000000000" not in row


def test_a_module_that_is_not_there(cover):
    with Worker("no_such_module_at_all:solve") as worker:
        solution = worker.solve(cover)
    assert solution.stop is Stop.UNAVAILABLE
    assert "no_such_module_at_all" in solution.message


def test_a_solver_that_cannot_be_loaded_says_why(cover):
    with Worker("broken_backend:solve") as worker:
        solution = worker.solve(cover)
    assert solution.stop is Stop.UNAVAILABLE
    assert "undefined symbol: frobnicate" in solution.message


def test_unknown_names_are_refused_at_once():
    with pytest.raises(UsageError, match="cplex"):
        Worker("cplex")


# -- what is believed ----------------------------------------------------------------------------


def test_output_of_solvers_does_not_reach_the_protocol(lend, cover, capfd):
    assert lend("chatty").solve(cover).status is Status.OPTIMAL
    assert capfd.readouterr() == ("", "")


def test_infeasible_values_are_refused(lend, cover):
    solution = lend("infeasible_values").solve(cover)
    assert (solution.status, solution.stop) == (Status.UNKNOWN, Stop.ERROR)
    assert "row[0]" in solution.message
    assert solution.bound == 0.0


def test_a_disproven_bound_is_refused(lend, cover):
    solution = lend("false_bound").solve(cover)
    assert (solution.status, solution.stop) == (Status.FEASIBLE, Stop.ERROR)
    assert solution.objective == 1.0
    assert solution.bound is None


def test_the_best_of_streamed_and_returned_counts(lend, cover):
    seen, values = [], []
    solution = lend("loses_its_best").solve(cover, on_event=seen.append, on_values=values.append)
    assert solution.status is Status.OPTIMAL  # the bound of 0.25 rounds up to 1
    assert solution.objective == 1.0
    assert [(e.kind, e.objective, e.bound) for e in seen] == [
        ("incumbent", 1.0, None),
        ("bound", 1.0, 1.0),
    ]
    assert [v.tolist() for v in values] == [[1.0, 0.0, 0.0]]
    assert solution.trajectory == tuple(seen)


def test_large_answers_pass(lend):
    program = Program()
    program.variables(100_000, cost=-1.0)
    solution = lend("big_answer").solve(program)
    assert solution.objective == -100_000.0


def test_starts_win_over_hints(lend, cover):
    cover.hint([1, 2], [1.0, 1.0])
    solution = lend("echo_start").solve(cover, start=np.array([np.nan, 0.0, np.nan]))
    assert solution.message == repr([np.float64("nan"), np.float64(0.0), np.float64(1.0)])


def test_merge_start(cover):
    assert merge_start(cover, None) is None
    with pytest.raises(ValueError, match="2 values for 3 columns"):
        merge_start(cover, np.zeros(2))
