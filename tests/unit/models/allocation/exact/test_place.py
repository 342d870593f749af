from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.errors import UsageError
from mapc.models.allocation.exact import Placing, place
from mapc.models.allocation.exact.place import KERNELS
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify
from mapc.solvers.base import Status
from oracles.allocation_bruteforce import (
    ABOVE_LOAD,
    cpsat,
    problem_of,
    small_problems,
    smallest_peak,
)

REPO = Path(__file__).parents[5]
DATA = Path(os.environ.get("MAPC_DATA", REPO.parent / "shared" / "data")) / "memory"


def saturated(seed: int, n: int, capacity: int, alignment: int = 1) -> AllocationProblem:
    """As many bytes alive as there can be, nearly always: seldom placed with ease."""
    rng = np.random.default_rng(seed)
    time, free = 0, capacity
    alive: list[tuple[int, int]] = []
    rows: list[tuple[int, int, int]] = []
    while len(rows) < n:
        while free and len(rows) < n:
            size = min(free, int(rng.integers(1, max(2, capacity * 4 // 5) + 1)))
            end = time + int(rng.geometric(0.2))
            rows.append((time, end, size))
            alive.append((end, size))
            free -= size
        time = min(end for end, _ in alive)
        free += sum(size for end, size in alive if end <= time)
        alive = [one for one in alive if one[0] > time]
    return problem_of(rows, alignment=alignment)


@st.composite
def near_misses(draw: st.DrawFn) -> AllocationProblem:
    """A case that needs more than its load, in other units and times, less or more a buffer."""
    rows = [list(row) for row in draw(st.sampled_from(ABOVE_LOAD))[0]]
    if draw(st.booleans()):
        rows = [[-upper, -lower, size] for lower, upper, size in rows]
    k = draw(st.integers(0, len(rows) - 1))
    rows[k][2] += draw(st.integers(-1, 1))
    if draw(st.booleans()):
        rows.pop(draw(st.integers(0, len(rows) - 1)))
    scale = draw(st.sampled_from([1, 3]))
    cut = [(lower, upper, scale * size) for lower, upper, size in rows if size > 0]
    return problem_of(cut, alignment=draw(st.sampled_from([1, 2])))


def check(problem: AllocationProblem, capacity: int, offset: np.ndarray) -> None:
    fixed = replace(problem, capacity=capacity)
    assert verify(fixed, AllocationPlan(offset)).violations == ()


def holds_at(problem: AllocationProblem, best: int, seed: int, table: bool) -> None:
    answer = place(problem, capacity=best, seed=seed, table=table)
    assert answer.offset is not None
    check(problem, best, answer.offset)
    if best:
        answer = place(problem, capacity=best - 1, seed=seed, table=table)
        assert answer.offset is None
        assert answer.proven_infeasible


@settings(max_examples=60, deadline=None, derandomize=True)
@given(small_problems(), st.integers(0, 3), st.booleans())
def test_fits_the_smallest_peak_and_nothing_below(
    problem: AllocationProblem, seed: int, table: bool
) -> None:
    holds_at(problem, smallest_peak(problem), seed, table)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(near_misses(), st.integers(0, 3), st.booleans())
def test_proves_what_only_search_can(problem: AllocationProblem, seed: int, table: bool) -> None:
    holds_at(problem, smallest_peak(problem), seed, table)


def test_agrees_with_a_constraint_solver_where_nothing_is_easy() -> None:
    infeasible = 0
    for seed in range(60):
        problem = saturated(seed, 18 + seed % 8, 12 + seed % 13, 1 + 3 * (seed % 5 == 0))
        capacity = problem.max_load
        while True:
            answer = place(problem, capacity=capacity, seed=seed, table=seed % 3 > 0)
            known = cpsat(no_overlap_2d(replace(problem, capacity=capacity))[0]).status
            assert known is not Status.UNKNOWN
            assert answer.proven_infeasible == (known is Status.INFEASIBLE)
            if answer.offset is not None:
                check(problem, capacity, answer.offset)
                break
            infeasible += 1
            capacity += problem.alignment
    assert infeasible >= 3


def test_interrupted_and_gone_on_with_is_the_same_search() -> None:
    problem = saturated(3, 60, 40)
    capacity = problem.max_load
    whole = place(problem, capacity=capacity, seed=5, nodes=3000)
    parts = Placing(problem, capacity=capacity, seed=5)
    while not parts.settled and parts.nodes < 3000:
        parts.go_on(min(7, 3000 - parts.nodes))
    assert (parts.placed.nodes, parts.placed.restarts) == (whole.nodes, whole.restarts)
    assert parts.placed.proven_infeasible == whole.proven_infeasible
    assert np.array_equal(parts.placed.offset, whole.offset)


def test_nodes_and_done_end_it() -> None:
    problem = problem_of(ABOVE_LOAD[0][0])
    assert place(problem, capacity=8, nodes=2).nodes == 2
    assert place(problem, capacity=8, done=lambda: True).nodes == 0
    assert not place(problem, capacity=8, nodes=2).proven_infeasible


def test_a_short_trail_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    from mapc.models.allocation.exact import setup

    problem = saturated(3, 60, 40)
    usual = place(problem, capacity=problem.max_load, seed=1, nodes=2000)
    monkeypatch.setattr(setup, "TRAIL", 1)
    monkeypatch.setattr(setup, "REASONS", 1)  # coarser reasons: another way to the same end
    short = Placing(problem, capacity=problem.max_load, seed=1)
    answer = short.go_on()
    assert short.engine is not None
    assert len(short.engine.arrays.core[3]) > len(problem.size) + 1
    assert (answer.offset is None) == (usual.offset is None)


def test_without_reasons_it_is_as_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("mapc.models.allocation.exact.place")
    monkeypatch.setattr(module, "MANY", 0)
    monkeypatch.setattr(module, "JUMPS_EVERY", 10**9)
    for buffers, load, best in ABOVE_LOAD:
        problem = problem_of([*buffers, *((a + 7, b + 7, s) for a, b, s in buffers)])
        assert place(problem, capacity=load, table=False).proven_infeasible
        assert place(problem, capacity=best).offset is not None


def test_edges() -> None:
    empty = problem_of([(0, 3, 0), (1, 2, 0)])
    assert place(empty, capacity=0).offset is not None
    assert place(problem_of([]), capacity=0).offset is not None
    one = problem_of([(0, 3, 5)], alignment=4)
    assert place(one, capacity=8).offset is not None
    assert place(one, capacity=7).proven_infeasible
    huge = problem_of([(0, 3, 2**50), (1, 4, 2**50 - 1), (2, 5, 1)], capacity=2**51)
    answer = place(huge)
    assert answer.offset is not None
    check(huge, 2**51, answer.offset)
    assert place(huge, capacity=2**51 - 1).proven_infeasible
    with pytest.raises(UsageError, match="no capacity"):
        place(one)


def test_reads_no_more_than_it_may() -> None:
    """Sections of unequal regions: independent parts and buffers that end as others begin."""
    rows = [(0, 2, 3), (2, 4, 3), (1, 3, 2), (10, 12, 5), (11, 13, 1), (12, 14, 4), (20, 21, 1)]
    problem = problem_of(rows)
    answer = place(problem, capacity=6)
    assert answer.offset is not None
    check(problem, 6, answer.offset)


@pytest.mark.skipif(not DATA.exists(), reason="MAPC_DATA has no memory/")
@pytest.mark.parametrize("name", list("BCDFGHIJK"))
def test_real_buffers_fit_exactly(name: str) -> None:
    problem = mapc.read(DATA / f"{name}.1048576.csv")
    answer = place(problem, capacity=1048576, nodes=60_000)
    assert answer.offset is not None
    check(problem, 1048576, answer.offset)


def test_plain_python_searches_alike() -> None:
    problem = saturated(3, 16, 20)
    compiled = place(problem, capacity=problem.max_load, seed=2)
    code = (
        "import sys, json; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from test_place import saturated\n"
        "from mapc.models.allocation.exact import place\n"
        "p = saturated(3, 16, 20)\n"
        "r = place(p, capacity=p.max_load, seed=2)\n"
        "print(r.nodes, r.restarts, r.proven_infeasible,"
        " None if r.offset is None else r.offset.tolist())\n"
    )
    folders = f'["{Path(__file__).parent}", "{REPO / "tests"}"]'
    out = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, folders],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    offset = None if compiled.offset is None else compiled.offset.tolist()
    told = (compiled.nodes, compiled.restarts, compiled.proven_infeasible, offset)
    assert out.strip() == " ".join(str(one) for one in told)
    assert KERNELS.endswith("_kernels")
