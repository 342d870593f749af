"""Groups over the step, against plan, verifier and loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given

from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.verify import verify
from mapc.visual.pictures.sequence_gantt import gantt
from mapc.visual.pictures.sequence_groups import read
from mapc.visual.view import Record
from oracles.sequence_pictures import (
    CASE,
    GOOD,
    MANY,
    figures_of,
    plain_groups,
    plain_ticks,
    planned,
    rects,
    rules,
    table_of,
    view_of,
)


class TestGantt:
    def test_a_known_plan(self) -> None:
        figure = figures_of(view_of(CASE, GOOD))["gantt"]
        # padded 4, 6, 8, 20, 2, 30; e.g. group 0, degree 4: 4 + 20**2 / 16 + 20 / 4 = 34 ms
        assert sorted(r[:4] for r in rects(figure)) == [
            (0.0, 15.0, 3.0, 4.0),
            (0.0, 23.5, 0.0, 2.0),
            (0.0, 34.0, 4.0, 8.0),
            (34.0, 101.75, 0.0, 4.0),
        ]
        assert figure.y.high == 8.0
        assert figure.y.down

    def test_titles_say_what_a_group_is(self) -> None:
        titles = [r[4] for r in rects(figures_of(view_of(CASE, GOOD))["gantt"])]
        assert (
            "micro-batch 0, group 1; degree 2, ranks 0 to 1; 2 sequences, longest 8 tokens; "
            "14 of 16 tokens; 23.5 ms" in titles
        )
        assert (
            "micro-batch 0, group 2; degree 1, rank 3; 2 sequences, longest 3 tokens; "
            "6 of 8 tokens; 15 ms" in titles
        )

    @given(planned())
    @MANY
    def test_rectangles_are_the_groups(self, case: tuple[SequenceProblem, SequencePlan]) -> None:
        problem, answer = case
        figure = figures_of(view_of(problem, answer))["gantt"]
        assert sorted(r[:4] for r in rects(figure)) == sorted(plain_groups(problem, answer))

    @given(planned())
    @MANY
    def test_edge_and_empty_part_are_the_verifiers(
        self, case: tuple[SequenceProblem, SequencePlan]
    ) -> None:
        problem, answer = case
        verdict = verify(problem, answer)
        figure = figures_of(view_of(problem, answer))["gantt"]
        drawn = rects(figure)
        assert max(r[1] for r in drawn) == verdict.objective == rules(figure, "plan")[0].at
        whole = verdict.facts["step_ms"] * problem.n_ranks
        empty = whole - sum((x1 - x0) * (y1 - y0) for x0, x1, y0, y1, _ in drawn)
        share = empty / whole if whole else 0.0
        assert share == pytest.approx(verdict.facts["idle_rank_share"], abs=1e-9)

    @given(planned())
    @MANY
    def test_sequences_fill_their_groups(self, case: tuple[SequenceProblem, SequencePlan]) -> None:
        problem, answer = case
        figure = figures_of(view_of(problem, answer))["gantt"]
        ribbons = rects(figure, coloured=False)
        boxes = plain_groups(problem, answer)
        assert len(ribbons) == problem.n_sequences
        seen = Counter(int(r[4].split(",")[0].split()[1]) for r in ribbons)
        assert seen == dict.fromkeys(range(problem.n_sequences), 1)
        for g, (x0, x1, y0, y1) in enumerate(boxes):
            inside = sorted(r for r in ribbons if r[4].endswith(f"in group {g}"))
            members = np.flatnonzero(answer.group == g)
            assert len(inside) == len(members)
            at = x0 + plain_ticks(problem, int(answer.mode[g]), None) * problem.tick
            for left, right, top, bottom, title in inside:
                k = int(title.split(",")[0].split()[1])
                assert left == at
                at += plain_ticks(problem, int(answer.mode[g]), k) * problem.tick
                assert right == at
                assert y0 < top < bottom < y1
            assert at == x1
            widths = [r[1] - r[0] for r in inside]
            assert widths == sorted(widths, reverse=True)

    def test_borders_of_nodes_and_micro_batches_and_the_bound(self) -> None:
        view = view_of(CASE, GOOD, record=Record(bound=50.5))
        figure = figures_of(view)["gantt"]
        quiet = {(rule.axis, rule.at) for rule in rules(figure, "quiet")}
        assert quiet == {("y", 4.0), ("x", 34.0)}
        assert [(rule.axis, rule.at) for rule in rules(figure, "bound")] == [("x", 50.5)]

    def test_one_row_for_each_micro_batch(self) -> None:
        table = table_of(figures_of(view_of(CASE, GOOD))["gantt"])
        busy = 34 * 4 + 23.5 * 2 + 15
        assert table.rows == (
            (0, 3, "1 of 4, 1 of 2, 1 of 1", 5, 40, 34.0, (272 - busy) / 272, "group 0, degree 4"),
            (1, 1, "1 of 4", 1, 30, 67.75, 0.5, "group 3, degree 4"),
        )


def test_gantt_without_a_bound_ends_with_the_step() -> None:
    figure = gantt(read(CASE, GOOD), None)
    assert figure.x.high == pytest.approx(101.75 * 1.01)
    assert not rules(figure, "bound")
