"""What holds for the result of any run, beside an enumeration of all plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mapc.models.base import Verdict
from mapc.solvers.base import Number, Status
from mapc.solvers.result import Result


def judge(
    problem: Any,
    result: Result,
    optimum: Number | None,
    verify: Callable[[Any, Any], Verdict],
) -> None:
    """Assert what holds for whatever methods ran; ``optimum`` is None where there is no plan."""
    wrong = [n for n in result.notes if "failed" in n or "refused" in n or "contradicts" in n]
    assert wrong == []
    if result.plan is not None:
        verdict = verify(problem, result.plan)
        assert verdict.violations == ()
        assert verdict.objective == result.objective
    if optimum is None:
        assert result.plan is None
        return
    assert result.status is not Status.INFEASIBLE, result.reason
    if result.objective is not None:
        assert optimum <= result.objective
    if result.bound is not None:
        assert result.bound <= optimum
    if result.status is Status.OPTIMAL:
        assert result.objective == optimum
