"""How formats and resources of a bits problem are shown: colours, units, axes of losses."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.bits.heuristics import Uniform
from mapc.models.bits.problem import BitsProblem
from mapc.units import PER_BYTE, quantity
from mapc.visual.figure import Axis, FloatArray, column

COLOURS: Final = 8
"""Formats that have a colour of their own; of more, the last colour is that of all others."""

_SPREAD: Final = 100.0
"""A logarithmic axis where the largest loss is so many times the least one."""
_DEPTH: Final = 1e-12
"""Least loss that a logarithmic axis shows, as a part of the largest."""
_LONG: Final = 10**7
"""Amounts from here on are told in thousands, millions and so on."""
_RAISED: Final = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_NAME: Final = 60
"""Characters of a name in a title, which is cut as a whole."""


@dataclass(frozen=True)
class Hue:
    """A colour and what it stands for: one format, or all that have none of their own."""

    name: str
    role: str
    formats: tuple[int, ...]


def ranked(problem: BitsProblem, table: tuple[Uniform, ...]) -> list[int]:
    """Return all formats, cheapest first, those that no group can have last."""
    known = {name: i for i, name in enumerate(problem.formats)}
    first = [known[row.format] for row in table]
    return first + [i for i in known.values() if i not in set(first)]


def hues(problem: BitsProblem, order: list[int], option: IntArray) -> tuple[Hue, ...]:
    """Return the colours of formats, cheapest format first.

    Of more formats than colours, those that most weights have get one of their own.
    """
    names = problem.formats
    if len(order) <= COLOURS:
        return tuple(Hue(names[at], f"c{i}", (at,)) for i, at in enumerate(order, start=1))
    chosen = problem.format_of[option]
    used = np.bincount(chosen, minlength=len(names))
    heavy = np.bincount(chosen, weights=problem.weights, minlength=len(names))
    most = sorted(order, key=lambda at: (-float(heavy[at]), -int(used[at])))
    often = set(most[: COLOURS - 1])
    own = [at for at in order if at in often]
    rest = tuple(at for at in order if at not in often)
    found = [Hue(names[at], f"c{i}", (at,)) for i, at in enumerate(own, start=1)]
    return (*found, Hue("other formats", f"c{COLOURS}", rest))


@dataclass(frozen=True)
class Measure:
    """One resource as axes and columns show it: sizes in bytes, the rest in its own unit.

    An amount is shown divided by ``parts``, as the label says; ``own`` is the problem's unit.
    """

    at: int
    name: str
    label: str
    unit: str
    parts: int
    own: str

    def shown(self, cost: object) -> FloatArray:
        """Return amounts in the unit of axes, float64."""
        return column(cost) / self.parts  # type: ignore[arg-type]

    def words(self, cost: int) -> str:
        """Return an amount with its unit."""
        return quantity(int(cost), self.own)


def measure(problem: BitsProblem, at: int) -> Measure:
    """Return how resource ``at`` is shown."""
    name, own = problem.resources[at], problem.units[at]
    if own in PER_BYTE:
        return Measure(at, name, name, "bytes", PER_BYTE[own], own)
    if own in ("ms", "s"):
        return Measure(at, name, name, own, 1, own)
    parts = _thousands(problem, at)
    times = f"10{str(len(str(parts)) - 1).translate(_RAISED)} " if parts > 1 else ""
    said = f"{times}{own}".strip()
    return Measure(at, name, f"{name} ({said})" if said else name, "", parts, own)


def _thousands(problem: BitsProblem, at: int) -> int:
    """Return the power of 1000 in which amounts are told; 1 for those that are short anyway."""
    most = int(np.maximum.reduceat(problem.cost[at], problem.start[:-1]).sum())
    return 1 if most < _LONG else 1000 ** ((len(str(most)) - 1) // 3)


def measures(problem: BitsProblem) -> tuple[Measure, ...]:
    """Return all resources, those with a budget first."""
    limited = set(problem.limited.tolist())
    order = sorted(range(len(problem.resources)), key=lambda at: at not in limited)
    return tuple(measure(problem, at) for at in order)


def loss_axis(label: str, loss: FloatArray) -> Axis:
    """Return the axis for losses: from 0, or logarithmic where they span decades.

    What a logarithmic axis does not reach, 0 above all, lies below its ``low``. Losses below 0,
    which terms of pairs may lead to, are shown on an axis that begins there.
    """
    positive = loss[loss > 0]
    if (loss < 0).any():
        lowest, highest = float(loss.min()), float(max(loss.max(), 0.0))
        return Axis(label, 1.1 * lowest, highest - 0.1 * lowest, "loss")
    if not len(positive):
        return Axis(label, 0.0, 1.0, "loss")
    least, most = float(positive.min()), float(positive.max())
    if most < _SPREAD * least:
        return Axis(label, 0.0, min(1.1 * most, sys.float_info.max), "loss")
    low = max(0.6 * least, _DEPTH * most)
    high = min(most * (most / low) ** 0.04, sys.float_info.max)
    return Axis(label, low, high, "loss", log=True)


def short(name: str) -> str:
    """Return a name whose beginning and end fit a title."""
    if len(name) <= _NAME:
        return name
    return f"{name[: _NAME // 2]}…{name[-(_NAME // 2 - 1) :]}"
