from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.instances.generators.packings import perfect_packing
from mapc.models.allocation.local.walk import Kernels, Walk, neighbours
from mapc.models.allocation.structure import overlap_matrix

ROWS = st.lists(
    st.tuples(st.integers(-4, 8), st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=14
)
Rows = Sequence[tuple[int, int, int]]


def kernels() -> Kernels:
    found = Kernels.of(None)
    assert found is not None
    return found


def walk_of(rows: Rows, seed: int = 0) -> Walk:
    begin, length, size = np.array(rows, dtype=np.int64).T
    return Walk(begin, begin + length, size.copy(), kernels(), seed)


def longest(walk: Walk, sign: int) -> list[int]:
    """Longest chains under (1) or over (-1) what is in, from all pairs."""
    at, n = walk.kernels.chains, len(walk.key)
    meets = overlap_matrix(*walk.lives)
    inside = [i for i in np.argsort(sign * walk.key) if walk.rows[at.IN, i]]
    found = [0] * n
    for place, i in enumerate(inside):
        under = [found[k] + int(walk.rows[at.SIZE, k]) for k in inside[:place] if meets[i, k]]
        found[i] = max(under, default=0)
    return [found[i] for i in range(n) if walk.rows[at.IN, i]]


def holds(walk: Walk, height: int) -> None:
    """Chains are what they are said to be, nothing overlaps, all is within the height."""
    at = walk.kernels.chains
    inside = np.flatnonzero(walk.rows[at.IN])
    assert walk.rows[at.BELOW, inside].tolist() == longest(walk, 1)
    assert walk.rows[at.ABOVE, inside].tolist() == longest(walk, -1)
    assert walk.chain.max(initial=0) <= height
    assert not walk.rows[at.MARK].any()
    meets, size = overlap_matrix(*walk.lives), walk.rows[at.SIZE]
    lowest, highest = walk.offset, height - walk.rows[at.ABOVE] - size
    for address in (lowest, highest):  # pushed down, and pushed up
        assert (address[inside] >= 0).all()
        assert ((address + size)[inside] <= height).all()
        for i in inside:
            for k in inside:
                if i < k and meets[i, k]:
                    apart = (address[i] + size[i] <= address[k], address[k] + size[k] <= address[i])
                    assert any(apart)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(ROWS)
def test_neighbours_share_a_time(rows: Rows) -> None:
    lower = np.array([begin for begin, _, _ in rows])
    upper = lower + np.array([length for _, length, _ in rows])
    start, near = neighbours(lower, upper)
    matrix = overlap_matrix(lower, upper)
    assert [near[a:b].tolist() for a, b in pairwise(start)] == [
        np.flatnonzero(row).tolist() for row in matrix
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ROWS, st.data())
def test_chains_stay_right_whatever_comes_and_goes(rows: Rows, data: st.DataObject) -> None:
    walk = walk_of(rows)
    height = data.draw(st.integers(9, 30))
    for step in range(4):
        walk.fill(height)
        holds(walk, height)
        inside = np.flatnonzero(walk.rows[walk.kernels.chains.IN])
        gone = np.array([i for i in inside if data.draw(st.booleans())], dtype=np.int64)
        walk.kernels.chains.take_out(gone, len(gone), walk.state)
        holds(walk, height)
        assert set(gone) <= set(walk.out)
        if step == 2:
            height = data.draw(st.integers(9, height))
            walk.shrink(height)
            holds(walk, height)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ROWS, st.integers(0, 10), st.data())
def test_a_buffer_goes_where_the_chain_through_it_is_shortest(
    rows: Rows, slack: int, data: st.DataObject
) -> None:
    walk = walk_of(rows)
    walk.fill(10**6)
    at = walk.kernels.chains
    u = data.draw(st.integers(0, len(rows) - 1))
    walk.kernels.chains.take_out(np.array([u]), 1, walk.state)
    meets = overlap_matrix(*walk.lives)[u]
    near = sorted(np.flatnonzero(meets), key=lambda k: walk.key[k])
    top, bottom, size = walk.rows[at.BELOW], walk.rows[at.ABOVE], walk.rows[at.SIZE]
    ways = [
        max([top[k] + size[k] for k in near[:cut]], default=0)
        + max([bottom[k] + size[k] for k in near[cut:]], default=0)
        for cut in range(len(near) + 1)
    ]
    least = int(size[u] + min(ways))
    before = int(walk.chain.max(initial=0))
    put_in = walk.kernels.places.put_in
    assert not put_in(u, least - 1, 0.0, walk.state, walk.scratch)
    assert u in walk.out
    assert put_in(u, least + slack, 0.0, walk.state, walk.scratch)
    assert walk.chain[u] == least
    assert walk.chain.max() <= max(before, least)
    holds(walk, max(before, least))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(ROWS, st.integers(9, 40), st.floats(0, 2))
def test_rounds_keep_what_is_in_within_the_height(rows: Rows, height: int, heat: float) -> None:
    walk, again = walk_of(rows, 3), walk_of(rows, 3)
    for one in (walk, again):
        one.fill(height)
        for _ in range(3):
            done = one.rounds(7, height, heat)
            holds(one, height)
            assert done == (not len(one.out))
    assert walk.offset.tolist() == again.offset.tolist()
    assert walk.out.tolist() == again.out.tolist()


def test_without_heat_rounds_never_put_more_weight_out() -> None:
    problem = perfect_packing(60, slack=0.05, seed=4)
    walk = Walk(problem.lower, problem.upper, problem.size, kernels(), 1)
    walk.fill(problem.capacity or 0)
    weights = [walk.weight[walk.out].sum()]
    for _ in range(10):
        walk.rounds(40, problem.capacity or 0, 0.0)
        weights.append(walk.weight[walk.out].sum())
    assert all(b <= a + 1e-9 for a, b in pairwise(weights))
    assert weights[-1] < weights[0]


PLAIN = """
import numpy as np
from mapc.models.allocation.local.walk import Kernels, Walk
lower = np.array([0, 1, 3, 0, 2, 4]); upper = np.array([3, 4, 6, 2, 5, 6])
walk = Walk(lower, upper, np.array([3, 2, 4, 1, 5, 2]), Kernels.of(None), 5)
walk.fill(9)
for _ in range(3):
    walk.rounds(20, 9, 0.5)
said = f"{walk.offset.tolist()} {walk.out.tolist()}"
print(said)
"""


def test_plain_python_walks_the_same_way() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PLAIN],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    names: dict[str, object] = {}
    exec(PLAIN, names)
    assert ran.stdout.strip() == names["said"]


@pytest.mark.parametrize("n", [1, 2])
def test_few_buffers(n: int) -> None:
    walk = walk_of([(0, 2, 3)] * n)
    walk.fill(3)
    assert len(walk.out) == n - 1
    assert walk.rounds(5, 3 * n, 0.1)
