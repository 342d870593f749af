from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from hypothesis import event, given, settings
from hypothesis import strategies as st

from mapc.instances.generators.packings import perfect_packing
from mapc.kernels import load
from mapc.models.allocation.exact import place
from mapc.models.allocation.exact.setup import Arrays, Shape
from mapc.models.allocation.problem import AllocationProblem
from oracles.allocation_bruteforce import problem_of

FLOORS = "mapc.models.allocation.exact.floors_kernels"
STATE = "mapc.models.allocation.exact.state_kernels"


def module(name: str) -> Any:
    found = load(name)
    assert found is not None
    return found


class Bare:
    """The state in which nothing is placed, and what rule 4 alone makes of it."""

    def __init__(self, problem: AllocationProblem, capacity: int, low: Sequence[int]) -> None:
        self.state, self.kernels = module(STATE), module(FLOORS)
        none = np.full(problem.n_buffers, -1, dtype=np.int64)
        shape = Shape.of(problem.lower, problem.upper, problem.size, none)
        self.arrays = Arrays.empty(shape, capacity, False, 0, self.state)
        self.low = self.arrays.core[0][:-1, self.state.LOW]
        self.low[:] = low

    def floors(self) -> int:
        """Apply it to all sections."""
        at = self.arrays
        sections = len(at.core[1])
        lowest = int(self.low.min())
        return int(self.kernels.floors(0, sections, lowest, at.slots, at.near, at.core, at.reasons))


def least_addresses(problem: AllocationProblem, capacity: int, low: Sequence[int]) -> list[int]:
    """The least address of each buffer in all placements at ``low`` or above; [] if none is."""
    n, least = problem.n_buffers, []
    lower, upper, size = problem.lower, problem.upper, problem.size

    def extend(at: list[int]) -> None:
        i = len(at)
        if i == n:
            least[:] = [min(pair) for pair in zip(least or at, at, strict=True)]
            return
        for x in range(low[i], capacity - size[i] + 1):
            if all(
                lower[i] >= upper[k]
                or lower[k] >= upper[i]
                or x >= at[k] + size[k]
                or at[k] >= x + size[i]
                for k in range(i)
            ):
                extend([*at, x])

    extend([])
    return least


@st.composite
def full(draw: st.DrawFn) -> tuple[AllocationProblem, int, list[int]]:
    """A small packing, mostly perfect; its capacity; and bounds, of which one at least is 0."""
    problem = perfect_packing(
        draw(st.integers(4, 7)),
        capacity=draw(st.integers(4, 5)),
        steps=draw(st.integers(7, 9)),
        pinwheels=draw(st.sampled_from([0.0, 1.0])),
        slack=draw(st.sampled_from([0.0, 0.0, 0.0, 0.25])),
        seed=draw(st.integers(0, 10**6)),
    )
    bounds = st.sampled_from([0, 0, 1])
    low = [draw(bounds) for _ in range(problem.n_buffers)]
    low[draw(st.integers(0, len(low) - 1))] = 0
    return replace(problem, capacity=None), problem.capacity or 0, low


@settings(max_examples=60, deadline=None, derandomize=True)
@given(full())
def test_what_is_raised_lies_nowhere_below(case: tuple[AllocationProblem, int, list[int]]) -> None:
    problem, capacity, low = case
    least = least_addresses(problem, capacity, low)
    bare = Bare(problem, capacity, low)
    said = bare.floors()
    event(f"{said}")
    if said == bare.kernels.CONFLICT:
        assert not least
        return
    assert (said == bare.kernels.RAISED) == (bare.low.tolist() != low)
    assert all(x >= bound for x, bound in zip(least, bare.low, strict=False))


ROWS = [(0, 2, 1), (0, 3, 2), (2, 4, 1), (3, 4, 2)]
"""Full in a memory of 3; on the floor are either the first and the third, or the two others."""


def test_the_rule_by_hand() -> None:
    bare = Bare(problem_of(ROWS), 3, [0, 0, 0, 0])
    assert bare.floors() == bare.kernels.NOTHING
    # the third cannot be on the floor, so nothing follows the first there: it lies on the second
    bare = Bare(problem_of(ROWS), 3, [0, 0, 1, 0])
    assert bare.floors() == bare.kernels.RAISED
    assert bare.low.tolist() == [2, 0, 1, 0]
    # nor does anything lead to the third where the first is too high
    bare = Bare(problem_of(ROWS), 3, [1, 0, 0, 0])
    assert bare.floors() == bare.kernels.RAISED
    assert bare.low.tolist() == [1, 0, 2, 0]
    bare = Bare(problem_of(ROWS), 3, [0, 0, 1, 2])
    assert bare.floors() == bare.kernels.CONFLICT
    # what holds from the start is no decision's fault
    assert not bare.arrays.reasons[1][len(ROWS)].any()


def test_sections_that_are_not_full_let_everything_be() -> None:
    bare = Bare(problem_of(ROWS), 4, [0, 0, 1, 2])
    assert bare.floors() == bare.kernels.NOTHING
    assert bare.low.tolist() == [0, 0, 1, 2]


def explained(rows: list[tuple[int, int, int]], low: list[int]) -> tuple[Bare, int, Any]:
    """Apply the rule where the reason of buffer i is the set of i alone; what it says, all rows."""
    bare = Bare(problem_of(rows), 3, low)
    pool, first = bare.arrays.reasons[0], len(rows) + 1
    for i in range(len(rows)):
        bare.arrays.core[0][i, bare.state.WHY] = first + i
        pool[first + i] = np.uint64(1 << i)
    bare.arrays.core[4][bare.state.POOL] = first + len(rows)
    return bare, bare.floors(), pool


def test_reasons_are_those_of_the_sections_used() -> None:
    # one more before all and one after: full sections, but no part of the argument
    rows = [*ROWS, (-2, 0, 3), (4, 6, 3)]
    bare, said, _ = explained(rows, [0, 0, 1, 2, 0, 0])
    assert said == bare.kernels.CONFLICT
    assert int(bare.arrays.reasons[1][len(rows)][0]) == 0b011111
    bare, said, pool = explained(rows, [0, 0, 1, 0, 0, 0])
    assert said == bare.kernels.RAISED
    # that the first is not followed shows in its own sections and those after
    assert int(pool[bare.arrays.core[0][0, bare.state.WHY]][0]) == 0b101111
    bare, said, pool = explained(rows, [1, 0, 0, 0, 0, 0])
    assert said == bare.kernels.RAISED
    assert int(pool[bare.arrays.core[0][2, bare.state.WHY]][0]) == 0b011111


def test_every_second_run_takes_scarce_sections_first(monkeypatch: Any) -> None:
    module_of_place = import_module("mapc.models.allocation.exact.place")
    seen = []
    usual = module_of_place._Engine.restart

    def restart(self: Any, jump: bool, full: bool) -> bool:
        seen.append(full)
        return bool(usual(self, jump, full))

    monkeypatch.setattr(module_of_place._Engine, "restart", restart)
    monkeypatch.setattr(module_of_place, "EACH", 0)
    assert place(perfect_packing(40), nodes=6).nodes == 6
    assert len(seen) == 6
    assert sorted(seen[:2]) == [False, True]
    assert seen == seen[:2] * 3
