"""How a run went: objective and bound over time, and who found what when."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mapc.solvers.base import Event, relative_gap
from mapc.visual.figure import Axis, Figure, FloatArray, Mark, Points, Steps, Table, column
from mapc.visual.page_words import short
from mapc.visual.view import View
from mapc.visual.words import words

LEAST_SECONDS = 1e-3
"""Where a logarithmic axis of time starts at the latest."""

RUNS = (("plan", "bound"), ("c6", "c6"), ("c4", "c4"), ("c7", "c7"), ("c5", "c5"), ("c8", "c8"))
"""Colours of objective and bound of the first run, the second, ..."""

ROWS = 200
"""Steps of a run that its table shows."""


def unit_of(view: View) -> str:
    """Return the unit of objective values, one of `mapc.visual.figure.UNITS`.

    It is read off the words of the family, since what is minimised depends on problem and run.
    """
    try:
        said = view.phrase(2048)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return ""
    if "KiB" in said:
        return "bytes"
    parts = said.split()
    if "ms" in parts:
        return "ms"
    return "loss" if "loss" in parts else ""


def figure(views: Sequence[View]) -> Figure | None:
    """Return objective and bound over time, of one run or of several of one problem.

    None where no run has two steps, and a number among them, to show. Runs of several plans are
    named, also where only one has steps, and no mark is empty.
    """
    runs = [(view, name, _steps(view)) for view, name in zip(views, short(views), strict=True)]
    runs = [run for run in runs if len(run[2]) >= 2]
    if not runs:
        return None
    times = [step.time for _, _, steps in runs for step in steps] + [
        view.record.seconds or 0.0 for view, _, _ in runs
    ]
    end = max(max(times), LEAST_SECONDS)
    first = max(min((t for t in times if t > 0), default=LEAST_SECONDS), LEAST_SECONDS)
    log = end / first >= 100
    start = 0.7 * first if log else 0.0
    marks: list[Mark] = []
    for i, (view, name, steps) in enumerate(runs):
        whose = f"{name}: " if len(views) > 1 else ""
        found = _marks(view, steps, (start, end), whose, RUNS[i % len(RUNS)])
        marks.extend(mark for mark in found if np.isfinite(mark.y).any())
    if not marks:
        return None
    return Figure(
        key="gap-over-time",
        title="Gap over time",
        summary=_summary(runs, named=len(views) > 1),
        x=Axis(
            "seconds (logarithmic)" if log else "seconds",
            start,
            end * 1.04,  # what happens at the end is seen whole
            "s",
            log=log,
        ),
        y=_level_axis(marks, unit_of(runs[0][0])),
        marks=tuple(marks),
        height=220,
    )


def table(view: View) -> Table | None:
    """Return who found what when: every better plan and every better bound."""
    steps = _steps(view)
    if not steps:
        return None
    unit = unit_of(view)
    chosen = steps
    note = ""
    if len(steps) > ROWS:
        chosen = [steps[i * (len(steps) - 1) // (ROWS - 1)] for i in range(ROWS)]
        note = f"{ROWS} of {len(steps):,} steps, evenly chosen."
    return Table(
        caption="Who found what when",
        columns=("after", "by", "what", "objective", "bound", "gap"),
        rows=tuple(
            (
                float(step.time),
                step.source,
                "plan" if step.kind == "incumbent" else "bound",
                _known(step.objective),
                _known(step.bound),
                relative_gap(_known(step.objective), _known(step.bound)),
            )
            for step in chosen
        ),
        units=("s", "", "", unit, unit, "share"),
        note=note,
    )


def _steps(view: View) -> list[Event]:
    return [
        step
        for step in view.record.trajectory
        if step.kind in ("incumbent", "bound") and math.isfinite(step.time)
    ]


def _known(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _column(values: Sequence[float | None]) -> FloatArray:
    """Return values as a column; NaN for those that are not known."""
    known = [_known(value) for value in values]
    return column([math.nan if value is None else value for value in known])


def _marks(
    view: View,
    steps: list[Event],
    ends: tuple[float, float],
    whose: str,
    roles: tuple[str, str],
) -> list[Steps | Points]:
    unit = unit_of(view)
    start, end = ends
    times = np.maximum([*(step.time for step in steps), end], start)
    plans = [
        step for step in steps if step.kind == "incumbent" and _known(step.objective) is not None
    ]
    return [
        Steps(
            f"{whose}bound",
            roles[1],
            column(times),
            _column([step.bound for step in steps]),
            dashed=True,
        ),
        Steps(
            f"{whose}objective",
            roles[0],
            column(times),
            _column([step.objective for step in steps]),
        ),
        Points(
            f"{whose}better plans",
            roles[0],
            column(np.maximum([step.time for step in plans], start)),
            _column([step.objective for step in plans]),
            tuple(
                f"{words(_known(step.objective), unit)} by {step.source} after "
                f"{words(step.time, 's')}, bound {words(_known(step.bound), unit)}"
                for step in plans
            ),
        ),
    ]


def _level_axis(marks: Sequence[Mark], unit: str) -> Axis:
    levels = np.concatenate([mark.y for mark in marks if isinstance(mark, Steps | Points)])
    levels = levels[np.isfinite(levels)]
    if not len(levels):
        return Axis("objective", 0.0, 1.0, unit)
    low, high = float(levels.min()), float(levels.max())
    if low > 0 and high / low > 100:
        return Axis("objective (logarithmic)", low / 1.2, high * 1.2, unit, log=True)
    if low == high == 0:
        return Axis("objective", -0.1, 1.0, unit)
    room = 0.06 * (high - low) or 0.05 * abs(high)
    return Axis("objective", low - room, high + room, unit)


def _summary(runs: Sequence[tuple[View, str, list[Event]]], named: bool) -> str:
    parts = []
    for _, name, steps in runs:
        plans = sum(step.kind == "incumbent" for step in steps)
        last = steps[-1]
        gap = relative_gap(_known(last.objective), _known(last.bound))
        text = f"{plans} better plan{'s' if plans != 1 else ''}"
        if gap is not None:
            text += f"; gap {words(gap, 'share')} at the end"
        parts.append(f"{name}: {text}" if named else text)
    return ". ".join(parts) + "."
