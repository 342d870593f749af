"""The step beside what one degree for everything, Megatron's greedy and other methods take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.models.sequence import mode_name
from mapc.models.sequence.problem import SequenceProblem
from mapc.visual.figure import Axis, Cell, Figure, FloatArray, Mark, Rects, Rule, Table, column
from mapc.visual.pictures.sequence_groups import Groups
from mapc.visual.recorded import is_number
from mapc.visual.view import View
from mapc.visual.words import words

MOST_PLACED = 1_500_000
"""Sequences times micro-batches up to which baselines are computed: 0.7 CPU seconds or less."""
MOST_MODES = 400_000
"""Sequences times modes, likewise."""
MOST_RANKS = 131_072
"""Ranks, likewise."""
MOST_METHODS = 40
"""Rows taken from a comparison."""

THIS = "this plan"
MEGATRON = "Megatron's greedy"
NAMES = {
    "homogeneous": "best degree for everything",
    "static": "largest degree for everything",
    "megatron": MEGATRON,
    "packing": "packing",
    "flexsp": "FlexSP",
}
"""Methods of ``mapc compare`` by what they are; others keep their name."""
COMPUTED = frozenset({"homogeneous", "static", "megatron"})
"""Methods that are among the baselines."""


@dataclass(frozen=True)
class Bound:
    """A proven bound for the whole step: what to call it, and ms."""

    name: str
    ms: float


@dataclass(frozen=True)
class Baseline:
    """A plan to compare with: its name, the step in ms, and what is special about it."""

    name: str
    ms: float
    remark: str = ""


def known_bound(view: View) -> Bound | None:
    """Return the bound that the run proved, else the area bound, which is cheap."""
    if view.bound is not None and math.isfinite(view.bound):
        return Bound("bound", float(view.bound))
    if view.violations:  # there may be no plan at all, and no bound
        return None
    from mapc.models.sequence.bounds import area

    return Bound("area bound", float(area.step_bound(view.problem) * view.problem.tick))


def comparison(view: View, seen: Groups, bound: Bound | None) -> Figure:
    """Return step times of this plan, of the baselines, and of ``view.comparison``."""
    cheap = is_cheap(seen)
    others = [*(baselines(view.problem) if cheap else ()), *_compared(view.comparison, cheap)]
    shown = [Baseline(THIS, seen.step_ms), *others]
    ms = column([plan.ms for plan in shown])
    marks: list[Mark] = [
        _bar(shown, ms, slice(0, 1), THIS, "plan"),
        _bar(shown, ms, slice(1, None), "others", "baseline"),
    ]
    if bound is not None:
        marks.append(Rule(bound.name, "bound", "x", bound.ms, dashed=True))
    return Figure(
        key="comparison",
        title="Step time beside other plans",
        summary=_summary(shown, bound),
        x=Axis("step", 0.0, max(float(ms.max()), bound.ms if bound else 0.0) * 1.02 or 1.0, "ms"),
        y=Axis.of_names("plan", [plan.name for plan in shown], down=True),
        marks=tuple(mark for mark in marks if not isinstance(mark, Rects) or len(mark.x0)),
        height=70 + 28 * len(shown),
        note="" if cheap else "Plans of one degree and Megatron's are not computed at this size.",
        table=_table(shown, bound),
    )


# -- baselines -------------------------------------------------------------------------------------


def is_cheap(seen: Groups) -> bool:
    """Return whether baselines take well below a second."""
    problem, k = seen.problem, seen.problem.n_sequences
    return (
        k * seen.n_batches <= MOST_PLACED
        and k * problem.n_modes <= MOST_MODES
        and problem.n_ranks <= MOST_RANKS
    )


def baselines(problem: SequenceProblem) -> list[Baseline]:
    """Return each degree that holds everything alone, by increasing degree, and Megatron's greedy.

    The best of them and the largest degree, what a run without dynamic groups has to use, are
    remarked.
    """
    from mapc.models.sequence.assembly import step_ticks
    from mapc.models.sequence.published.baselines import homogeneous, megatron_greedy

    ticks: dict[int, int] = {}
    for mode in range(problem.n_modes):
        plan = homogeneous(problem, mode)
        if plan is not None:
            ticks[mode] = step_ticks(problem, plan)
    largest = [m for m in ticks if problem.cost.degree[m] == problem.cost.degree.max()]
    remarks: dict[int, list[str]] = {mode: [] for mode in ticks}
    if ticks:
        remarks[min(ticks, key=lambda mode: (ticks[mode], mode))].append("best")
    if largest:
        remarks[min(largest, key=lambda mode: (ticks[mode], mode))].append("static")
    found = [
        Baseline(
            f"degree {mode_name(problem, mode)} for everything",
            float(ticks[mode] * problem.tick),
            ", ".join(remarks[mode]),
        )
        for mode in ticks
    ]
    greedy = megatron_greedy(problem)
    if greedy is not None:
        found.append(Baseline(MEGATRON, float(step_ticks(problem, greedy) * problem.tick)))
    return found


def _compared(rows: tuple[Mapping[str, Any], ...], cheap: bool) -> list[Baseline]:
    """Return the rows that have a plan, but for what is computed here."""
    found = []
    for row in rows:
        method, value = str(row.get("method", "")), row.get("objective")
        if is_number(value) and not (cheap and method in COMPUTED):
            found.append(Baseline(NAMES.get(method, method), float(value), "compared"))
    return found[:MOST_METHODS]


# -- how it is shown -------------------------------------------------------------------------------


def _bar(shown: list[Baseline], ms: FloatArray, which: slice, *named: str) -> Rects:
    name, role = named
    at = np.arange(len(shown))[which]
    return Rects(
        name,
        role,
        np.zeros(len(at)),
        ms[at],
        column(at + 0.15),
        column(at + 0.85),
        tuple(
            f"{shown[i].name}: {words(shown[i].ms, 'ms')}"
            + (f" ({shown[i].remark})" if shown[i].remark else "")
            for i in at
        ),
    )


def _summary(shown: list[Baseline], bound: Bound | None) -> str:
    ours, others = shown[0], shown[1:]
    said = f"This plan takes {words(ours.ms, 'ms')}"
    if others:
        best = min(others, key=lambda plan: plan.ms)
        said += f", the fastest other ({best.name}) {words(best.ms, 'ms')}"
    if bound is not None:
        said += f"; no plan takes less than {words(bound.ms, 'ms')} ({bound.name})"
    return said + "."


def _table(shown: list[Baseline], bound: Bound | None) -> Table:
    ours = shown[0].ms
    rows: list[tuple[Cell, ...]] = [
        (
            plan.name,
            plan.ms,
            plan.ms / ours if ours > 0 else None,
            (plan.ms - bound.ms) / plan.ms if bound is not None and plan.ms > 0 else None,
            plan.remark or None,
        )
        for plan in shown
    ]
    return Table(
        "Step times",
        ("plan", "step", "times this plan's", "gap to the bound", "remark"),
        tuple(rows),
        ("", "ms", "", "share", ""),
        "static: the largest degree, what a run without dynamic groups has to use; best: of one "
        "degree for everything.",
    )
