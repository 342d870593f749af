"""Backends by name: availability, the pool, and what a fork inherits."""

import multiprocessing
import threading
from pathlib import Path

import pytest

from mapc.errors import UsageError
from mapc.program.model import Program
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status, Stop


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "backends"))
    yield
    registry.close()


def cover():
    program = Program("cover")
    x = program.variables(3, cost=[1.0, 2.0, 3.0])
    program.rows([x.columns], 1.0, 1.0)
    return program


def test_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setenv(registry.DISABLE, "highs,cpsat")
    solution = registry.solve(cover(), "highs")
    assert (solution.status, solution.stop) == (Status.UNKNOWN, Stop.UNAVAILABLE)
    assert "not installed" in solution.message
    found = registry.availability("cpsat")
    assert not found.works
    assert found.version == ""
    assert "not installed" in found.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("faulty_backends:wrong_optimum", "wrong answer: 110 where the optimum is 100"),
        ("faulty_backends:abort", "crashed: killed by SIGABRT"),
        ("faulty_backends:refuse", "cannot take this model"),
        ("broken_backend:solve", "undefined symbol"),
        ("no_such_module_at_all:solve", "no module named 'no_such_module_at_all'"),
        ("pyomo:no_such_solver", "no working solver 'no_such_solver'"),
    ],
)
def test_why_a_backend_does_not_work(name, words):
    found = registry.availability(name)
    assert not found.works
    assert words in found.reason
    assert "\n" not in found.reason


def test_unknown_names():
    with pytest.raises(UsageError):
        registry.solve(cover(), "cplex")
    with pytest.raises(UsageError):
        registry.availability("cplex")


def test_the_probe_tells_a_wrong_solver_from_a_right_one():
    program, optimum = registry.probe()
    matrix = program.matrix
    assert (matrix.n_columns, matrix.n_rows, optimum) == (20, 10, 100.0)
    # x = 0, y = 10 in every copy; x = 1, y = 9 is feasible and costs one more each
    assert matrix.cost @ ([0.0] * 10 + [10.0] * 10) == optimum
    assert matrix.cost @ ([1.0] * 10 + [9.0] * 10) == 110.0


def test_workers_are_shared_one_after_the_other_and_not_at_once():
    name = "faulty_backends:whoami"
    first, second = (registry.solve(cover(), name).message for _ in range(2))
    assert first == second
    inside, cancel, found = threading.Event(), threading.Event(), []

    def hold():
        limits = Limits(grace=60.0)
        found.append(
            registry.solve(
                cover(),
                "faulty_backends:obedient",
                limits=limits,
                on_event=lambda event: inside.set(),
                cancel=cancel,
            )
        )

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(60.0)
    with registry._pool.worker("faulty_backends:obedient") as other:
        assert other.pid is None  # the running one is not lent twice
    cancel.set()
    thread.join()
    assert found[0].status is Status.OPTIMAL


def test_prepare_starts_what_a_solve_then_uses():
    name = "faulty_backends:whoami"
    registry.prepare([name, "no_such_module_at_all:solve"])
    with registry._pool.worker(name) as worker:
        pid = worker.pid
    assert pid is not None
    assert registry.solve(cover(), name).message == str(pid)


def test_close_ends_children_and_the_pool_goes_on():
    name = "faulty_backends:whoami"
    first = registry.solve(cover(), name).message
    registry.close()
    second = registry.solve(cover(), name).message
    assert not Path(f"/proc/{first}").exists()
    assert first != second


def _solve_in_fork(results):
    results.put(registry.solve(cover(), "faulty_backends:whoami").message)


def test_a_forked_process_has_children_of_its_own():
    name = "faulty_backends:whoami"
    mine = registry.solve(cover(), name).message
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_solve_in_fork, args=(results,))
    process.start()
    theirs = results.get(timeout=60.0)
    process.join()
    assert process.exitcode == 0
    assert theirs != mine
    assert registry.solve(cover(), name).message == mine
