"""Models held to their recorded size, and backends to each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.quality.agreement import WORK, check_agreement, check_sizes, exceeds
from mapc.quality.ceilings import AGREEMENT_WORK, model_sizes
from mapc.quality.index import Best, Size
from mapc.solvers.base import Solution, Status, Stop

AGREE = {"choice": ("highs", "cpsat")}


@pytest.fixture(scope="module")
def problem() -> Any:
    return mapc.with_budgets(mapc.generate("bits", groups=6, formats=3, seed=2), ["size=4bpw"])


def best(objective: float | None, bound: float | None) -> Best:
    return Best(
        objective=objective,
        bound=bound,
        proven=objective == bound,
        method="hand",
        bound_method="thought",
        mapc="0",
        seed=0,
        date="2025-01-01",
        plan=None if objective is None else "plans/p.json",
    )


def solving(**by_backend: Solution) -> Any:
    """A registry whose backends answer as told."""

    def solve(program: Any, backend: str, limits: Any) -> Solution:
        assert limits.workers == 1
        assert limits.time is None
        return by_backend[backend]

    return solve


def answer(status: Status, objective: float | None = None, bound: float | None = None) -> Solution:
    return Solution(status, Stop.PROVEN, objective, bound)


# -- sizes -----------------------------------------------------------------------------------------


def test_recorded_sizes_are_met(problem: Any) -> None:
    found = check_sizes(problem, model_sizes(problem))
    assert (found.findings, found.smaller) == ((), ())


@pytest.mark.parametrize("key", ["rows", "columns", "nonzeros"])
def test_a_model_that_has_grown(problem: Any, key: str) -> None:
    size = model_sizes(problem, ["choice"])["choice"]
    most = Size(**{**{k: getattr(size, k) for k in Size.__struct_fields__}, key: 1})
    (finding,) = check_sizes(problem, {"choice": most}).findings
    count = getattr(size, key)
    assert (finding.check, finding.expected) == ("model choice", f"at most 1 {key}")
    assert finding.found == f"{count} {key} ({count - 1:+.1%})"


def test_a_formulation_that_is_gone(problem: Any) -> None:
    size = Size(rows=1, columns=1, nonzeros=1)
    (finding,) = check_sizes(problem, {"sudoku": size}).findings
    assert finding.found.startswith("none: ")
    (finding,) = check_agreement(problem, {"sudoku": ("highs",)}).findings
    assert finding.found.startswith("none: ")


# -- backends --------------------------------------------------------------------------------------


def test_backends_that_agree(problem: Any) -> None:
    known = mapc.solve(problem, time_limit=None)
    assert known.status == "optimal"
    found = check_agreement(problem, AGREE, best(known.objective, known.bound))
    assert found.findings == ()


def test_there_is_more_work_than_recording_allowed() -> None:
    assert WORK > AGREEMENT_WORK


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (answer(Status.OPTIMAL, 5, 5), answer(Status.OPTIMAL, 5, 5), []),
        (answer(Status.OPTIMAL, 1e6, 1e6), answer(Status.OPTIMAL, 1e6 + 0.5, 1e6), []),
        (
            answer(Status.OPTIMAL, 5, 5),
            answer(Status.OPTIMAL, 6, 6),
            ["backends prove one optimum"],
        ),
        (
            answer(Status.OPTIMAL, 5, 5),
            answer(Status.FEASIBLE, 9, 6),
            ["cpsat: proven", "no bound above a plan"],
        ),
        (
            answer(Status.OPTIMAL, 5, 5),
            answer(Status.INFEASIBLE),
            ["no plan where there is proven to be none"],
        ),
        (answer(Status.INFEASIBLE), answer(Status.INFEASIBLE), []),
        (answer(Status.OPTIMAL, 5, 5), answer(Status.UNKNOWN), ["cpsat: proven"]),
    ],
)
def test_what_backends_say(
    problem: Any, one: Solution, other: Solution, expected: list[str]
) -> None:
    solve = solving(highs=one, cpsat=other)
    found = check_agreement(problem, AGREE, solve=solve)
    assert [finding.expected for finding in found.findings] == expected


def test_a_backend_that_is_not_there(problem: Any) -> None:
    gone = Solution(Status.UNKNOWN, Stop.UNAVAILABLE, message="no module named 'ortools'")
    solve = solving(highs=answer(Status.OPTIMAL, 5, 5), cpsat=gone)
    (finding,) = check_agreement(problem, AGREE, solve=solve).findings
    assert finding.found == "cpsat: unknown, not available: no module named 'ortools'"


def test_the_plan_of_a_model_is_replayed(problem: Any) -> None:
    """The dearest option of every group is an optimum of a model without its budget."""
    honest = mapc.solvers.registry.solve

    def solve(program: Any, backend: str, limits: Any) -> Solution:
        found = honest(program, backend, limits=limits)
        values = np.zeros(program.n_columns)
        rows = program.matrix
        for row in range(rows.n_rows - 1):
            values[rows.indices[rows.indptr[row + 1] - 1]] = 1.0
        return replace(found, values=values)

    found = check_agreement(problem, {"choice": ("highs",)}, solve=solve).findings
    assert [one.expected for one in found] == ["highs: a plan that keeps the rules"]
    assert "above the budget" in found[0].found


def test_a_plan_below_what_is_proven(problem: Any) -> None:
    known = mapc.solve(problem, time_limit=None).objective
    assert known is not None
    wrong = best(2.0 * known, 2.0 * known)
    found = check_agreement(problem, {"choice": ("highs",)}, wrong).findings
    assert [one.expected for one in found] == [
        f"no plan below the proven bound {2.0 * known!r}, by thought"
    ]
    none = check_agreement(problem, {"choice": ("highs",)}, best(None, None)).findings
    assert [one.expected for one in none] == ["no plan: it is proven that there is none"]


def test_relaxations_have_no_plan_to_replay() -> None:
    problem = mapc.generate("memory", network="layered", operators=5, width=2, seed=17)
    problem = mapc.models.family_of(problem).with_capacity(problem, "M_R")
    assert check_agreement(problem, {"forced-spans": ("highs",)}).findings == ()


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [
        (5, 5, False),
        (6, 5, True),
        (10**18 + 1, 10**18, True),
        (1.0 + 1e-12, 1.0, False),
        (1.0 + 1e-6, 1.0, True),
        (4, 5.0, False),
    ],
)
def test_what_is_above_a_limit(value: float, limit: float, expected: bool) -> None:
    assert exceeds(value, limit) is expected
