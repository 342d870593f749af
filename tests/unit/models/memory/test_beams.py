"""Beams and the tightest step as methods; bounds that are told to stop."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.models.memory import FAMILY, bounds
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.problem import MemoryProblem
from oracles.memory_branches import branches
from oracles.memory_bruteforce import dijkstra, small_problems
from oracles.memory_cases import chain_with_skip


@pytest.mark.parametrize("method", ["beam-short", "beam"])
def test_each_alone_has_a_plan(method: str) -> None:
    problem = chain_with_skip(capacity=9)
    result = mapc.solve(problem, time_limit=None, methods=[method])
    assert result.objective == 10
    assert mapc.check(problem, result.plan) == []


def test_on_an_irregular_graph_beams_are_far_better_than_eviction_and_addresses_are_found() -> None:
    problem = mapc.generate("memory", network="layered", operators=100)
    problem = FAMILY.with_capacity(problem, "M_R")
    plain = mapc.solve(problem, time_limit=None, methods=["eviction"])
    beams = mapc.solve(problem, time_limit=None, methods=["eviction", "beam"])
    assert mapc.check(problem, beams.plan) == []
    assert 3 * beams.objective < 2 * plain.objective


def test_a_randomly_wired_network_is_solved_by_a_beam_and_the_tightest_step() -> None:
    problem = mapc.generate("memory", network="randwire", seed=1, fuse=True)
    problem = FAMILY.with_capacity(problem, "M_R")
    result = mapc.solve(problem, time_limit=None, methods=["eviction", "tightest-step", "beam"])
    assert (result.status.value, result.objective) == ("optimal", 244_608)
    assert result.bound_method == "tightest step"


@settings(max_examples=40, deadline=None)
@given(problem=st.one_of(branches(), small_problems()), after=st.integers(0, 12))
def test_bounds_that_are_told_to_stop_still_hold(problem: MemoryProblem, after: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "ASK", 1)
        asked = count()
        spans = ForcedSpans(problem, lambda: next(asked) >= after)
        optimum = dijkstra(problem)
        assert optimum is not None
        found = spans.single_operator_bound()
    assert found <= ForcedSpans(problem).single_operator_bound() <= optimum
