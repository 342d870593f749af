"""Complete enumeration of one-budget cores, in Python integers, and random small ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from mapc.graph.operators import Ragged
from mapc.models.bits.reduction import Reduced

Group = Sequence[tuple[int, int]]
"""Options of a group: (cost, quanta)."""


def core_of(groups: Sequence[Group], budget: int = 0) -> Reduced:
    """One-budget core with these groups; options stand for themselves."""
    rows = [row for group in groups for row in group]
    own = np.arange(len(rows), dtype=np.int64)
    return Reduced(
        np.cumsum([0, *map(len, groups)]).astype(np.int64),
        np.array([quanta for _, quanta in rows], dtype=np.int64),
        np.array([[cost for cost, _ in rows]], dtype=np.int64),
        np.array([budget], dtype=np.int64),
        Ragged(np.arange(len(rows) + 1, dtype=np.int64), own),
    )


def all_points(groups: Sequence[Group]) -> list[tuple[int, int]]:
    """(cost, quanta) of every choice."""
    return [
        (sum(cost for cost, _ in choice), sum(quanta for _, quanta in choice))
        for choice in itertools.product(*groups)
    ]


def least(groups: Sequence[Group], budget: int) -> int | None:
    """Least quanta of a choice within the budget; None if there is none."""
    return min((q for c, q in all_points(groups) if c <= budget), default=None)


def pareto(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Points that no other one equals or beats in both, by rising cost."""
    front: list[tuple[int, int]] = []
    for cost, quanta in sorted(points):
        if not front or quanta < front[-1][1]:
            front.append((cost, quanta))
    return front


def lower_left_hull(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Vertices of the lower convex hull from the cheapest to the best point."""
    hull: list[tuple[int, int]] = []
    for c, q in pareto(points):
        while len(hull) >= 2:
            (a, p), (b, r) = hull[-2:]
            if (p - r) * (c - b) > (r - q) * (b - a):
                break
            hull.pop()
        hull.append((c, q))
    return hull


def _tied(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """All steps of one slope, so that every choice is on one line."""
    slope = draw(st.integers(1, 9))
    sizes = draw(st.lists(st.integers(0, 60), min_size=1, max_size=6))
    return [[(size * j, size * (3 - j) * slope) for j in range(3)] for size in sizes]


@st.composite
def small_knapsacks(draw: st.DrawFn) -> tuple[list[list[tuple[int, int]]], int]:
    """Groups and a budget that the cheapest choice meets.

    Small numbers, which make ties and useless options; numbers near the largest allowed; options
    along curves with noise, as losses are; one slope everywhere.
    """
    kind = draw(st.sampled_from(["small", "huge", "curve", "tied"]))
    if kind == "tied":
        groups = _tied(draw)
    elif kind == "curve":
        bits = draw(st.lists(st.integers(2, 9), min_size=1, max_size=5, unique=True))
        sizes = draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=5))
        noise = st.integers(700, 1300)
        groups = [[(s * b, s * draw(noise) * 4 ** (9 - b)) for b in bits] for s in sizes]
    else:
        cost = st.integers(0, 9) if kind == "small" else st.integers(2**50 - 40, 2**50)
        loss = st.integers(0, 9) if kind == "small" else st.integers(2**49 - 2**30, 2**49)
        option = st.tuples(st.just(0) | cost, st.just(0) | loss)
        group = st.lists(option, min_size=1, max_size=4)
        groups = draw(st.lists(group, min_size=1, max_size=5))
    low = sum(min(cost for cost, _ in group) for group in groups)
    high = sum(max(cost for cost, _ in group) for group in groups)
    return groups, draw(st.integers(low, high + 1))
