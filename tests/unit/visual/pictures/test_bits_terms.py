"""Colours of formats, units of resources, axes of losses."""

from __future__ import annotations

import numpy as np
import pytest

from mapc.models.bits.heuristics import uniform_table
from mapc.visual.figure import Axis, column
from mapc.visual.pictures.bits_terms import COLOURS, hues, loss_axis, measures, ranked, short
from oracles.bits_bruteforce import problem_of


def test_colours_go_with_cost_whatever_the_order_of_the_file() -> None:
    rows = [[(0, 0.0, (16,)), (1, 1.0, (4,)), (2, 0.5, (8,))]]
    problem = problem_of(rows, [99], formats=("fp16", "int4", "int8", "unused"))
    order = ranked(problem, uniform_table(problem))
    assert [problem.formats[at] for at in order] == ["int4", "int8", "fp16", "unused"]
    for chosen in (0, 1):  # alike for every plan
        found = hues(problem, order, np.array([chosen]))
        assert [(hue.name, hue.role) for hue in found] == [
            ("int4", "c1"),
            ("int8", "c2"),
            ("fp16", "c3"),
            ("unused", "c4"),
        ]


def test_of_many_formats_those_in_use_have_a_colour() -> None:
    names = [f"w{i}" for i in range(12)]
    rows = [[(i, 12.0 - i, (i + 1,)) for i in range(12)] for _ in range(3)]
    problem = problem_of(rows, [999], formats=names)
    order = ranked(problem, uniform_table(problem))
    found = hues(problem, order, np.array([9, 12 + 9, 24 + 11]))
    own = [hue.name for hue in found[:-1]]
    assert len(own) == COLOURS - 1
    assert {"w9", "w11"} < set(own)
    assert own == sorted(own, key=names.index)
    assert found[-1].name == "other formats"
    covered = sorted(at for hue in found for at in hue.formats)
    assert covered == list(range(12))


def test_sizes_are_in_bytes_and_the_rest_in_its_unit() -> None:
    rows = [[(0, 1.0, (24, 3, 5))]]
    problem = problem_of(
        rows, [None, 9, None], resources=["size", "time", "work"], units=["bits", "ms", "GOP"]
    )
    time, size, work = measures(problem)
    assert (time.name, time.unit, time.shown(3).tolist()) == ("time", "ms", 3.0)
    assert (size.unit, size.shown([24]).tolist(), size.words(24)) == ("bytes", [3.0], "3 B")
    assert (work.label, work.unit, work.words(5)) == ("work (GOP)", "", "5 GOP")


@pytest.mark.parametrize(
    ("cost", "label", "shown"),
    [
        (9_999_999, "work (GOP)", 9_999_999.0),
        (10_000_000, "work (10⁶ GOP)", 10.0),
        (12_500_000_000, "work (10⁹ GOP)", 12.5),
        (2**50, "work (10¹⁵ GOP)", 2**50 / 1e15),
    ],
)
def test_long_amounts_are_told_in_powers_of_a_thousand(cost: int, label: str, shown: float) -> None:
    rows = [[(0, 1.0, (1,)), (1, 1.0, (cost,))]]
    problem = problem_of(rows, [None], resources=["work"], units=["GOP"])
    [work] = measures(problem)
    assert (work.label, work.shown([cost]).tolist()) == (label, [shown])
    assert work.words(cost) == f"{cost:,} GOP"


@pytest.mark.parametrize(
    ("losses", "log", "low"),
    [
        ([0.0, 0.0], False, 0.0),
        ([1.0, 99.0, 0.0], False, 0.0),
        ([1.0, 100.0, 0.0], True, 0.6),
        ([1.0, 1e20], True, 1e8),
        ([-2.0, 1e4], False, -2.2),
        ([5e-324, 5e-324], False, 0.0),
        ([1e308, 1.7e308], False, 0.0),
    ],
)
def test_the_axis_of_losses(losses: list[float], log: bool, low: float) -> None:
    axis = loss_axis("loss", column(losses))
    assert isinstance(axis, Axis)
    assert axis.log is log
    assert axis.low == pytest.approx(low)
    assert axis.low < axis.high < np.inf
    assert max(losses) <= axis.high


def test_long_names_keep_both_ends() -> None:
    name = "model.layers.0." + "x" * 200 + ".weight"
    assert len(short(name)) == 60
    assert short(name).startswith("model.layers.0.")
    assert short(name).endswith(".weight")
    assert short("conv1") == "conv1"
