"""Schedules, the gap model and eviction, against brute force on a fixed order."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.memory.addresses import Rectangles, place_or_lose
from mapc.models.memory.gap import GapModel
from mapc.models.memory.online import POLICIES, Online, Policy
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from mapc.models.memory.verify import verify
from mapc.solvers import registry
from mapc.solvers.base import Limits, Status
from oracles.memory_bruteforce import brute_force, small_problems

BACKENDS = ("highs", "cpsat")


def best_keep(schedule: Schedule, backend: str, cuts: tuple = ()) -> tuple[int, np.ndarray]:
    model = GapModel(schedule, cuts)
    if not model.program.n_columns:
        return 0, np.ones(len(schedule.links[0]), dtype=np.bool_)
    solution = registry.solve(model.program, backend, limits=Limits(workers=1))
    assert solution.status is Status.OPTIMAL
    return int(solution.objective), model.kept(solution.values)


@settings(max_examples=60, deadline=None)
@given(problem=small_problems(), backend=st.sampled_from(BACKENDS))
def test_gap_model_is_the_optimum_of_its_order(problem: MemoryProblem, backend: str) -> None:
    order = problem.graph.given_order
    schedule = Schedule(problem, order)
    objective, keep = best_keep(schedule, backend)
    assert objective == brute_force(problem, order=order.tolist())
    assert objective == schedule.cost(keep)
    assert (schedule.needed + schedule.held(keep) <= problem.room).all()


@settings(max_examples=100, deadline=None)
@given(problem=small_problems(), by_cost=st.booleans())
def test_eviction_fits_and_is_never_below_the_optimum(
    problem: MemoryProblem, by_cost: bool
) -> None:
    order = problem.graph.given_order
    schedule = Schedule(problem, order)
    keep = evict_by_next_use(schedule, by_cost)
    assert (schedule.needed + schedule.held(keep) <= problem.room).all()
    assert schedule.cost(keep) >= brute_force(problem, order=order.tolist())
    if schedule.peak <= problem.room:
        assert keep.all()


@settings(max_examples=100, deadline=None)
@given(problem=small_problems(), data=st.data())
def test_repaired_plans_pass_the_verifier_at_the_cost_of_their_links(
    problem: MemoryProblem, data: st.DataObject
) -> None:
    schedule = Schedule(problem, problem.graph.given_order)
    keep = evict_by_next_use(schedule)
    more = data.draw(st.lists(st.booleans(), min_size=len(keep), max_size=len(keep)))
    keep &= np.array(more, dtype=np.bool_)
    plan = place_or_lose(schedule, keep)
    verdict = verify(problem, plan)
    assert verdict.violations == ()
    assert verdict.objective >= schedule.cost(keep)
    rectangles = Rectangles.of(schedule, keep)
    offset = rectangles.place(0, 5)
    if offset is not None:  # nothing had to be lost: the replay counts what the links cost
        verdict = verify(problem, rectangles.plan(offset))
        assert verdict.violations == ()
        assert verdict.objective == schedule.cost(keep)


@settings(max_examples=100, deadline=None)
@given(problem=small_problems(), policy=st.sampled_from(POLICIES))
def test_online_placement_only_ever_loses_links(problem: MemoryProblem, policy: Policy) -> None:
    schedule = Schedule(problem, problem.graph.given_order)
    keep = evict_by_next_use(schedule)
    online = Online(schedule, keep, policy)
    assert not (online.keep & ~keep).any()
    ample = replace(problem, capacity=int(problem.sizes.sum() + problem.workspaces.sum()) * 2)
    roomy = Schedule(ample, schedule.order)
    everything = np.ones(len(keep), dtype=np.bool_)
    assert Online(roomy, everything, policy).keep.all()


@settings(max_examples=50, deadline=None)
@given(problem=small_problems())
def test_losing_every_link_always_leaves_a_plan(problem: MemoryProblem) -> None:
    schedule = Schedule(problem, problem.graph.given_order)
    keep = np.zeros(len(schedule.links[0]), dtype=np.bool_)
    assert Rectangles.of(schedule, keep).place(0, 1) is not None


def test_links_and_residencies_by_hand(chain: MemoryProblem) -> None:
    schedule = Schedule(chain, np.arange(4))
    tensor, before, after = schedule.links
    # t0 is used at steps 0, 1 and 3; t1 at 1 and 2; t2 at 2 and 3
    assert tensor.tolist() == [0, 0, 1, 2]
    assert before.tolist() == [0, 1, 1, 2]
    assert after.tolist() == [1, 3, 2, 3]
    assert schedule.covers.tolist() == [False, True, False, False]
    assert schedule.held(np.ones(4, dtype=np.bool_)).tolist() == [0, 0, 5, 0]
    keep = np.array([True, False, True, True])
    of, start, stop, written = schedule.residencies(keep)
    rows = list(zip(of.tolist(), start.tolist(), stop.tolist(), written.tolist(), strict=True))
    assert rows == [
        (0, 0, 2, True),
        (0, 3, 4, False),
        (1, 1, 3, False),
        (2, 2, 4, False),
        (3, 3, 4, True),
    ]
    assert schedule.cost(keep) == 10


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cut_forbids_exactly_its_set(chain: MemoryProblem, backend: str) -> None:
    schedule = Schedule(chain, np.arange(4))
    full = np.arange(4)
    objective, keep = best_keep(schedule, backend, (full,))
    # the cheapest way out of "all four kept" is to lose t1 (2 bytes, written and loaded)
    assert objective == 4
    assert keep.tolist() == [True, True, False, True]


def test_positions_invert_orders(chain: MemoryProblem) -> None:
    schedule = Schedule(chain, np.arange(4))
    assert schedule.position[schedule.order].tolist() == [0, 1, 2, 3]
    tensor, step = schedule.uses
    assert all(a <= b for a, b in pairwise(tensor.tolist()))
    assert len(step) == len(tensor)
