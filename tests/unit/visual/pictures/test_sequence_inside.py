"""Lengths, times and memory of groups."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.verify import verify
from mapc.visual.figure import Rects
from mapc.visual.pictures.sequence_groups import read
from mapc.visual.pictures.sequence_inside import bin_edges, groups, lengths, memory
from oracles.sequence_pictures import (
    CASE,
    GOOD,
    MANY,
    planned,
    rects,
    rules,
    table_of,
)


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
