"""Ways to allocate formats that others use, on the same problem, each within a time limit.

Every peer takes a `BitsProblem` without ties, edges or pairwise terms, and returns the option of
every group, or None where it ends without one. What they return is judged by the verifier of
mapc, not by what they say themselves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

import mapc
from mapc.models.bits.heuristics import greedy
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem


@dataclass(frozen=True)
class Answer:
    """What a way to allocate came back with; ``said`` is its own word for it."""

    plan: BitsPlan | None
    said: str
    bound: float | None = None


def run_mapc(problem: BitsProblem, seconds: float, gap: float) -> Answer:
    result = mapc.solve(problem, time_limit=seconds, gap=gap)
    return Answer(result.plan, result.status.value, result.bound)


def run_next_step(problem: BitsProblem, seconds: float, gap: float) -> Answer:
    """Sensitivity-sorting tools: always the next costlier option that saves most per cost."""
    plan = greedy(problem)
    return Answer(plan, "heuristic" if plan is not None else "no plan")


def _by_backend(backend: str) -> Callable[[BitsProblem, float, float], Answer]:
    """Give the plain model, one binary per option, to a solver of its own process."""

    def run(problem: BitsProblem, seconds: float, gap: float) -> Answer:
        from mapc.solvers import registry
        from mapc.solvers.base import Limits

        begin = time.perf_counter()
        program, lift = mapc.lower(problem, "choice")
        left = seconds - (time.perf_counter() - begin)
        solution = registry.solve(program, backend, limits=Limits(time=left, gap=gap, grace=30.0))
        said = f"{solution.status.value} ({solution.stop.value})"
        plan = None if solution.values is None else lift(solution)
        bound = None if solution.bound is None else lift.bound(solution.bound) * problem.quantum
        return Answer(plan, said, bound)

    return run


def run_cbc(problem: BitsProblem, seconds: float, gap: float) -> Answer:
    """PuLP and its CBC as ModelOpt's auto-quantize calls them: one binary per option, floats.

    ModelOpt has one budget; further ones are further rows of the same kind.
    """
    import pulp

    model = pulp.LpProblem("bits", pulp.LpMinimize)
    index = range(problem.n_options)
    chosen = pulp.LpVariable.dicts("x", index, cat=pulp.LpBinary)
    losses, costs = problem.loss.tolist(), problem.cost.tolist()
    model += pulp.lpSum(losses[i] * chosen[i] for i in index)
    start = problem.start.tolist()
    for low, high in pairwise(start):
        model += pulp.lpSum(chosen[i] for i in range(low, high)) == 1
    for cost, budget in zip(costs, problem.budget, strict=True):
        model += pulp.lpSum(cost[i] * chosen[i] for i in index) <= budget
    model.solve(pulp.PULP_CBC_CMD(msg=False, timeLimit=seconds, threads=1, gapRel=gap or None))
    values = np.array([chosen[i].value() or 0.0 for i in index])
    said = f"{pulp.LpStatus[model.status]} / {pulp.LpSolution[model.sol_status]}"
    if model.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        return Answer(None, said)
    best = np.maximum.reduceat(values, problem.start[:-1])[problem.group_of]
    return Answer(_plan_of(problem, np.flatnonzero((values == best) & (values > 0.5))), said)


def _plan_of(problem: BitsProblem, picked: np.ndarray) -> BitsPlan | None:
    option = np.full(problem.n_groups, -1, dtype=np.int64)
    option[problem.group_of[picked]] = picked
    return None if (option < 0).any() else BitsPlan(option)


def run_dictionary(problem: BitsProblem, seconds: float, gap: float) -> Answer:
    """AutoRound's allocation, restated: total bits to least loss in a dictionary, group by group.

    After each group, states that cost more bits without losing less are dropped. One budget only.
    """
    if len(problem.resources) != 1:
        return Answer(None, "one budget only")
    end = time.perf_counter() + seconds
    (cost,), (budget,) = problem.cost.tolist(), problem.budget
    assert budget is not None
    loss, start = problem.loss.tolist(), problem.start.tolist()
    least = np.minimum.reduceat(problem.cost[0], problem.start[:-1])
    after = (least.sum() - np.cumsum(least)).tolist()
    states: dict[int, tuple[float, tuple]] = {0: (0.0, ())}
    for group, (low, high) in enumerate(pairwise(start)):
        grown: dict[int, tuple[float, tuple]] = {}
        for bits, (total, path) in states.items():
            for option in range(low, high):
                key, value = bits + cost[option], total + loss[option]
                if key + after[group] <= budget and (key not in grown or value < grown[key][0]):
                    grown[key] = (value, (path, option))
            if time.perf_counter() > end:
                return Answer(None, f"{len(grown):,} states at group {group}")
        states = _pareto(grown)
    value, path = min(states.values(), key=lambda state: state[0])
    picked = []
    while path:
        path, option = path
        picked.append(option)
    return Answer(BitsPlan(np.array(picked[::-1], dtype=np.int64)), "exact", value)


def _pareto(states: dict[int, tuple[float, tuple]]) -> dict[int, tuple[float, tuple]]:
    kept, best = {}, float("inf")
    for bits in sorted(states):
        if states[bits][0] < best:
            best = states[bits][0]
            kept[bits] = states[bits]
    return kept


PEERS: dict[str, Callable[[BitsProblem, float, float], Answer]] = {
    "mapc": run_mapc,
    "highs": _by_backend("highs"),
    "cpsat": _by_backend("cpsat"),
    "cbc": run_cbc,
    "dictionary": run_dictionary,
    "next-step": run_next_step,
}
"""By the name in ``--methods``."""
NEEDS = {"cbc": "pulp"}
"""Packages beyond those of mapc."""
