"""The smallest peak over all orders, against all orders."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.capacities import bracket_peak
from mapc.models.memory.exact import least_peak
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from oracles.memory_branches import branches
from oracles.memory_bruteforce import all_orders, small_problems

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[6] / "shared" / "data"))
GRAPHS = DATA / "memory" / "graphs"
PEAKS = {"timm_nasnetalarge": 8_547_732, "tv_densenet121": 1_806_336, "hf_bert": 589_824}
cases = st.one_of(branches(), small_problems())


def smallest(problem: MemoryProblem) -> int:
    return min(Schedule(problem, np.array(order)).peak for order in all_orders(problem.graph))


@settings(max_examples=60, deadline=None)
@given(problem=cases, closer=st.booleans())
def test_no_order_has_a_smaller_peak_and_one_has_it(problem: MemoryProblem, closer: bool) -> None:
    lower = ForcedSpans(problem).smallest_peak if closer else 0
    peak = least_peak(problem, lower=lower)
    assert peak.proven
    assert peak.bytes == peak.bound == smallest(problem)
    assert peak.order is not None
    assert problem.graph.is_topological(peak.order)
    assert Schedule(problem, peak.order).peak == peak.bytes


@settings(max_examples=40, deadline=None)
@given(problem=cases, more=st.integers(0, 2))
def test_a_known_peak_is_a_limit(problem: MemoryProblem, more: int) -> None:
    least = smallest(problem)
    peak = least_peak(problem, known=least + more)
    assert (peak.proven, peak.bound) == (True, least)
    assert (peak.order is None) == (more == 0)


@settings(max_examples=40, deadline=None)
@given(problem=cases, states=st.integers(1, 5))
def test_at_a_limit_the_bound_still_holds(problem: MemoryProblem, states: int) -> None:
    peak = least_peak(problem, states=states, done=lambda: True)
    assert problem.smallest_capacity <= peak.bound <= smallest(problem)


@settings(max_examples=40, deadline=None)
@given(problem=cases)
def test_the_bracket_closes_on_small_graphs(problem: MemoryProblem) -> None:
    bracket = bracket_peak(problem)
    assert bracket.proven
    assert bracket.upper == smallest(problem)


@pytest.mark.parametrize(("name", "peak"), PEAKS.items())
def test_networks(name: str, peak: int) -> None:
    file = GRAPHS / f"{name}.json"
    if not file.exists():
        pytest.skip(f"no {file.name}; set MAPC_DATA")
    problem = mapc.read(file)
    found = least_peak(problem)
    assert (found.bytes, found.bound, found.proven) == (peak, peak, True)
    bracket = bracket_peak(problem)
    assert (bracket.lower, bracket.upper) == (peak, peak)
