"""Other plans beside this one, and the bound."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import given

from mapc.models.sequence.bounds import area
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.published.baselines import (
    best_homogeneous,
    homogeneous,
    megatron_greedy,
    static,
)
from mapc.models.sequence.verify import verify
from mapc.visual.pictures.sequence_comparison import Baseline, Bound, baselines, known_bound
from mapc.visual.view import Record
from oracles.sequence_pictures import (
    CASE,
    GOOD,
    MANY,
    figures_of,
    plan,
    planned,
    rects,
    rules,
    table_of,
    view_of,
)


class TestComparison:
    @given(planned())
    @MANY
    def test_baselines_are_what_the_verifier_says(
        self, case: tuple[SequenceProblem, SequencePlan]
    ) -> None:
        problem, _ = case
        expected = [
            verify(problem, p).objective
            for mode in range(problem.n_modes)
            if (p := homogeneous(problem, mode)) is not None
        ]
        greedy, best, largest = (f(problem) for f in (megatron_greedy, best_homogeneous, static))
        if greedy is not None:
            expected.append(verify(problem, greedy).objective)
        found = baselines(problem)
        assert [plan.ms for plan in found] == expected
        assert remarked(found, "best") == (
            [] if best is None else [verify(problem, best).objective]
        )
        assert remarked(found, "static") == (
            [] if largest is None else [verify(problem, largest).objective]
        )

    def test_bars_are_the_rows_of_the_table(self) -> None:
        figure = figures_of(view_of(CASE, GOOD, record=Record(bound=50.875)))["comparison"]
        rows = table_of(figure).rows
        assert [row[0] for row in rows] == list(figure.y.names)
        bars = sorted(rects(figure, coloured=False), key=lambda r: r[2])
        assert [r[1] for r in bars] == [row[1] for row in rows]
        assert rows[0][:4] == ("this plan", 101.75, 1.0, 0.5)
        for row in rows[1:]:
            assert isinstance(row[1], float)
            assert row[2] == row[1] / 101.75
            assert row[3] == (row[1] - 50.875) / row[1]
        assert [rule.at for rule in rules(figure, "bound")] == [50.875]

    def test_rows_of_a_comparison_join_but_for_what_is_computed(self) -> None:
        given_: tuple[Mapping[str, Any], ...] = (
            {"method": "area", "objective": None, "bound": 3.0},
            {"method": "static", "objective": 99.0},
            {"method": "flexsp", "objective": 120.5},
            {"method": "<b>own</b>", "objective": 130},
            {"method": "odd", "objective": math.nan},
            {"method": "told", "objective": "12"},
        )
        figure = figures_of(view_of(CASE, GOOD, comparison=given_))["comparison"]
        compared = [row for row in table_of(figure).rows if row[4] == "compared"]
        assert [row[:2] for row in compared] == [("FlexSP", 120.5), ("<b>own</b>", 130.0)]

    def test_bound_of_the_run_else_of_the_area(self) -> None:
        assert known_bound(view_of(CASE, GOOD, record=Record(bound=12.5))) == Bound("bound", 12.5)
        found = known_bound(view_of(CASE, GOOD))
        assert found == Bound("area bound", area.step_bound(CASE) * CASE.tick)
        assert found is not None
        assert 0 < found.ms <= 101.75

    def test_no_bound_of_a_problem_that_may_have_no_plan(self) -> None:
        crowded = dataclasses.replace(CASE, lengths=np.array([60, 60, 60]), most=1)
        answer = plan([0, 1, 2], [3, 3, 3], [0, 0, 0], [0, 1, 2])
        view = view_of(crowded, answer)
        assert view.violations
        assert known_bound(view) is None
        assert not rules(figures_of(view)["gantt"], "bound")


def remarked(found: list[Baseline], word: str) -> list[float]:
    return [plan.ms for plan in found if word in plan.remark.split(", ")]
