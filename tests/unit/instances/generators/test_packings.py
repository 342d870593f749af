from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.instances.generators.packings import perfect_packing
from mapc.models.allocation.exact import place
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.verify import verify


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(1, 60),
    st.integers(10, 70),
    st.integers(10, 70),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_a_rectangle_is_full_at_all_times(
    buffers: int, capacity: int, steps: int, pinwheels: float, seed: int
) -> None:
    count = min(buffers, capacity * steps // 4)
    problem = perfect_packing(count, capacity, steps, pinwheels, seed=seed)
    assert problem.n_buffers == count
    times, load = problem.load
    assert (times[0], times[-1]) == (0, steps)
    assert (load[:-1] == capacity).all()
    assert problem.capacity == capacity


@pytest.mark.parametrize(("buffers", "pinwheels"), [(30, 0.0), (60, 0.5), (100, 0.3)])
def test_its_buffers_fit(buffers: int, pinwheels: float) -> None:
    problem = perfect_packing(buffers, pinwheels=pinwheels, seed=1)
    answer = place(problem, nodes=100_000)
    assert answer.offset is not None
    verdict = verify(problem, AllocationPlan(answer.offset))
    assert (verdict.violations, verdict.facts["peak_bytes"]) == ((), problem.capacity)


def test_pinwheels_are_wanted_ones() -> None:
    plain, wheels = (perfect_packing(5, pinwheels=part, seed=2) for part in (0.0, 1.0))
    # of five pieces four touch an edge of time, two by each
    assert sorted(np.bincount(wheels.lower == 0)) == [2, 3]
    assert sorted(np.bincount(wheels.upper == 1024)) == [2, 3]
    again = perfect_packing(5, pinwheels=0.0, seed=2)
    assert np.array_equal(plain.size, again.size)
    assert perfect_packing(9, slack=0.25).capacity == 1280


def test_options_out_of_range() -> None:
    for options, message in (
        ({"buffers": 0}, "buffers 0: expected 1"),
        ({"buffers": 9, "pinwheels": 1.5}, "pinwheels 1.5: expected 0 to 1"),
        ({"buffers": 9, "capacity": 5, "steps": 5}, "buffers 9: too many .* at most 6"),
    ):
        with pytest.raises(UsageError, match=message):
            perfect_packing(**options)  # type: ignore[arg-type]
