"""Named ways to lower a memory problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import IntArray
from mapc.models.base import Formulation
from mapc.models.memory import cosma
from mapc.models.memory.addresses import place_or_lose
from mapc.models.memory.bounds import ForcedSpans
from mapc.models.memory.gap import GapModel
from mapc.models.memory.kept_order import chained, unchained
from mapc.models.memory.options.bank_layout import layout_of
from mapc.models.memory.options.choice_model import ChoiceModel
from mapc.models.memory.options.timeline import Timeline
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule
from mapc.program import Program
from mapc.solvers.base import Solution

LIFT_ROUNDS = 20
"""Rounds of the greedy packer for a solution with options."""

Lowered = tuple[Program, Callable[[Solution], Any]]


def lower_gap(problem: MemoryProblem, order: IntArray | None = None) -> Lowered:
    """Lower to the gap model of an order (the graph's own where none is given).

    The plan it lifts to keeps what the solution keeps, less what the greedy packer cannot place.
    """
    chosen = problem.graph.given_order if order is None else np.asarray(order, dtype=np.int64)
    if not problem.graph.is_topological(chosen):
        raise InstanceError("not a topological order of the graph", "order")
    if not problem.plain:
        return _lower_choices(Timeline(problem, chosen))
    schedule = Schedule(problem, chosen)
    model = GapModel(schedule)

    def lift(solution: Solution) -> MemoryPlan:
        if solution.values is None:
            raise UsageError("the solution has no values to lift")
        return place_or_lose(schedule, model.kept(solution.values))

    return model.program, lift


def _lower_choices(timeline: Timeline) -> Lowered:
    model = ChoiceModel(timeline)

    def lift(solution: Solution) -> MemoryPlan:
        if solution.values is None:
            raise UsageError("the solution has no values to lift")
        layout = layout_of(timeline, model.chosen(solution.values))
        offset = layout.place(0, LIFT_ROUNDS)
        if offset is None:
            raise UsageError("the greedy packer finds no addresses for this solution")
        return layout.plan(offset)

    return model.program, lift


def lower_published(problem: MemoryProblem, **options: Any) -> Lowered:
    """Lower to COSMA's ILP, as `mapc.models.memory.cosma.lower` does.

    Raises
    ------
    UsageError
        For a problem with options: the published model has none.
    """
    if not problem.plain:
        raise UsageError("formulation cosma: the published model has no options; expected none")
    return cosma.lower(problem, **options)


def lower_forced_spans(problem: MemoryProblem) -> Lowered:
    """Lower to the forced-span relaxation: a bound over all orders, no plan."""

    def lift(solution: Solution) -> MemoryPlan:
        raise UsageError("forced-spans is a relaxation: it bounds, and has no plan")

    return ForcedSpans(problem).program(), lift


def _in_order(lower: Callable[..., Lowered]) -> Callable[..., Lowered]:
    """Lower the chained problem instead, where operators keep their order."""

    def lowered(problem: MemoryProblem, **options: Any) -> Lowered:
        program, lift = lower(chained(problem), **options)
        if not problem.options.keep_order:
            return program, lift
        return program, lambda solution: unchained(problem, lift(solution))

    return lowered


FORMULATIONS = {
    formulation.name: replace(formulation, lower=_in_order(formulation.lower))
    for formulation in (
        Formulation("gap", lower_gap, "what to keep, for a fixed order"),
        Formulation("cosma", lower_published, "order, residency and addresses, as published"),
        Formulation("forced-spans", lower_forced_spans, "relaxation of all orders"),
    )
}
