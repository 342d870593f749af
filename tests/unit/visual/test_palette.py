import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.visual.figure import ROLES
from mapc.visual.page_style import GROUNDS
from mapc.visual.palette import COLOURS, HEAT, STEPS, heat_step
from oracles.contrast import contrast, luminance


def test_contrast_is_that_of_the_guideline():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_role_has_colours():
    assert set(COLOURS) == set(ROLES) - {"heat"}
    for colour in itertools.chain.from_iterable(COLOURS.values()):
        assert re.fullmatch("#[0-9a-f]{6}", colour)


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("role", ["plan", "bound", "limit", "mark", "reload", "spill", "baseline"])
def test_lines_stand_out_from_the_ground(role, theme):
    assert contrast(COLOURS[role][theme], GROUNDS["ground"][theme]) >= 3


@pytest.mark.parametrize("theme", [0, 1])
def test_scales_go_one_way(theme):
    found = [luminance(colour) for colour in HEAT[theme]]
    assert len(found) == STEPS
    assert found == sorted(found, reverse=theme == 0)
    assert contrast(HEAT[theme][0], HEAT[theme][-1]) >= 7


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.floats(0, 1), st.floats(0, 1))
def test_larger_values_have_no_lower_step(low, length, first, second):
    values = sorted((low + first * length, low + second * length))
    steps = [heat_step(value, low, low + length) for value in values]
    assert 0 <= steps[0] <= steps[1] < STEPS


def test_ends_of_a_scale():
    assert heat_step(1, 1, 2) == 0
    assert heat_step(2, 1, 2) == STEPS - 1
    assert heat_step(-5, 1, 2) == 0
    assert heat_step(99, 1, 2) == STEPS - 1
    assert heat_step(math.nan, 1, 2) == 0
    assert heat_step(3, 3, 3) == 0
