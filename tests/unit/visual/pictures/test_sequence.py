from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapc.instances.generators.lengths import generate
from mapc.models import family_of
from mapc.models.base import phrase_of
from mapc.models.sequence.bounds import area
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import RING, ULYSSES, SequenceProblem
from mapc.models.sequence.published.baselines import (
    best_homogeneous,
    homogeneous,
    megatron_greedy,
    static,
)
from mapc.models.sequence.verify import verify
from mapc.quality.index import read_index
from mapc.quality.suite import Case
from mapc.visual.figure import MAX_MARKS, ROLES, UNITS, Figure, Mark, Rects, Rule, Table
from mapc.visual.pictures.sequence import sections
from mapc.visual.pictures.sequence_comparison import Baseline, Bound, baselines, known_bound
from mapc.visual.pictures.sequence_gantt import MOST_RECTANGLES, gantt
from mapc.visual.pictures.sequence_groups import COLOURS, classes_of, ranks, read
from mapc.visual.pictures.sequence_inside import MOST_BARS, bin_edges, groups, lengths, memory
from mapc.visual.view import Record, View
from oracles.sequence_cases import every_plan, problem_of, small_sequence_problems

LIBRARY = Path(__file__).parents[4] / "instances" / "sequence"
CASES = [Case(LIBRARY, "sequence", entry) for entry in read_index(LIBRARY).instances]

# eight ranks in two nodes, memory for 8 tokens per rank
CASE = problem_of(
    [3, 5, 8, 20, 2, 30],
    [(d, ULYSSES, 0.25 / d, 1.0 / d, 4.0, 8 * d) for d in (1, 2, 4, 8)],
    n_ranks=8,
    node_ranks=4,
    padding=2,
)


def plan(*columns: Any) -> SequencePlan:
    return SequencePlan(*(np.array(column, dtype=np.int64) for column in columns))


GOOD = plan([0, 0, 0, 1], [2, 1, 0, 2], [4, 0, 3, 0], [2, 1, 1, 0, 2, 3])


def view_of(problem: SequenceProblem, answer: SequencePlan, **fields: Any) -> View:
    family, verdict = family_of(problem), verify(problem, answer)
    told: dict[str, Any] = {
        "label": "case",
        "kind": "sequence",
        "problem": problem,
        "plan": answer,
        "record": Record(),
        "objective": verdict.objective,
        "facts": {**family.facts(problem), **verdict.facts},
        "violations": verdict.violations,
        "phrase": phrase_of(family, problem),
    }
    return View(**(told | fields))


def figures_of(view: View) -> dict[str, Figure]:
    found = [figure for section in sections(view) for figure in section.figures]
    assert len({figure.key for figure in found}) == len(found)
    return {figure.key: figure for figure in found}


def rects(figure: Figure, *, coloured: bool = True) -> list[tuple[float, float, float, float, str]]:
    """Rectangles with their titles: of groups, or of the sequences in them."""
    return [
        (float(x0), float(x1), float(y0), float(y1), title)
        for mark in figure.marks
        if isinstance(mark, Rects) and mark.role.startswith("c") is coloured
        for x0, x1, y0, y1, title in zip(
            mark.x0, mark.x1, mark.y0, mark.y1, mark.titles, strict=True
        )
    ]


def rules(figure: Figure, role: str) -> list[Rule]:
    return [mark for mark in figure.marks if isinstance(mark, Rule) and mark.role == role]


def table_of(figure: Figure) -> Table:
    assert figure.table is not None
    return figure.table


def plain_ticks(problem: SequenceProblem, mode: int, k: int | None) -> int:
    """Ticks of a sequence in a mode, or of the fixed part: Python's numbers, one at a time."""
    cost = problem.cost
    if k is None:
        return round(float(cost.fixed[mode]) / problem.tick)
    s = float(-(-int(problem.lengths[k]) // problem.padding) * problem.padding)
    return round(
        (float(cost.quadratic[mode]) * (s * s) + float(cost.linear[mode]) * s) / problem.tick
    )


def plain_groups(
    problem: SequenceProblem, answer: SequencePlan
) -> list[tuple[float, float, float, float]]:
    """The rectangle of every group: ms and ranks, by loops."""
    times = []
    for g, mode in enumerate(answer.mode.tolist()):
        members = [k for k, of in enumerate(answer.group.tolist()) if of == g]
        times.append(
            plain_ticks(problem, mode, None) + sum(plain_ticks(problem, mode, k) for k in members)
        )
    start, begins = 0, {}
    for batch in sorted(set(answer.micro_batch.tolist())):
        begins[batch] = start
        start += max(
            t for t, b in zip(times, answer.micro_batch.tolist(), strict=True) if b == batch
        )
    found = []
    for time, batch, mode, first in zip(
        times,
        answer.micro_batch.tolist(),
        answer.mode.tolist(),
        answer.first_rank.tolist(),
        strict=True,
    ):
        x0 = begins[batch]
        stop = first + int(problem.cost.degree[mode])
        found.append((x0 * problem.tick, (x0 + time) * problem.tick, float(first), float(stop)))
    return found


def check_well_formed(figure: Figure) -> None:
    """What every renderer may rely on."""
    assert figure.x.low < figure.x.high
    assert figure.y.low < figure.y.high
    assert figure.x.unit in UNITS
    assert figure.y.unit in UNITS
    marks: list[Mark] = list(figure.marks)
    assert sum(len(m.titles) for m in marks if isinstance(m, Rects)) <= MAX_MARKS
    for mark in marks:
        assert mark.role in ROLES
        if isinstance(mark, Rects):
            assert len(mark.titles) > 0
            columns = (mark.x0, mark.x1, mark.y0, mark.y1)
            assert {len(c) for c in columns} == {len(mark.titles)}
            assert all(c.dtype == np.float64 and np.isfinite(c).all() for c in columns)
            assert (mark.x0 <= mark.x1).all()
            assert (mark.y0 <= mark.y1).all()
            assert mark.x0.min() >= figure.x.low
            assert mark.x1.max() <= figure.x.high
            assert mark.y0.min() >= figure.y.low
            assert mark.y1.max() <= figure.y.high
    if figure.table is not None:
        assert {len(row) for row in figure.table.rows} == {len(figure.table.columns)}
        assert len(figure.table.units) == len(figure.table.columns)
        assert set(figure.table.units) <= set(UNITS)


@st.composite
def planned(draw: st.DrawFn) -> tuple[SequenceProblem, SequencePlan]:
    """A small problem and one of its first plans."""
    problem = draw(small_sequence_problems(max_sequences=4))
    plans = list(itertools.islice(every_plan(problem), 13))
    if not plans:  # none fits as few micro-batches as allowed
        problem = dataclasses.replace(problem, least=1, most=None)
        plans = list(itertools.islice(every_plan(problem), 13))
    return problem, draw(st.sampled_from(plans))


MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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


class TestLengths:
    @given(planned())
    @MANY
    def test_counts_are_those_of_every_degree(
        self, case: tuple[SequenceProblem, SequencePlan]
    ) -> None:
        problem, answer = case
        seen = read(problem, answer)
        figure = lengths(seen)
        bins = {(r[0], r[1]) for r in rects(figure)}
        for mark in figure.marks:
            if not isinstance(mark, Rects):
                continue
            number = seen.classes.names.index(mark.name)
            of_class = [
                int(problem.lengths[k])
                for k in range(problem.n_sequences)
                if seen.classes.of_mode[answer.mode[answer.group[k]]] == number
            ]
            for x0, x1, y0, y1 in zip(mark.x0, mark.x1, mark.y0, mark.y1, strict=True):
                assert y1 - y0 == sum(x0 <= s < x1 for s in of_class)
            assert sum(mark.y1 - mark.y0) == len(of_class)
        for x0, x1 in bins:  # stacked without gaps or overlaps
            stack = sorted((r[2], r[3]) for r in rects(figure) if (r[0], r[1]) == (x0, x1))
            assert [low for low, _ in stack] == [0.0, *(high for _, high in stack[:-1])]
        assert sum(r[3] - r[2] for r in rects(figure)) == problem.n_sequences

    @given(st.integers(1, 10**6), st.integers(0, 10**7))
    def test_bins_hold_all_lengths_and_few_others(self, shortest: int, more: int) -> None:
        longest = shortest + more
        edges = bin_edges(shortest, longest)
        assert (np.diff(edges) > 0).all()
        assert edges[0] <= shortest
        assert edges[1] > shortest
        assert edges[-1] > longest
        assert edges[-2] <= longest
        assert len(edges) <= 40

    def test_rules_where_a_sequence_outgrows_a_degree(self) -> None:
        figure = lengths(read(CASE, GOOD))
        assert [rule.at for rule in rules(figure, "limit")] == [8.0, 16.0]

    def test_a_row_for_each_degree(self) -> None:
        table = table_of(lengths(read(CASE, GOOD)))
        assert table.rows == (
            (1, 1, 2, 2, 3, 5, 15.0),
            (2, 1, 2, 5, 8, 13, 47.0),
            (4, 2, 2, 20, 30, 50, 4 * (34.0 + 67.75)),
        )


class TestGroups:
    def test_time_and_memory_by_micro_batch_the_slowest_first(self) -> None:
        seen = read(CASE, GOOD)
        times, full = sorted(rects(groups(seen))), sorted(rects(memory(seen)))
        assert [(r[0], r[1], r[3]) for r in times] == [
            (0.0, 1.0, 34.0),
            (1.0, 2.0, 23.5),
            (2.0, 3.0, 15.0),
            (3.0, 4.0, 67.75),
        ]
        assert [r[3] for r in full] == [20 / 32, 14 / 16, 6 / 8, 30 / 32]
        assert [rule.at for rule in rules(memory(seen), "limit")] == [1.0]
        assert [rule.at for rule in rules(groups(seen), "quiet")] == [3.0]

    @given(planned())
    @MANY
    def test_the_fullest_is_the_verifiers(self, case: tuple[SequenceProblem, SequencePlan]) -> None:
        problem, answer = case
        full = rects(memory(read(problem, answer)))
        assert len(full) == len(answer.mode)
        assert max(r[3] for r in full) == verify(problem, answer).facts["memory_share"]


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


class TestColours:
    @pytest.mark.parametrize(
        ("degrees", "kinds", "names"),
        [
            ((1, 2, 4), (ULYSSES,), ("degree 1", "degree 2", "degree 4")),
            ((1, 2), (ULYSSES, RING), ("degree 1 ulysses", "degree 1 ring", *("",) * 2)),
            (
                tuple(2**i for i in range(9)),
                (ULYSSES,),
                (*(f"degree {2**i}" for i in range(7)), "degree 128 to 256"),
            ),
            (
                tuple(2**i for i in range(16)),
                (RING,),
                tuple(f"degree {4**i} to {2 * 4**i}" for i in range(8)),
            ),
            (
                tuple(2**i for i in range(5)),
                (ULYSSES, RING),
                tuple(f"degree {2**i}" for i in range(5)),
            ),
        ],
    )
    def test_a_class_for_every_mode_degree_or_few_degrees(
        self, degrees: tuple[int, ...], kinds: tuple[str, ...], names: tuple[str, ...]
    ) -> None:
        modes = [(d, kind, 0.0, 1.0, 0.0, 8 * d) for d in degrees for kind in kinds]
        problem = problem_of([3], modes, n_ranks=degrees[-1])
        classes = classes_of(problem)
        assert len(classes.names) == len(names) <= COLOURS
        assert all(a == b for a, b in zip(classes.names, names, strict=True) if b)
        assert (np.diff(classes.of_mode) >= 0).all()
        assert set(classes.of_mode.tolist()) == set(range(len(names)))
        for mode, (degree, *_) in enumerate(modes):
            words = classes.names[classes.of_mode[mode]].split()
            low, high = int(words[1]), int(words[3] if "to" in words else words[1])
            assert low <= degree <= high


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


def test_words() -> None:
    assert [ranks(3, 1), ranks(1024, 8)] == ["rank 3", "ranks 1,024 to 1,031"]


def test_gantt_without_a_bound_ends_with_the_step() -> None:
    figure = gantt(read(CASE, GOOD), None)
    assert figure.x.high == pytest.approx(101.75 * 1.01)
    assert not rules(figure, "bound")
