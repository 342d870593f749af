"""All pictures of sequence plans together: the library, broken plans, and very many groups."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.instances.generators.lengths import generate
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import ULYSSES, SequenceProblem
from mapc.models.sequence.published.baselines import (
    megatron_greedy,
)
from mapc.models.sequence.verify import verify
from mapc.quality.index import read_index
from mapc.quality.suite import Case
from mapc.visual.pictures.sequence import sections
from mapc.visual.pictures.sequence_gantt import MOST_RECTANGLES
from mapc.visual.pictures.sequence_groups import read
from mapc.visual.pictures.sequence_inside import MOST_BARS, groups, memory
from mapc.visual.view import Record
from oracles.sequence_cases import problem_of
from oracles.sequence_pictures import (
    CASE,
    MANY,
    check_well_formed,
    figures_of,
    plan,
    planned,
    rects,
    rules,
    table_of,
    view_of,
)

LIBRARY = Path(__file__).parents[4] / "instances" / "sequence"
CASES = [Case(LIBRARY, "sequence", entry) for entry in read_index(LIBRARY).instances]


class TestManyGroups:
    """More than can be drawn one by one."""

    @staticmethod
    def alike(n: int, ranks_: int, per_batch: int) -> tuple[SequenceProblem, SequencePlan]:
        """One sequence for each group of one rank, ``per_batch`` groups side by side."""
        problem = problem_of(
            [1 + k % 7 for k in range(n)],
            [(1, ULYSSES, 0.25, 1.0, 4.0, 8), (2, ULYSSES, 0.125, 0.5, 4.0, 16)],
            n_ranks=ranks_,
        )
        k = np.arange(n)
        return problem, SequencePlan(k // per_batch, np.zeros_like(k), k % per_batch, k)

    def test_neighbours_are_drawn_together_and_idle_stays_what_it_is(self) -> None:
        problem, answer = self.alike(12_000, 8192, 6000)
        figure = figures_of(view_of(problem, answer))["gantt"]
        drawn = rects(figure)
        assert len(drawn) == 3000
        check_well_formed(figure)
        facts = verify(problem, answer).facts
        area_ = sum((x1 - x0) * (y1 - y0) for x0, x1, y0, y1, _ in drawn)
        paid = facts["step_ms"] * problem.n_ranks
        assert 1 - area_ / paid == pytest.approx(facts["idle_rank_share"], rel=1e-12)
        assert {y1 - y0 for _, _, y0, y1, _ in drawn} == {4.0}
        assert "Up to 4 neighbouring groups" in figure.note
        # the first four have 1 to 4 tokens: 4 + 0.25 s**2 + s
        assert drawn[0][4] == (
            "micro-batch 0; 4 groups of degree 1, ranks 0 to 3; 4 sequences, longest 4 tokens; "
            "5.25 ms to 12 ms"
        )

    def test_micro_batches_without_end_are_cut(self) -> None:
        problem, answer = self.alike(6000, 2, 1)
        view = view_of(problem, answer)
        figure = figures_of(view)["gantt"]
        assert len(rects(figure)) == MOST_RECTANGLES
        assert "Only the first 5,000 of 6,000 micro-batches are drawn." in figure.note
        assert rects(figure, coloured=False) == []  # nor are sequences
        assert rules(figure, "plan")[0].at == view.objective
        assert len(table_of(figure).rows) < 6000
        assert "6,000" in table_of(figure).note
        check_well_formed(figure)

    def test_bars_of_every_few_groups_with_the_slowest(self) -> None:
        problem, answer = self.alike(12_000, 8192, 6000)
        figure = groups(read(problem, answer))
        drawn = sorted(rects(figure))
        assert 0 < len(drawn) <= MOST_BARS
        assert [r[0] for r in drawn] == list(range(len(drawn)))
        assert drawn[0][3] == 4 + 0.25 * 49 + 7
        assert "One of 8 groups" in figure.note

    def test_bars_of_micro_batches_without_end(self) -> None:
        problem, answer = self.alike(6000, 2, 1)
        for figure in (groups(read(problem, answer)), memory(read(problem, answer))):
            assert len(rects(figure)) == MOST_BARS
            assert "first 1,500 micro-batches" in figure.note

    def test_baselines_are_left_out_with_a_word(self) -> None:
        problem, answer = self.alike(6000, 2, 1)
        figure = figures_of(view_of(problem, answer))["comparison"]
        assert [row[0] for row in table_of(figure).rows] == ["this plan"]
        assert "not computed at this size" in figure.note

    def test_a_large_cluster(self) -> None:
        problem = generate(4096, 32_768, seed=1)
        answer = megatron_greedy(problem)
        assert answer is not None
        found = figures_of(view_of(problem, answer))
        for figure in found.values():
            check_well_formed(figure)
        drawn = rects(found["gantt"])
        assert len(drawn) == len(answer.mode)
        assert max(r[1] for r in drawn) == verify(problem, answer).objective
        assert "every 128 nodes" in found["gantt"].note


class TestSections:
    def test_nothing_without_a_plan_that_can_be_replayed(self) -> None:
        broken = plan([0], [9], [0], [0] * 6)
        view = view_of(CASE, broken)
        assert view.objective is None
        assert sections(view) == ()
        assert sections(dataclasses.replace(view, plan=None)) == ()

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_plans_of_the_library(self, case: Case) -> None:
        problem, best = case.problem(), case.entry.best
        assert best is not None
        answer = case.best_plan(problem)
        view = view_of(problem, answer, record=Record(bound=best.bound))
        assert view.objective == best.objective
        found = figures_of(view)
        assert list(found) == ["gantt", "lengths", "groups", "memory", "comparison"]
        for figure in found.values():
            check_well_formed(figure)
        drawn = rects(found["gantt"])
        assert len(drawn) == len(answer.mode)
        assert max(r[1] for r in drawn) == view.objective
        assert sum(r[3] - r[2] for r in rects(found["lengths"])) == problem.n_sequences

    def test_the_library_is_there(self) -> None:
        assert len(CASES) > 20

    @given(planned(), st.data())
    @MANY
    def test_broken_plans_are_drawn_as_far_as_they_go(
        self, case: tuple[SequenceProblem, SequencePlan], data: st.DataObject
    ) -> None:
        problem, answer = case
        whole = st.one_of(st.integers(-3, 9), st.sampled_from((-(2**62), 2**63 - 1)))
        columns = {name: getattr(answer, name).copy() for name in ("micro_batch", "first_rank")}
        for column in columns.values():
            column[data.draw(st.integers(0, len(column) - 1))] = data.draw(whole)
        group = np.array([data.draw(st.integers(0, len(answer.mode) - 1)) for _ in answer.group])
        view = view_of(problem, dataclasses.replace(answer, group=group, **columns))
        found = figures_of(view)
        assert set(found) >= {"gantt", "lengths"}
        for figure in found.values():
            check_well_formed(figure)
        n_ranks = problem.n_ranks
        outside = sum(
            first >= n_ranks or first + int(problem.cost.degree[mode]) <= 0
            for first, mode in zip(
                columns["first_rank"].tolist(), answer.mode.tolist(), strict=True
            )
        )
        assert len(rects(found["gantt"])) == len(answer.mode) - outside
        assert ("outside the cluster" in found["gantt"].note) == bool(outside)

    def test_costs_of_nothing(self) -> None:
        problem = problem_of([3, 4], [(1, ULYSSES, 0.0, 0.0, 0.0, 8)], n_ranks=1)
        for figure in figures_of(view_of(problem, plan([0], [0], [0], [0, 0]))).values():
            check_well_formed(figure)

    def test_the_same_twice(self) -> None:
        problem = generate(64, 16, seed=3)
        answer = megatron_greedy(problem)
        assert answer is not None
        first, again = (sections(view_of(problem, answer)) for _ in range(2))
        assert repr(first) == repr(again)
