"""Figures and plans to draw: every kind of mark, and every figure of every family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

import mapc
from mapc.models import KINDS, family_of
from mapc.solvers.result import Result
from mapc.visual.figure import (
    Axis,
    Figure,
    Line,
    Points,
    Rects,
    Rule,
    Scale,
    Steps,
    column,
)
from mapc.visual.loading import of_result
from mapc.visual.view import View
from oracles.placement_cases import random_plan, random_problem
from oracles.placement_pictures import view_of


def rects(n: int, role: str = "c1", seed: int = 0, heat: bool = False) -> Rects:
    """``n`` rectangles within 10 by 100."""
    draw = np.random.default_rng(seed)
    x, y = draw.random((2, n)) * [[9], [90]]
    values = draw.random(n) * 4 if heat else None
    names = tuple(f"r{i}" for i in range(n))
    return Rects("", role, x, x + draw.random(n), y, y + 10 * draw.random(n), names, values)


def of_all_marks(seed: int = 0, n: int = 12) -> Figure:
    """A figure with every kind of mark, gaps, dashes, and colours of values."""
    draw = np.random.default_rng(seed)
    y = draw.random(n) * 100
    y[n // 2] = np.nan
    marks = (
        rects(n, "heat", seed, heat=True),
        rects(n, "reload", seed + 1),
        rects(n, "spill", seed + 2),
        Steps("live", "plan", column(np.linspace(0, 10, n + 1)), y, fill=True),
        Steps("other", "baseline", column(np.linspace(0, 10, n + 1)), y / 2, dashed=True),
        Line("front", "c2", column(np.linspace(0, 10, n)), y),
        Points("dots", "mark", draw.random(n) * 10, draw.random(n) * 100, ("",) * n, "square"),
        Rule("capacity", "limit", "y", 95.0),
        Rule("lower bound", "bound", "y", 94.5, dashed=True),
        Rule("peak", "mark", "x", 3.0),
    )
    scale = Scale("value", 0.5, 3.5)
    return Figure("all", "All marks", "", Axis("x", 0, 10), Axis("y", 0, 100), marks, scale)


OPTIONS: dict[str, dict[str, Any]] = {
    "memory": {"network": "layered", "operators": 12, "width": 3, "seed": 1},
    "allocation": {"buffers": 12, "seed": 1},
    "bits": {"groups": 8, "formats": 3, "budgets": 2, "seed": 1},
    "placement": {"layers": 3, "experts": 8, "ranks": 4, "slots": 3, "nodes": 2, "seed": 1},
    "sequence": {"sequences": 24, "ranks": 8, "max_length": "16K", "seed": 1},
}
"""Of generators, by family."""
QUICK = {
    "placement": ("floor", "contiguous", "eplb", "descent"),
    "sequence": ("area", "homogeneous", "packing"),
}


def problem_of(kind: str) -> Any:
    """A small problem of a family."""
    options = dict(OPTIONS[kind])
    if kind == "placement":
        options["transitions"] = 0.5
    problem = mapc.generate(kind, **options)
    return family_of(problem).with_capacity(problem, "M_R") if kind == "memory" else problem


@cache
def views() -> dict[str, tuple[View, ...]]:
    """Views by family that have, together, every figure there is."""
    found = {kind: [of_result(p, _solved(kind, p))] for kind, p in _problems()}
    found["memory"].append(_banks())
    found["allocation"].append(_two_banks())
    found["bits"].append(_many_groups())
    found["placement"].append(_in_force())
    return {kind: tuple(found[kind]) for kind in KINDS}


def _problems() -> Iterator[tuple[str, Any]]:
    for kind in KINDS:
        yield kind, problem_of(kind)


def _solved(kind: str, problem: Any) -> Result:
    """Return the result of a run of more than one step; of some families without slow methods."""
    return mapc.solve(problem, time_limit=None, methods=QUICK.get(kind))


def _banks() -> View:
    problem = mapc.with_rules(mapc.generate("memory", **OPTIONS["memory"]), ["banks=64MiB+64MiB"])
    return of_result(problem, mapc.solve(problem, time_limit=None))


def _two_banks() -> View:
    problem = replace(
        problem_of("allocation"), capacity=2048, banks=(("near", 1024), ("far", 1024))
    )
    return of_result(problem, mapc.solve(problem, time_limit=None))


def _many_groups() -> View:
    problem = mapc.generate("bits", groups=4_100, formats=2)
    return of_result(problem, mapc.solve(problem, time_limit=None, methods=("core",)))


def _in_force() -> View:
    problem = random_problem(
        2, experts=4, ranks=3, slots=2, layers=2, dead=1, rules=False, current=True
    )
    cluster = problem.cluster
    sized = type(cluster)(
        cluster.names, np.full(4, 10_000), cluster.node, cluster.speed, cluster.link_source,
        cluster.link_target, cluster.bandwidth, cluster.latency,
    )  # fmt: skip
    problem = problem.replace(cluster=sized, expert_bytes=1_000)
    return view_of(problem, random_plan(problem, 0))
