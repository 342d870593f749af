from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.visual.figure import ROLES
from mapc.visual.plots_style import (
    ALIKE,
    DASHED,
    DASHES,
    HATCHES,
    apart,
    colour,
    darker,
    lightness,
)

CHECKED = settings(max_examples=200, deadline=None, derandomize=True)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_colour(role):
    assert 0 <= lightness(colour(role)) <= 100
    assert lightness(darker(colour(role))) < lightness(colour(role))


def test_lightness_is_that_of_greys():
    assert lightness("#000000") == 0
    assert lightness("#ffffff") == pytest.approx(100)
    assert lightness("#777777") == pytest.approx(50, abs=0.1)  # by CIE, 50.03
    assert lightness("#00ff00") > lightness("#ff0000") > lightness("#0000ff")


@pytest.mark.parametrize("ways", [HATCHES, DASHES, DASHED])
@CHECKED
@given(roles=st.lists(st.sampled_from(ROLES), max_size=9))
def test_what_is_alike_in_grey_is_drawn_in_another_way(ways, roles):
    found = apart(roles, ways)
    assert list(found) == list(dict.fromkeys(roles))
    assert not roles or found[roles[0]] == ways[0]
    for one, other in combinations(found, 2):
        near = abs(lightness(colour(one)) - lightness(colour(other))) < ALIKE
        # the last way is that of all for whom there is no other
        assert not near or found[one] != found[other] or found[one] == ways[-1]


def test_the_roles_that_meet_most_have_ways_enough():
    classes = apart([f"c{i}" for i in range(1, 9)], HATCHES)
    for one, other in combinations(classes, 2):
        near = abs(lightness(colour(one)) - lightness(colour(other))) < ALIKE
        assert not near or classes[one] != classes[other]
