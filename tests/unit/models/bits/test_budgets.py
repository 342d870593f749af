from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.models.bits.budgets import apply_budgets, parse_budget
from mapc.models.bits.problem import BitsProblem
from oracles.bits_bruteforce import choices, costs_of, problem_of, small_bits_problems

ROWS = [
    [(0, 4.0, (40, 3, 1)), (1, 1.0, (80, 1, 2))],
    [(0, 2.0, (41, 2, 1)), (1, 0.5, (83, 3, 2)), (2, 0.0, (1000, 9, 4))],
]


def model(**changes) -> BitsProblem:
    options = {
        "resources": ("size", "time", "memory"),
        "units": ("bits", "us", "bytes"),
        "weights": [10, 13],
        "forbidden": [4],
    }
    return problem_of(ROWS, [None, 5, None], **{**options, **changes})


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("size=4.5bpw", 103),  # 103.5
        ("size=4bpw", 92),
        ("memory=4.5bpw", 12),  # 12.9375 bytes
        ("size=0.1KiB", 819),  # 819.2 bits
        ("memory=0.1KiB", 102),
        ("size=1MB", 8_000_000),
        ("size=2B", 16),
        ("size=1.5mib", 12_582_912),
        ("size=0.8x", 130),  # 130.4
        ("time=2x", 12),
        ("size=30%range", 105),  # 81 + 24.6
        ("size=12.5%range", 91),
        ("size=100%range", 163),
        ("size=0.25", 101),  # 81 + 20.5
        ("size=0.0", 81),
        ("size=1.0", 163),
        ("size=1", 1),
        ("size=0", 0),
        ("time=7", 7),
        (" size = 25 ", 25),
        ("size=none", None),
        ("size=NONE", None),
    ],
)
def test_amounts(text: str, budget: int | None) -> None:
    problem = model()
    name = text.partition("=")[0].strip()
    assert parse_budget(problem, text) == (problem.resources.index(name), budget)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size", "expected RESOURCE=AMOUNT, e.g. size=4.5bpw"),
        ("=3", "expected RESOURCE=AMOUNT"),
        ("4.5bpw", "expected RESOURCE=AMOUNT"),
        ("bops=3", "no resource 'bops'; expected size, time, memory"),
        ("size=", "not an amount; expected 4.5bpw, 100MiB, 0.8x"),
        ("size=-1", "not an amount"),
        ("size=1e6", "not an amount"),
        ("size=nan", "not an amount"),
        ("size=4.5 bits", "not an amount"),
        ("size=30%", "not an amount"),
        ("size=" + "9" * 50, "not an amount"),
        ("size=\u0661", "not an amount"),
        ("size=1.5", "beyond the costliest choice; expected a fraction from 0 to 1"),
        ("size=120%range", "beyond the costliest choice"),
        ("time=4bpw", "'time' is in us, not in bits or bytes; expected 0.8x"),
        ("time=4KiB", "'time' is in us, not in bits or bytes"),
        ("size=9999999TiB", r"above 2**62 bits"),
    ],
)
def test_what_is_no_budget(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budget(model(), text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"budget {text[:60]!r}: ")
    assert "\n" not in str(caught.value)


def test_bits_per_weight_need_weights() -> None:
    with pytest.raises(UsageError, match="group 'g1' takes 'size' and has no weights"):
        parse_budget(model(weights=[10, 0]), "size=4bpw")
    free = problem_of(
        [ROWS[0], [(0, 1.0, (0, 1, 1))]],
        [None] * 3,
        resources=("size", "time", "memory"),
        units=("bits", "us", "bits"),
        weights=[10, 0],
    )
    assert parse_budget(free, "size=4bpw") == (0, 40)


def test_apply() -> None:
    problem = model()
    changed = apply_budgets(problem, ["size=4bpw", "time=none"])
    assert changed.budget == (92, None, None)
    assert problem.budget == (None, 5, None)
    assert apply_budgets(problem, []) is problem
    with pytest.raises(UsageError, match=r"'size' has one already; expected every resource once"):
        apply_budgets(problem, ["size=4bpw", "size=3"])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(small_bits_problems(resources=(1, 2)), st.integers(0, 100), st.integers(0, 1))
def test_shares_of_the_range_and_of_the_costliest(problem, percent: int, which: int) -> None:
    at = which % len(problem.resources)
    free = problem.with_budget([None] * len(problem.resources))
    costs = [costs_of(free, choice)[at] for choice in choices(free)]
    low, high = min(costs), max(costs)
    name = problem.resources[at]
    level = Fraction(percent, 100)
    assert parse_budget(problem, f"{name}={percent}%range") == (at, int(low + level * (high - low)))
    assert parse_budget(problem, f"{name}={percent / 100:.2f}x") == (at, int(level * high))
