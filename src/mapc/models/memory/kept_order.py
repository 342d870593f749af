r"""Problems whose operators run in the given order.

A tensor of no bytes from every operator of the order to the next leaves one order and changes
nothing else: the *chained* problem. Its plans are those of the problem, the extra tensors left out:
they take no room, no address is in their way, and nothing they do has a cost; whoever has a plan of
the problem adds each of them, resident for two steps. So every method, for whatever options, can
run on the chained problem, and every bound over all orders holds for the one.

On it the forced spans leave nothing open: a tensor is forced live between any two of its uses.

**Cuts prove.** Let a set of links be *impossible* when residencies and workspaces that keep all of
them have no addresses. A plan that keeps more links keeps addresses over longer times; cut at the
further links, its residencies are those of the smaller set, at addresses that are apart. So no plan
keeps an impossible set, or more, and the optimum of the gap model with a cut for each such set
found is a bound for all plans of the order, addresses included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import numpy as np

from mapc.graph.operators import BoolArray, IntArray, OperatorGraph, Ragged
from mapc.models.base import Method, Search
from mapc.models.memory import methods as plain
from mapc.models.memory.gap import GapModel
from mapc.models.memory.options.choice_model import ChoiceModel
from mapc.models.memory.options.timeline import Timeline
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule

COUNTED_CUTS = 30
"""Cuts without a clock."""


@lru_cache(maxsize=4)
def chained(problem: MemoryProblem) -> MemoryProblem:
    """Return the problem without the option, on a graph that has no other order.

    A problem that does not keep its order is returned as it is.
    """
    if not problem.options.keep_order:
        return problem
    graph, order = problem.graph, problem.graph.given_order.tolist()
    m, more = graph.n_tensors, max(0, graph.n_operators - 1)
    inputs = [graph.inputs[o].tolist() for o in range(graph.n_operators)]
    outputs = [graph.outputs[o].tolist() for o in range(graph.n_operators)]
    for k in range(more):
        outputs[order[k]].append(m + k)
        inputs[order[k + 1]].append(m + k)
    known, mark = set(graph.tensor_names), "then"
    while any(f"{mark} {k}" in known for k in range(more)):
        mark += "'"
    none = np.zeros(more, dtype=np.bool_)
    chain = OperatorGraph(
        name=graph.name,
        operator_names=graph.operator_names,
        operator_kinds=graph.operator_kinds,
        workspace=graph.workspace.copy(),
        inputs=Ragged.of(inputs),
        outputs=Ragged.of(outputs),
        tensor_names=(*graph.tensor_names, *(f"{mark} {k}" for k in range(more))),
        tensor_bytes=np.concatenate([graph.tensor_bytes, np.zeros(more, dtype=np.int64)]),
        is_output=np.concatenate([graph.is_output, none]),
        is_constant=np.concatenate([graph.is_constant, none]),
    )
    return replace(problem, graph=chain, options=replace(problem.options, keep_order=False))


def unchained(problem: MemoryProblem, plan: MemoryPlan) -> MemoryPlan:
    """Return a plan of the chained problem without the tensors that keep the order."""
    there = plan.tensor < problem.graph.n_tensors
    columns: dict[str, Any] = {name: getattr(plan, name)[there] for name in _RESIDENCY}
    return replace(plan, **columns)


_RESIDENCY = ("tensor", "start", "stop", "address", "written", "bank")
"""Columns of a plan with an entry per residency."""


class Unchaining:
    """The search of a problem, as methods on its chained problem see it."""

    def __init__(self, problem: MemoryProblem, search: Search) -> None:
        self._problem, self._search = problem, search

    def __getattr__(self, name: str) -> Any:
        return getattr(self._search, name)

    def propose(self, plan: MemoryPlan, source: str) -> bool:
        """Offer a plan of the chained problem."""
        return self._search.propose(unchained(self._problem, plan), source)


def with_given_order(methods: Iterable[Method]) -> tuple[Method, ...]:
    """Return the methods such that each honours the option; other problems are not touched."""
    return tuple(replace(method, run=_Kept(method)) for method in methods)


class _Kept:
    """One method, on the chained problem where the order is to be kept."""

    def __init__(self, method: Method) -> None:
        self.method = method

    def __call__(self, problem: MemoryProblem, search: Search) -> None:
        if not problem.options.keep_order:
            self.method.run(problem, search)
        elif self.method.name not in REORDERING:
            inner = cast("Search", Unchaining(problem, search))  # forwards all it has not itself
            if self.method.name == "gap":
                solve_given_order(chained(problem), inner)
            self.method.run(chained(problem), inner)


REORDERING = frozenset({"exact-short", "beam-short", "beam", "local-search"})
"""Methods that would look for other orders; `exact` runs when it is asked for, or all is tried."""


def solve_given_order(problem: MemoryProblem, search: Search) -> None:
    """Prove what the gap model says about the one order of a chained problem, and place its plan.

    Sets of links that are proven to have no addresses are cut off until a choice is placed, and
    each optimum is proven. With options the optimum is proven, and placing it is left to others.
    """
    if not problem.plain:
        bound_choices(problem, search)
        return
    schedule = Schedule(problem, problem.graph.given_order)
    cuts: list[IntArray] = []
    while not search.done():
        keep = _bounded_links(GapModel(schedule, cuts), search)
        if keep is None or not plain.worth_placing(schedule, keep, search):
            return
        if not plain.place(schedule, keep, search, "gap model, given order"):
            return
        cuts.append(np.flatnonzero(keep))
        if search.deterministic and len(cuts) >= COUNTED_CUTS:
            return


def _bounded_links(model: GapModel, search: Search) -> BoolArray | None:
    """Return the best links, and prove their cost."""
    if not model.program.n_columns:
        search.prove(0, "gap model")
        return np.ones(len(model.schedule.links[0]), dtype=np.bool_)
    solution = search.solve(model.program, time=max(1.0, search.remaining() / 4), work=20.0)
    if solution.bound is not None:
        search.prove(int(solution.bound), "gap model")
    return None if solution.values is None else model.kept(solution.values)


def bound_choices(problem: MemoryProblem, search: Search) -> None:
    """Prove what the gap model with options says about the one order of a chained problem.

    With recomputation there are many orders still, and it says nothing.
    """
    if problem.options.recompute:
        return
    model = ChoiceModel(Timeline(problem, problem.graph.given_order))
    if model.program.n_columns:
        solution = search.solve(model.program, time=max(1.0, search.remaining() / 4), work=20.0)
        if solution.bound is not None:
            search.prove(int(solution.bound), "gap model")
