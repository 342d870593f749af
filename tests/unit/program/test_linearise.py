import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.program import ALWAYS, Program
from mapc.program.linearise import linearise


def same(left, right):
    return left is right is None or left == pytest.approx(right, abs=1e-6)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(data=st.data())
def test_brute_force_highs_and_cpsat_agree(data, programs, brute_force, highs, cpsat):
    program = data.draw(programs())
    optimum = brute_force(program)
    found, values = highs(program)
    native, bound, _ = cpsat(program)
    assert same(found, optimum)
    assert same(native, optimum)
    if optimum is not None:
        assert bound <= optimum + 1e-9
        own = program.matrix
        assert own.cost @ values[: program.n_columns] + own.offset == pytest.approx(optimum)
