"""Addresses for residencies: the greedy packer, then the search, then the proof."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.allocation import exact
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify
from mapc.models.memory import methods
from mapc.models.memory.addresses import Rectangles
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.schedule import Schedule
from mapc.models.memory.verify import verify as verify_memory
from oracles.allocation_bruteforce import ABOVE_LOAD, problem_of, small_problems, smallest_peak
from oracles.memory_cases import chain_with_skip

NONE = np.zeros(0, dtype=np.int64)


def rectangles(problem: AllocationProblem, room: int) -> Rectangles:
    """Residencies with the lifetimes of buffers."""
    graph = SimpleNamespace(name="case")
    memory = SimpleNamespace(room=room, alignment=problem.alignment, graph=graph)
    schedule = SimpleNamespace(problem=memory, order=NONE)
    shape = (problem.lower, problem.upper, problem.size)
    every = np.arange(problem.n_buffers)
    return Rectangles(schedule, every, *shape[:2], every > 0, NONE, *shape)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(small_problems(), st.integers(0, 2))
def test_attempts_find_or_prove(problem: AllocationProblem, below: int) -> None:
    best = smallest_peak(problem)
    room = max(0, best - below * problem.alignment)
    offset, impossible = rectangles(problem, room).attempt(0, 1)
    assert impossible == (room < best)
    assert (offset is None) == impossible
    if offset is not None:
        verdict = verify(problem, AllocationPlan(offset))
        assert not verdict.violations
        assert verdict.objective <= room


@pytest.mark.parametrize(("buffers", "load", "best"), ABOVE_LOAD)
def test_what_greedy_leaves_is_searched(
    buffers: list[tuple[int, int, int]], load: int, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rectangles, "_pack", lambda *_: None)
    problem = problem_of(buffers)
    assert rectangles(problem, load).attempt(0, 1) == (None, True)
    assert rectangles(problem, load).attempt(0, 1, nodes=0) == (None, False)
    assert rectangles(problem, load).attempt(0, 1, done=lambda: True) == (None, False)
    monkeypatch.setattr(exact, "ready", lambda: True)
    assert rectangles(problem, best).place(0, 1) is not None
    monkeypatch.setattr(exact, "ready", lambda: False)
    assert rectangles(problem, best).place(0, 1) is None


@pytest.mark.parametrize(("capacity", "impossible"), [(10, False), (9, True)])
def test_kept_links_are_placed_or_refuted_without_a_solver(
    capacity: int, impossible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All links of the chain need 10 bytes; below that, the search says so, not a solver."""
    monkeypatch.setattr(Rectangles, "_pack", lambda *_: None)
    problem = chain_with_skip(capacity)
    schedule = Schedule(problem, problem.graph.given_order)
    proposed: list[str] = []

    def propose(plan: MemoryPlan, source: str) -> None:
        assert verify_memory(problem, plan).violations == ()
        proposed.append(source)

    search = SimpleNamespace(
        seed=0, deterministic=True, done=lambda: False, propose=propose, solve=pytest.fail
    )
    keep = np.ones(len(schedule.links[0]), dtype=np.bool_)
    assert methods.place(schedule, keep, search, "here") is impossible  # type: ignore[arg-type]
    assert proposed == ["here, repaired" if impossible else "here"]
