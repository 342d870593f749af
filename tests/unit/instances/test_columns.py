import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.instances.columns import check_indices, check_length, int64, mask


def test_an_empty_column_keeps_its_type():
    assert int64([]).dtype == np.int64
    assert mask([], 3, "$.x").tolist() == [False] * 3
    assert mask([], 0, "$.x").dtype == np.bool_


@given(st.lists(st.integers(-3, 6), max_size=6), st.integers(0, 4))
def test_the_first_index_outside_is_named(indices, n):
    wrong = [at for at, index in enumerate(indices) if not 0 <= index < n]
    if not wrong:
        check_indices(indices, n, "$.x")
        assert np.flatnonzero(mask(indices, n, "$.x")).tolist() == sorted(set(indices))
        return
    with pytest.raises(InstanceError) as caught:
        check_indices(indices, n, "$.x")
    at = wrong[0]
    assert str(caught.value) == f"$.x[{at}]: index {indices[at]}; expected 0 to {n - 1}"
    with pytest.raises(InstanceError):
        mask(indices, n, "$.x")


def test_a_column_of_another_length_is_named():
    check_length([1, 2], 2, "$.x")
    with pytest.raises(InstanceError, match=r"^\$\.x: 1 entries; expected 2$"):
        check_length([1], 2, "$.x")
