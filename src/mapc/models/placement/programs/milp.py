"""The programs of the family, solved: a cross-check, and an answer where nothing else applies.

Without replicas the whole problem, products with degree rows. With replicas work alone, layer by
layer unless a budget of moves or the slowest profile ties them together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.placement.problem import BUSIEST, CHAIN, EQUAL, WORST, PlacementProblem
from mapc.models.placement.programs.balance_models import lower_balance
from mapc.models.placement.programs.chain_models import lower_chain
from mapc.models.placement.programs.place_model import PlaceLift
from mapc.models.placement.rows import plan_of, rows_of
from mapc.program import Program

MOST_COLUMNS = 300_000
"""Larger programs give a solver nothing to do but to read them."""
WORK = 60.0
"""Units of work, as `mapc.models.base.Search.solve` counts them, for searches without a clock."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Solve a program; silent where there is none or it would be too large."""
    if problem.n_slots == problem.n_experts:
        if columns(problem) <= MOST_COLUMNS:
            _whole(problem, lower_chain(problem, "degree", degree=True), search)
    elif problem.balance_only and problem.dispatch == EQUAL:
        _balance(problem, search)


def columns(problem: PlacementProblem) -> int:
    """Return about how many columns the program without replicas has."""
    ranks, experts = len(problem.live), problem.n_experts
    single = problem.n_layers * experts * ranks
    if problem.balance_only or problem.traffic != CHAIN:
        return single
    pair = problem.pair_ticks[:, problem.live][:, :, problem.live]
    prices = max(len(np.unique(each)) for each in pair)
    two = problem.cost.links != BUSIEST and prices <= 3
    products = experts**2 * (2 * ranks if two else ranks**2)
    return single + (problem.n_layers - 1) * products


def _whole(problem: PlacementProblem, lowered: tuple[Program, PlaceLift], search: Search) -> None:
    """Solve one program for all layers; every incumbent is a plan."""
    program, lift = lowered

    def offer(values: Any) -> None:
        search.propose(lift.plan(values), "milp")

    answer = search.solve(program, work=WORK, on_values=offer)
    if answer.values is not None:
        offer(answer.values)
    if answer.bound is not None:
        search.prove(lift.bound(answer.bound), "milp")


def _balance(problem: PlacementProblem, search: Search) -> None:
    """Solve layers apart where nothing ties them together."""
    size = problem.n_experts * len(problem.live) * rows_of(problem).most
    tied = problem.max_moves is not None
    tied |= problem.cost.profiles == WORST and problem.n_profiles > 1
    if size * (problem.n_layers if tied else 1) > MOST_COLUMNS:
        return
    if tied:
        _whole(problem, lower_balance(problem), search)
        return
    tables, bound = [], 0.0
    for layer in range(problem.n_layers):
        left = search.remaining() / (problem.n_layers - layer)
        program, lift = lower_balance(one_layer(problem, layer))
        time = None if search.deterministic else left
        answer = search.solve(program, work=WORK / problem.n_layers, time=time)
        if answer.values is not None:
            tables.append(lift.tables(answer.values)[0])
        if answer.bound is not None:
            bound += lift.bound(answer.bound)
        if search.done():
            return
    if len(tables) == problem.n_layers:
        search.propose(plan_of(problem, np.stack(tables)), "milp")
    search.prove(bound, "milp")


def one_layer(problem: PlacementProblem, layer: int) -> PlacementProblem:
    """Return a problem of one layer alone, without transfers."""

    def rules(triples: IntArray) -> IntArray:
        mine = triples[triples[:, 0] == layer].copy()
        mine[:, 0] = 0
        return np.asarray(mine, dtype=np.int64)

    one = slice(layer, layer + 1)
    return problem.replace(
        counts=problem.counts[:, one],
        transitions=None,
        sources=None,
        traffic="none",
        layer_ids=problem.layer_ids[one],
        current=None if problem.current is None else problem.current[one],
        pinned=rules(problem.pinned),
        forbidden=rules(problem.forbidden),
    )
