"""Forests folded from all sides against complete enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.bits.forest import Forest, spanning_forest


@st.composite
def forests(draw):
    n, width = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    place = draw(st.permutations(range(n)))
    edges = []
    for i in range(1, n):
        parent = draw(st.none() | st.integers(0, i - 1))
        if parent is not None:
            edges.append(draw(st.permutations([place[i], place[parent]])))
    whole = st.integers(0, 9)
    own = np.array(draw(st.lists(whole, min_size=n * width, max_size=n * width)), dtype=float)
    own = own.reshape(n, width)
    for i in range(n):
        own[i, draw(st.integers(1, width)) :] = np.inf
    size = len(edges) * width * width
    tables = np.array(draw(st.lists(whole, min_size=size, max_size=size)), dtype=float)
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    return ends, own, tables.reshape(len(edges), width, width)


def total(ends, own, tables, choice) -> float:
    between = sum(t[choice[a], choice[b]] for t, (a, b) in zip(tables, ends, strict=True))
    return sum(own[i, c] for i, c in enumerate(choice)) + between


@settings(max_examples=150, deadline=None)
@given(case=forests())
def test_total_choice_and_least_with_each_option(case) -> None:
    ends, own, tables = case
    n, width = own.shape
    folded = Forest(n, ends).solve(own, tables)
    values = {c: total(*case, c) for c in itertools.product(range(width), repeat=n)}
    best = min(values.values())
    assert folded.total == best
    assert values[tuple(folded.choice().tolist())] == best
    each = folded.with_each()
    component = components(n, ends)
    for group, option in itertools.product(range(n), range(width)):
        least = min(v for c, v in values.items() if c[group] == option)
        assert each[group, option] == least - best, component


def components(n, ends):
    label = list(range(n))
    for a, b in ends:
        label = [label[a] if x == label[b] else x for x in label]
    return label


@pytest.mark.parametrize("n", [1, 2, 3, 1000])
def test_a_chain_takes_a_logarithm_of_rounds(n: int) -> None:
    ends = np.stack([np.arange(n - 1), np.arange(1, n)], axis=1)
    forest = Forest(n, ends)
    assert len(forest.rounds) <= 8 * np.log2(n + 1)
    own = np.zeros((n, 2))
    own[0, 1] = own[-1, 0] = 10.0
    tables = np.tile(1 - np.eye(2), (n - 1, 1, 1))
    folded = forest.solve(own, tables)
    assert folded.total == (10.0 if n == 1 else 1.0)
    assert (np.diff(folded.choice()) != 0).sum() == (0 if n == 1 else 1)


def test_spanning_forest_drops_the_lightest_edge_of_a_cycle() -> None:
    ends = np.array([[0, 1], [1, 2], [0, 2], [3, 4]])
    assert spanning_forest(5, ends, np.array([5, 1, 3, 1])).tolist() == [0, 2, 3]
