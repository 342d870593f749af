"""The published HAWQ-V3 allocations, and what was not published: all budgets at once, the front.

What a choice loses and costs is recomputed here from the file's own decimals, in fractions; nothing
of that comes from mapc. The optima were found before mapc by two other solvers, which agreed.
"""

from __future__ import annotations

import json
import os
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.models.bits.front import points, whole
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.reduction import reduce

DATA = Path(os.environ.get("MAPC_DATA") or Path(__file__).parents[3] / "shared" / "data") / "bits"
FILE = DATA / "hawqv3_inputs.json"
PUBLISHED = {"size": "modelsize", "bops": "bops", "latency": "latency"}
LEVELS = ("0.75", "0.5", "0.25")
OPTIMA = {
    ("resnet18", "size"): (0.033441, 0.074506, 0.118300),
    ("resnet18", "bops"): (0.079965, 0.215689, 0.460424),
    ("resnet18", "latency"): (0.079965, 0.202674, 0.460424),
    ("resnet50", "size"): (0.012215, 0.031024, 0.074949),
    ("resnet50", "bops"): (0.024105, 0.056440, 0.148948),
    ("resnet50", "latency"): (0.022658, 0.054861, 0.137505),
}
CASES = [
    pytest.param(model, resource, level, optimum, id=f"{model}-{resource}-{level}")
    for (model, resource), optima in OPTIMA.items()
    for level, optimum in zip(LEVELS, optima, strict=True)
]
IMPROVED = ("resnet50", "size", "0.25", 0.083110)
"""The one published configuration that is not optimal, and what it loses."""
SIX_DIGITS = 5e-7

pytestmark = pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE.name}: set MAPC_DATA")


@cache
def inputs(model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))[model]
    return found


@cache
def figures(model: str) -> dict[str, tuple[list[Fraction], list[Fraction]]]:
    """Loss and costs of every layer at 4 and at 8 bits, as published but for common factors."""
    data = inputs(model)

    def column(key: str) -> list[Fraction]:
        return [Fraction(str(value)) for value in data[key]]

    trace = column("hutchinson_avg_trace")

    def loss(bits: int) -> list[Fraction]:
        return [t * e for t, e in zip(trace, column(f"delta_w_int{bits}_sq"), strict=True)]

    return {
        "loss": (loss(4), loss(8)),
        "size": tuple([bits * p for p in column("params_M")] for bits in (4, 8)),
        "bops": tuple([bits**2 * m for m in column("macs_M")] for bits in (4, 8)),
        "latency": tuple(column(f"latency_int{bits}_T4_ms_b8") for bits in (4, 8)),
    }


def total(model: str, what: str, bits: list[int]) -> Fraction:
    four, eight = figures(model)[what]
    return sum((eight[i] if b == 8 else four[i] for i, b in enumerate(bits)), Fraction(0))


def limit(model: str, resource: str, level: str) -> Fraction:
    """The published budget: so much of the way from all 4 bits to all 8 bits."""
    four, eight = (sum(column, Fraction(0)) for column in figures(model)[resource])
    return four + Fraction(level) * (eight - four)


def problem(model: str, *budgets: str) -> BitsProblem:
    found = mapc.read(FILE, importer="hawq", model=model, budgets=budgets)
    assert isinstance(found, BitsProblem)
    return found


def bits_of(case: BitsProblem, plan: Any) -> list[int]:
    width = {"int4": 4, "int8": 8}
    return [width[case.formats[int(f)]] for f in case.format_of[plan.option]]


def untied(model: str, bits: list[int]) -> list[list[int]]:
    return [tie for tie in inputs(model)["tied"] if len({bits[i] for i in tie}) > 1]


def published(model: str, resource: str, level: str) -> list[int]:
    bits: list[int] = inputs(model)["published_bit_config"][f"{PUBLISHED[resource]}_{level}"]
    return bits


# -- as published --------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "resource", "level", "optimum"), CASES)
def test_a_published_allocation_is_proven(
    model: str, resource: str, level: str, optimum: float
) -> None:
    case = problem(model, f"{resource}={level}")
    result = mapc.solve(case, time_limit=None)
    bits = bits_of(case, result.plan)
    assert result.status == "optimal"
    assert result.gap == 0
    assert untied(model, bits) == []
    assert total(model, resource, bits) <= limit(model, resource, level)
    assert float(total(model, "loss", bits)) == pytest.approx(optimum, abs=SIX_DIGITS)
    assert result.objective == pytest.approx(float(total(model, "loss", bits)), rel=1e-12)
    if (model, resource, level) != IMPROVED[:3]:
        assert bits == published(model, resource, level)


def test_one_published_allocation_is_improved() -> None:
    model, resource, level, loss = IMPROVED
    theirs = published(model, resource, level)
    assert float(total(model, "loss", theirs)) == pytest.approx(loss, abs=SIX_DIGITS)
    case = problem(model, f"{resource}={level}")
    ours = bits_of(case, mapc.solve(case, time_limit=None).plan)
    changed = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    assert [inputs(model)["layers"][i] for i in changed] == ["stage3.unit6.quant_convbn1"]
    assert [ours[i] for i in changed] == [8]
    assert total(model, resource, ours) <= limit(model, resource, level)


# -- what was not published ----------------------------------------------------------------------


def every_choice(model: str) -> dict[str, Any]:
    """Loss and costs of all choices of 4 or 8 bits, ties kept, as exact whole numbers."""
    n = len(inputs(model)["layers"])
    follows = {b: a for a, b in inputs(model)["tied"]}
    free = [i for i in range(n) if i not in follows]
    choices = np.arange(2 ** len(free))
    chosen = np.empty((n, len(choices)), dtype=np.bool_)
    for place, i in enumerate(free):
        chosen[i] = choices >> place & 1
    for member, first in follows.items():
        chosen[member] = chosen[first]
    found: dict[str, Any] = {"eight": chosen}
    for what, (four, eight) in figures(model).items():
        scale = np.lcm.reduce([f.denominator for f in (*four, *eight)])
        low, high = (np.array([int(f * int(scale)) for f in column]) for column in (four, eight))
        found[what] = low.sum() + (high - low) @ chosen
        found[f"{what} scale"] = int(scale)
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_all_three_budgets_at_once_beside_every_choice(level: str) -> None:
    model = "resnet18"
    every = every_choice(model)
    fits = np.ones(len(every["loss"]), dtype=np.bool_)
    for resource in PUBLISHED:
        most = limit(model, resource, level) * every[f"{resource} scale"]
        fits &= every[resource] <= most.numerator // most.denominator
    least = Fraction(int(every["loss"][fits].min()), every["loss scale"])
    case = problem(model, *(f"{resource}={level}" for resource in PUBLISHED))
    result = mapc.solve(case, time_limit=None)
    assert result.status == "optimal"
    assert total(model, "loss", bits_of(case, result.plan)) == least


@pytest.mark.parametrize("level", LEVELS)
def test_all_three_budgets_at_once_are_proven(level: str) -> None:
    model = "resnet50"
    case = problem(model, *(f"{resource}={level}" for resource in PUBLISHED))
    result = mapc.solve(case, time_limit=None)
    bits = bits_of(case, result.plan)
    assert result.status == "optimal"
    assert untied(model, bits) == []
    for resource in PUBLISHED:
        assert total(model, resource, bits) <= limit(model, resource, level)
        alone = OPTIMA[model, resource][LEVELS.index(level)]
        assert float(total(model, "loss", bits)) >= alone - SIX_DIGITS
    # a published allocation that keeps all three budgets cannot be better
    for resource in PUBLISHED:
        theirs = published(model, resource, level)
        if all(total(model, r, theirs) <= limit(model, r, level) for r in PUBLISHED):
            assert total(model, "loss", bits) <= total(model, "loss", theirs)


def pareto(every: dict[str, Any], resource: str) -> list[tuple[int, int]]:
    """Cost and loss of all choices that no other one beats, by rising cost."""
    order = np.lexsort((every["loss"], every[resource]))
    cost, loss = every[resource][order], every["loss"][order]
    better = np.append(True, loss[1:] < np.minimum.accumulate(loss)[:-1])
    return list(zip(cost[better].tolist(), loss[better].tolist(), strict=True))


@pytest.mark.parametrize("resource", PUBLISHED)
def test_the_whole_front_beside_every_choice(resource: str) -> None:
    model = "resnet18"
    every = every_choice(model)
    case = problem(model, f"{resource}=1.0x")
    reduced = reduce(case)
    front = whole(reduced)
    assert front is not None
    found = []
    for point in range(len(front)):
        bits = bits_of(case, reduced.lift(case, front.choice(point)))
        found.append(
            (
                int(total(model, resource, bits) * every[f"{resource} scale"]),
                int(total(model, "loss", bits) * every["loss scale"]),
            )
        )
    assert found == pareto(every, resource)


@pytest.mark.parametrize("resource", PUBLISHED)
def test_supported_points_are_the_convex_part_of_the_front(resource: str) -> None:
    """Every choice lies on or above the line through two neighbours, and the ends are the ends."""
    model = "resnet18"
    every = every_choice(model)
    case = problem(model, f"{resource}=1.0x")
    reduced = reduce(case)
    front = points(reduced)
    found = [bits_of(case, reduced.lift(case, front.choice(at))) for at in range(len(front))]
    corners = [
        (total(model, resource, b) * every[f"{resource} scale"], total(model, "loss", b))
        for b in found
    ]
    known = [(c, Fraction(loss, every["loss scale"])) for c, loss in pareto(every, resource)]
    assert corners[0] == known[0]
    assert corners[-1] == known[-1]
    assert set(corners) <= set(known)
    for (c0, l0), (c1, l1) in pairwise(corners):
        below = [(c, one) for c, one in known if (one - l0) * (c1 - c0) < (l1 - l0) * (c - c0)]
        assert below == []


@pytest.mark.parametrize(("model", "resource"), OPTIMA)
def test_the_front_holds_the_published_optima(model: str, resource: str) -> None:
    case = problem(model, f"{resource}=1.0x")
    reduced = reduce(case)
    front = whole(reduced)
    assert front is not None
    for level, optimum in zip(LEVELS, OPTIMA[model, resource], strict=True):
        (budget,) = (b for b in problem(model, f"{resource}={level}").budget if b is not None)
        point = front.within(budget // int(reduced.scale[0]))
        bits = bits_of(case, reduced.lift(case, front.choice(point)))
        assert total(model, resource, bits) <= limit(model, resource, level)
        assert float(total(model, "loss", bits)) == pytest.approx(optimum, abs=SIX_DIGITS)
