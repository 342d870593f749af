"""Limits for the gate: margins, sizes of models, backends that agree."""

from __future__ import annotations

from typing import Any

import pytest

import mapc
from mapc.errors import CheckError, UsageError
from mapc.quality.ceilings import agreement, ceiling, floor, gate_of, model_sizes
from mapc.solvers.base import Solution, Status, Stop
from mapc.solvers.result import Result

PROBLEM = mapc.generate("bits", groups=3, formats=3)


@pytest.mark.parametrize(
    ("value", "proven", "expected"),
    [
        (1000, False, 1005),
        (1001, False, 1006),
        (1, False, 2),
        (0, False, 1),
        (1000, True, 1000),
        (0, True, 0),
        (200.0, False, 201.0),
        (2.0, True, 2.0 + 2e-9),
    ],
)
def test_ceilings(value: Any, proven: bool, expected: Any) -> None:
    found = ceiling(value, proven)
    assert found == pytest.approx(expected, rel=1e-15)
    assert isinstance(found, type(expected))
    assert ceiling(None, proven) is None


@pytest.mark.parametrize(
    ("value", "proven", "expected"),
    [
        (1000, False, 995),
        (1, False, 0),
        (1000, True, 1000),
        (200.0, False, 199.0),
        (None, True, None),
    ],
)
def test_floors(value: Any, proven: bool, expected: Any) -> None:
    assert floor(value, proven) == expected


@pytest.mark.parametrize(
    ("status", "objective", "bound", "expected"),
    [
        (Status.OPTIMAL, 7, 7, (7, 7, True)),
        (Status.FEASIBLE, 1000, 400, (1005, 398, False)),
        (Status.INFEASIBLE, None, 0, (None, None, True)),
        (Status.UNKNOWN, None, 400, (None, 398, False)),
    ],
)
def test_what_a_run_asks_of_later_ones(
    status: Status, objective: Any, bound: Any, expected: tuple[Any, ...]
) -> None:
    gate = gate_of(Result("memory", status, objective=objective, bound=bound))
    assert (gate.objective, gate.bound, gate.proven) == expected


def test_sizes_are_those_of_the_program() -> None:
    program, _ = mapc.lower(PROBLEM, "choice")
    size = model_sizes(PROBLEM, ["choice"])["choice"]
    assert (size.rows, size.columns, size.nonzeros) == (
        program.matrix.n_rows,
        program.matrix.n_columns,
        program.matrix.nnz,
    )
    assert size.rows > 0


def test_formulations_that_do_not_take_the_problem_are_left_out_unless_named() -> None:
    assert "max" not in model_sizes(PROBLEM)
    assert "choice" in model_sizes(PROBLEM)
    with pytest.raises(UsageError):
        model_sizes(PROBLEM, ["max"])


def answers(**optima: float | None) -> Any:
    """Backends that prove these optima; None: that there is none."""

    def solve(program: Any, backend: str, *, limits: Any) -> Solution:
        assert limits.time is None
        value = optima[backend]
        status = Status.INFEASIBLE if value is None else Status.OPTIMAL
        return Solution(status, Stop.PROVEN, objective=value)

    return solve


@pytest.mark.parametrize(("one", "other"), [(5.0, 5.0), (5.0, 5.0 + 1e-6), (None, None)])
def test_backends_that_agree(one: float | None, other: float | None) -> None:
    found = agreement(PROBLEM, ["choice"], ("a", "b"), solve=answers(a=one, b=other))
    assert found == {"choice": ("a", "b")}


@pytest.mark.parametrize(("one", "other"), [(5.0, 5.001), (5.0, None)])
def test_backends_that_do_not(one: float | None, other: float | None) -> None:
    with pytest.raises(CheckError, match="formulation choice: backends prove different optima: a"):
        agreement(PROBLEM, ["choice"], ("a", "b"), solve=answers(a=one, b=other))


def test_a_backend_that_proves_nothing_has_no_say() -> None:
    def solve(program: Any, backend: str, *, limits: Any) -> Solution:
        proven = backend != "slow"
        return Solution(
            Status.OPTIMAL if proven else Status.FEASIBLE,
            Stop.PROVEN if proven else Stop.WORK,
            objective=5.0 if proven else 99.0,
        )

    assert agreement(PROBLEM, ["choice"], ("a", "slow", "b"), solve=solve) == {"choice": ("a", "b")}
    assert agreement(PROBLEM, ["choice"], ("a", "slow"), solve=solve) == {}


def test_real_backends_agree() -> None:
    assert agreement(PROBLEM, ["choice"]) == {"choice": ("highs", "cpsat")}
