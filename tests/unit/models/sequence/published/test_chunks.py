"""Consecutive cuts against every cut there is."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.sequence.published.chunks import consecutive


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.data())
def test_the_largest_part_is_as_small_as_any_cut_makes_it(tokens, data) -> None:
    count = data.draw(st.integers(1, len(tokens)))
    cut = consecutive(np.array(tokens), count).tolist()
    assert (cut[0], cut[-1], len(cut)) == (0, len(tokens), count + 1)
    assert all(a < b for a, b in itertools.pairwise(cut))

    def largest(ends) -> int:
        return max(sum(tokens[a:b]) for a, b in itertools.pairwise(ends))

    inner = itertools.combinations(range(1, len(tokens)), count - 1)
    assert largest(cut) == min(largest((0, *ends, len(tokens))) for ends in inner)
