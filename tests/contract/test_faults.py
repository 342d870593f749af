"""Whatever happens to a backend, a verified plan comes back, with a note of what failed."""

from dataclasses import replace

import pytest

import mapc
from mapc.models.memory import FAMILY
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers.base import Event, Status
from oracles.memory_cases import chain_with_skip


@pytest.fixture
def problem(monkeypatch: pytest.MonkeyPatch) -> MemoryProblem:
    """A chain with a skip: 10 extra bytes, of which a solver alone can prove more than 2.

    Searches and bounds that ask no solver and settle it are left out of the family's methods.
    """
    kept = ("tightest-operator", "eviction", "forced-spans", "gap", "local-search", "cosma")
    asking = tuple(m for m in FAMILY.methods if m.name in kept)
    monkeypatch.setattr(FAMILY, "methods", asking)
    return chain_with_skip(capacity=9)


def assert_fallback(problem: MemoryProblem, result: mapc.Result, says: str) -> None:
    assert result.status is Status.FEASIBLE
    assert mapc.check(problem, result.plan) == []
    assert verify(problem, result.plan).objective == result.objective == 10
    assert result.bound == 2
    assert any(says in note for note in result.notes), result.notes


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("killed", "SIGKILL"),
        ("raises", "lost the licence"),
        ("lies", "it breaks row"),
    ],
)
def test_a_broken_backend_costs_only_itself(problem: MemoryProblem, fault: str, says: str) -> None:
    name = f"oracles.faulty_backends:{fault}"
    result = mapc.solve(problem, time_limit=None, backends=[name])
    assert_fallback(problem, result, says)
    # with a healthy one behind it nothing is lost at all
    result = mapc.solve(problem, time_limit=None, backends=[name, "highs"])
    assert result.status is Status.OPTIMAL
    assert result.objective == result.bound == 10
    assert any(says in note for note in result.notes)


def test_a_backend_out_of_memory(problem: MemoryProblem) -> None:
    result = mapc.solve(
        problem,
        time_limit=None,
        memory_limit=2**29,
        backends=["oracles.faulty_backends:eats_memory"],
    )
    assert_fallback(problem, result, "out of memory")


def test_a_backend_that_hangs_is_killed_at_its_limit(problem: MemoryProblem) -> None:
    result = mapc.solve(problem, time_limit=1.0, backends=["oracles.faulty_backends:hangs"])
    assert_fallback(problem, result, "killed past its limit")


def test_backends_that_are_not_there(
    problem: MemoryProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPC_DISABLE", "highs,cpsat")
    assert_fallback(problem, mapc.solve(problem, time_limit=None), "not installed")


def test_one_missing_backend_is_replaced_by_the_other(
    problem: MemoryProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPC_DISABLE", "highs")
    result = mapc.solve(problem, time_limit=None)
    assert result.status is Status.OPTIMAL
    assert any("highs" in note and "not installed" in note for note in result.notes)


def test_an_interrupt_after_the_first_plan_returns_it(problem: MemoryProblem) -> None:
    def interrupt(event: Event) -> None:
        if event.kind == "incumbent":
            raise KeyboardInterrupt

    result = mapc.solve(problem, time_limit=None, on_event=interrupt)
    assert result.interrupted
    assert result.status is Status.FEASIBLE
    assert mapc.check(problem, result.plan) == []


def test_an_interrupt_before_any_plan_says_so(problem: MemoryProblem) -> None:
    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    result = mapc.solve(problem, time_limit=None, on_event=interrupt)
    assert result.interrupted
    assert result.status is Status.UNKNOWN
    assert result.plan is None
    assert "interrupted" in result.reason


@pytest.mark.parametrize(
    ("time_limit", "reason"),
    [(1e-9, "the limit was reached before a first plan"), (None, "no method that ran found one")],
)
def test_without_a_plan_the_reason_is_named(
    problem: MemoryProblem, time_limit: float | None, reason: str
) -> None:
    result = mapc.solve(problem, time_limit=time_limit, methods=["forced-spans"])
    assert result.status is Status.UNKNOWN
    assert result.reason == reason


def test_a_broken_method_does_not_cost_the_plan(
    problem: MemoryProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(problem: object, search: object) -> None:
        raise ZeroDivisionError("a bug")

    methods = [replace(m, run=broken) if m.name == "gap" else m for m in FAMILY.methods]
    monkeypatch.setattr(FAMILY, "methods", tuple(methods))
    result = mapc.solve(replace(problem, capacity=9), time_limit=None, backends=[])
    assert result.objective == 10
    assert any("method gap failed: ZeroDivisionError: a bug" in note for note in result.notes)
    with pytest.raises(ZeroDivisionError):
        mapc.solve(problem, time_limit=None, methods=["gap"])
