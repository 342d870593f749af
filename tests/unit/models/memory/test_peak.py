"""The smallest capacity without extra traffic, with addresses, against brute force."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.errors import UsageError
from mapc.graph.operators import OperatorGraph
from mapc.models import family_of
from mapc.models.base import aimed
from mapc.models.memory.options import Options
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers.base import Status
from oracles.memory_bruteforce import brute_force, dijkstra, small_graphs
from oracles.memory_cases import chain_with_skip
from oracles.memory_options import least_cost, small_options


def smallest(problem: MemoryProblem, addresses: bool) -> int:
    """Try capacity after capacity."""
    for capacity in range(problem.smallest_capacity, int(problem.sizes.sum()) * 3 + 1):
        at = replace(problem, capacity=capacity)
        cost = brute_force(at, addresses=True) if addresses else dijkstra(at)
        if cost == 0:
            return capacity
    raise AssertionError("nothing is enough")


@settings(max_examples=40, deadline=None)
@given(graph=small_graphs(max_operators=6, max_links=7), alignment=st.sampled_from([1, 1, 2]))
def test_the_peak_lies_between_bytes_and_addresses(graph: OperatorGraph, alignment: int) -> None:
    problem = MemoryProblem(graph, alignment=alignment)
    result = mapc.solve(problem, minimize="peak", time_limit=None)
    assert not result.notes
    assert result.bound == smallest(problem, addresses=False)
    assert result.bound <= smallest(problem, addresses=True) <= result.objective
    assert (result.status is Status.OPTIMAL) == (result.objective == result.bound)
    at = replace(problem, capacity=result.objective)
    verdict = verify(at, result.plan)
    assert (verdict.violations, verdict.objective) == ((), 0)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), graph=small_graphs(max_operators=5, max_links=6))
def test_with_options(data: st.DataObject, graph: OperatorGraph) -> None:
    options = data.draw(small_options(graph))
    problem = MemoryProblem(graph, options=options)
    result = mapc.solve(problem, minimize="peak", time_limit=None)
    assert not [note for note in result.notes if "failed" in note]
    assert result.plan is not None
    verdict = verify(replace(problem, capacity=result.objective), result.plan)
    assert (verdict.violations, verdict.objective) == ((), 0)
    if result.bound > problem.smallest_capacity:  # one byte below it nothing is for free
        assert least_cost(replace(problem, capacity=int(result.bound) - 1)) != 0


def test_a_given_order_has_a_peak_of_its_own() -> None:
    free = chain_with_skip()
    kept = replace(free, options=Options(keep_order=True))
    assert mapc.solve(free, minimize="peak", time_limit=None).objective == 10
    result = mapc.solve(kept, minimize="peak", time_limit=None)
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, 10, 10)
    assert result.plan.order.tolist() == [0, 1, 2, 3]


def test_a_plan_that_spills_is_none() -> None:
    tight = chain_with_skip(capacity=9)
    plan = mapc.solve(tight, time_limit=None).plan
    family, problem = aimed(family_of(tight), tight, "peak")
    assert problem.capacity is None
    verdict = family.verify(problem, plan)
    assert verdict.violations == ("plan: extra cost 10, expected none",)
    assert verdict.objective == verdict.facts["peak_bytes"] <= 9


def test_in_words_and_in_figures() -> None:
    result = mapc.solve(chain_with_skip(capacity=6), minimize="peak", time_limit=None)
    assert str(result) == "optimal: a peak of 10 B, bound a peak of 10 B"
    assert (result.facts["minimize"], result.facts["peak_bytes"]) == ("peak", 10)
    costly = replace(chain_with_skip(), options=Options(write_cost=3))
    assert "a peak of 10 B" in str(mapc.solve(costly, minimize="peak", time_limit=None))


def test_peaks_of_buffers_are_what_they_are_without_a_capacity() -> None:
    buffers = mapc.generate("allocation", buffers=12, seed=1)
    roomy = replace(buffers, capacity=int(buffers.padded.sum()))
    assert mapc.solve(roomy, time_limit=None).objective == 0
    one = mapc.solve(roomy, minimize="peak", time_limit=None)
    other = mapc.solve(replace(buffers, capacity=None), time_limit=None)
    assert (one.objective, one.bound) == (other.objective, other.bound)
    assert np.array_equal(one.plan.offset, other.plan.offset)


def test_other_families_and_other_objectives_are_refused() -> None:
    bits = mapc.generate("bits", groups=3, formats=2)
    with pytest.raises(UsageError, match="--minimize does not apply to bits problems"):
        mapc.solve(bits, minimize="peak")
    with pytest.raises(UsageError, match="--minimize latency: expected peak"):
        mapc.solve(chain_with_skip(), minimize="latency")


def test_several_banks_are_refused() -> None:
    banked = replace(chain_with_skip(), options=Options(banks=(("a", 9), ("b", 5))))
    with pytest.raises(UsageError, match="--minimize peak asks for one capacity"):
        mapc.solve(banked, minimize="peak")


def test_what_may_be_made_again_bounds_no_peak() -> None:
    free = replace(chain_with_skip(), options=Options(recompute=((0, 0),)))
    result = mapc.solve(free, minimize="peak", time_limit=None)
    assert (result.objective, result.bound) == (10, 9)  # o0 again, for nothing, would do with 9
