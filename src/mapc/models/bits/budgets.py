"""Budgets as people write them: ``size=4.5bpw``, ``latency=0.8x``, ``bops=30%range``.

Amounts are exact fractions, rounded down to whole units at the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mapc.errors import UsageError
from mapc.models.bits.problem import MAX_TOTAL, BitsProblem
from mapc.units import parse_bytes

FORMS = "4.5bpw, 100MiB, 0.8x, 30%range, 0.25, a whole number of its unit, or none"
"""What an amount may look like."""

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z%]*)", re.ASCII)
_PER_UNIT = {"bits": Fraction(1), "bytes": Fraction(1, 8)}
"""Units of a resource in which one bit can be counted."""


def apply_budgets(problem: BitsProblem, texts: Sequence[str]) -> BitsProblem:
    """Return the problem with budgets such as ``"size=4.5bpw"``; other budgets stay.

    Raises
    ------
    UsageError
        For a text that is no budget, an unknown resource, or one that is named twice.
    """
    budget = list(problem.budget)
    named: set[int] = set()
    for text in texts:
        resource, value = parse_budget(problem, text)
        if resource in named:
            raise UsageError(
                f"budget {text[:60]!r}: {problem.resources[resource]!r} has one already; "
                "expected every resource once"
            )
        named.add(resource)
        budget[resource] = value
    return problem.with_budget(budget) if named else problem


def parse_budget(problem: BitsProblem, text: str) -> tuple[int, int | None]:
    """Return the resource a budget text names, and its budget in the resource's unit.

    ========== =====================================================================
    4.5bpw     bits per weight, of a resource in bits or bytes
    100MiB     bytes (any size with a unit), of a resource in bits or bytes
    0.8x       times the cost of the costliest choice
    30%range   of the way from the cheapest to the costliest choice
    0.25       the same as a fraction; at most 1, with a decimal point (HAWQ's levels)
    25000000   in the resource's own unit
    none       no budget
    ========== =====================================================================

    Cheapest and costliest choices respect ties and forbidden options, not other budgets.

    Raises
    ------
    UsageError
        With what would be right.
    """
    name, equals, amount = (part.strip() for part in text.partition("="))
    if not equals or not name:
        raise UsageError(f"budget {text[:60]!r}: expected RESOURCE=AMOUNT, e.g. size=4.5bpw")
    if name not in problem.resources:
        raise UsageError(
            f"budget {text[:60]!r}: no resource {name!r}; expected "
            f"{', '.join(problem.resources) or 'none: this problem has no resources'}"
        )
    at = problem.resources.index(name)
    if amount.lower() == "none":
        return at, None
    match = _AMOUNT.fullmatch(amount) if len(amount) <= 40 else None
    if match is None:
        raise _unclear(text)
    value = _value(problem, at, text, match[1], match[2].lower())
    whole = value.numerator // value.denominator
    if whole > MAX_TOTAL:
        raise UsageError(f"budget {text[:60]!r}: above 2**62 {problem.units[at]}")
    return at, whole


def _value(problem: BitsProblem, at: int, text: str, digits: str, suffix: str) -> Fraction:
    number = Fraction(digits)
    if suffix == "bpw":
        return number * _weights(problem, at, text) * _per_bit(problem, at, text)
    low, high = (int(cost[at]) for cost in problem.cost_range)
    if suffix == "x":
        return number * high
    if suffix == "%range":
        return _between(low, high, number / 100, text)
    if suffix:
        try:
            unit = parse_bytes(f"1{suffix}")
        except UsageError:
            raise _unclear(text) from None
        return number * unit * 8 * _per_bit(problem, at, text)
    if "." in digits:
        return _between(low, high, number, text)
    return number


def _between(low: int, high: int, share: Fraction, text: str) -> Fraction:
    if share > 1:
        raise UsageError(
            f"budget {text[:60]!r}: beyond the costliest choice; expected a fraction from 0 to 1 "
            "of the range, or a whole number of the resource's unit"
        )
    return low + share * (high - low)


def _per_bit(problem: BitsProblem, at: int, text: str) -> Fraction:
    unit = problem.units[at]
    if unit not in _PER_UNIT:
        raise UsageError(
            f"budget {text[:60]!r}: {problem.resources[at]!r} is in {unit or 'no unit'}, not in "
            "bits or bytes; expected 0.8x, 30%range, 0.25 or a whole number"
        )
    return _PER_UNIT[unit]


def _weights(problem: BitsProblem, at: int, text: str) -> int:
    """Return the number of weights, where bits per weight mean something."""
    stray = (problem.weights[problem.group_of] == 0) & (problem.cost[at] > 0)
    if stray.any():
        group = problem.groups[int(problem.group_of[int(stray.argmax())])]
        raise UsageError(
            f"budget {text[:60]!r}: group {group!r} takes {problem.resources[at]!r} and has no "
            "weights to divide by; expected a size, e.g. 100MiB"
        )
    return int(problem.weights.sum())


def _unclear(text: str) -> UsageError:
    return UsageError(f"budget {text[:60]!r}: not an amount; expected {FORMS}")
