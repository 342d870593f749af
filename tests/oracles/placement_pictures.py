"""Tokens of small placements by plain loops, and what pictures of placements show, read back."""

from __future__ import annotations

import numpy as np

from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    CHAIN,
    LOCAL,
    PlacementProblem,
)
from mapc.visual.figure import Figure, Rects, Section
from mapc.visual.loading import of_plan
from mapc.visual.view import Record, View


def view_of(problem: PlacementProblem, plan: PlacementPlan) -> View:
    return of_plan(problem, plan, Record(), "plan.json")


def figures(found: tuple[Section, ...]) -> dict[str, Figure]:
    return {figure.key: figure for section in found for figure in section.figures}


def cells(figure: Figure) -> np.ndarray:
    """The cells of a heat map by row and column; NaN where none is."""
    shape = (int(figure.y.high), int(figure.x.high))
    found = np.full(shape, np.nan)
    (heat,) = [m for m in figure.marks if isinstance(m, Rects) and m.role == "heat"]
    assert heat.values is not None
    for x, y, x1, y1, value in zip(heat.x0, heat.y0, heat.x1, heat.y1, heat.values, strict=True):
        assert (x1, y1) == (x + 1, y + 1)
        found[int(y), int(x)] = value
    return found


def holders(problem: PlacementProblem, plan: PlacementPlan, layer: int, expert: int) -> list[int]:
    return [g for g in range(problem.n_ranks) if expert in plan.slots[layer, g].tolist()]


def reached(problem: PlacementProblem, ranks: list[int], start: int) -> list[int]:
    """Where a token on a rank may go, each as likely."""
    if problem.dispatch != LOCAL:
        return ranks
    near = [g for g in ranks if problem.node[g] == problem.node[start]]
    return [start] if start in ranks else near or ranks


def homes(problem: PlacementProblem, p: int, layer: int, expert: int) -> dict[int, float]:
    """Tokens of an expert by the rank they live on."""
    live = problem.live.tolist()
    if problem.sources is None:
        return {g: problem.counts[p, layer, expert] / len(live) for g in live}
    found = dict.fromkeys(live, 0.0)
    for q, tokens in enumerate(problem.sources[p, layer, :, expert].tolist()):
        by_rank = problem.sources.shape[2] == problem.n_ranks
        ranks = [g for g in live if (g if by_rank else problem.node[g]) == q]
        for g in ranks:
            found[g] += tokens / len(ranks)
    return found


def moved(problem: PlacementProblem, plan: PlacementPlan, p: int, layer: int) -> np.ndarray:
    """float64[G, G]: tokens that arrive at a layer, token by token; equal or home dispatch."""
    flow = np.zeros((problem.n_ranks,) * 2)
    if problem.traffic == CHAIN:
        for before, row in enumerate(problem.transitions[p, layer - 1].tolist() if layer else []):
            sources = holders(problem, plan, layer - 1, before)
            for after, pairs in enumerate(row):
                targets = holders(problem, plan, layer, after)
                for g in sources:
                    for h in targets:
                        flow[g, h] += pairs / len(sources) / len(targets)
        return flow
    for expert in range(problem.n_experts):
        ranks = holders(problem, plan, layer, expert)
        for g, tokens in homes(problem, p, layer, expert).items():
            for h in reached(problem, ranks, g):
                flow[g, h] += tokens / len(reached(problem, ranks, g))
    return flow


def ratios(problem: PlacementProblem, plan: PlacementPlan, p: int) -> np.ndarray:
    """float64[L, G]: load of every rank as a multiple of the mean; equal or home dispatch."""
    found = np.full((problem.n_layers, problem.n_ranks), np.nan)
    for layer in range(problem.n_layers):
        tokens = np.zeros(problem.n_ranks)
        for expert in range(problem.n_experts):
            ranks = holders(problem, plan, layer, expert)
            count = int(problem.counts[p, layer, expert])
            if problem.dispatch == LOCAL:
                for g, number in homes(problem, p, layer, expert).items():
                    for h in reached(problem, ranks, g):
                        tokens[h] += number / len(reached(problem, ranks, g))
            else:
                for h in ranks:
                    tokens[h] += count / len(ranks)
        load = [tokens[g] / problem.cluster.speed[g] for g in problem.live]
        found[layer, problem.live] = np.array(load) / (sum(load) / len(load))
    return found
