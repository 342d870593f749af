"""Exact dynamic programming over layers that have few balanced states.

The cheapest way to reach a state of a layer is the cheapest over all states of the layer before,
of the way there plus the transfers between the two; the work of the layer comes on top. Between
two layers of N states that is a matrix of N x N prices, a product of two thin matrices. Where
ranks are interchangeable the cheapest ways to two states of one class are relabellings of each
other, so that M classes instead of N states are enough on one side: 105 of 2520 for 8 experts on
4 equal ranks, 315 on 2 nodes of 2, 35 of 40320 on 2 nodes of 4.

All costs are whole numbers that floats hold exactly, so that the cheapest chain is the optimum and
its cost a bound on every plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray
from mapc.kernels import load
from mapc.models.base import Search
from mapc.models.placement.chains.state_costs import StateCosts
from mapc.models.placement.chains.states import States, states_of, within_budget
from mapc.models.placement.problem import (
    BUSIEST,
    CHAIN,
    HOME,
    WORST,
    FloatArray,
    PlacementProblem,
)
from mapc.models.placement.rows import plan_of

MOST_STATES = 150_000
MOST_WORK = 2e11
"""Multiplications over all pairs of layers; 16 experts on 2 ranks take 0.8e11 in 31 of them."""
SPEED = 5e9
"""Multiplications per second to count on; a core does two to four times as many."""
BLOCK = 2_000_000
"""Pairs of states priced at a time."""
ROUNDS = 30
"""Weights of profiles tried for the slowest profile's step."""


@dataclass(frozen=True, eq=False)
class Cheapest:
    """The cheapest chain for some weights of the profiles.

    Attributes
    ----------
    path : int64[L]
        The state of every layer.
    cost : float
        Its weighted cost, in units.
    least : float
        What no chain undercuts, in units: the same where sums are exact.
    """

    path: IntArray
    cost: float
    least: float


def run(problem: PlacementProblem, search: Search) -> None:
    """Find and prove the best plan where layers have few states.

    Handles every traffic model, links and overlap, without replicas; silent where there are
    replicas or too many states. With a budget of moves the chain that ignores it is a bound.
    """
    # a split says nothing where every expert has one copy, but bounds hold all the same
    costs = _costs(problem)
    if costs is None or search.done():
        return
    if work_of(costs) > SPEED * search.remaining():
        search.note("chain: left out, it would take longer than there is time")
        return
    if problem.cost.profiles == WORST and problem.n_profiles > 1:
        _slowest(costs, search)
        return
    best = cheapest(costs, np.ones(problem.n_profiles), search)
    if best is None:
        return
    _offer(costs, best.path, search)
    search.prove((best.least + costs.fixed) * costs.unit * problem.tick, "chain")


def _costs(problem: PlacementProblem) -> StateCosts | None:
    """Return the costs of all states; None where there are too many."""
    states = states_of(problem, MOST_STATES)
    if states is None:
        return None
    costs = StateCosts(problem, states)
    return costs if work_of(costs) <= MOST_WORK else None


def work_of(costs: StateCosts) -> float:
    """Return the multiplications that a chain takes."""
    problem, states = costs.problem, costs.states
    if not _linked(problem):
        return 0.0
    pairs = sum(len(b.first) * len(a) for a, b in pairwise(states))
    columns = problem.n_experts * len(problem.live)
    if problem.cost.links == BUSIEST or problem.cost.overlap:
        columns *= 2 * problem.n_profiles  # one by one, not as a product of matrices
    return float(pairs) * columns


def _linked(problem: PlacementProblem) -> bool:
    """Whether consecutive layers have to do with each other."""
    return problem.traffic == CHAIN and not problem.balance_only


def _offer(costs: StateCosts, path: IntArray, search: Search) -> None:
    """Propose a chain of states, unless it moves too much."""
    problem = costs.problem
    tables = np.stack([s.table[n] for s, n in zip(costs.states, path, strict=True)])
    plan = plan_of(problem, tables)
    if within_budget(problem, plan):
        search.propose(plan, "chain")


def _slowest(costs: StateCosts, search: Search) -> None:
    """Bound the slowest profile's step by weighted means of the steps, and try their chains.

    For weights that sum to 1 the slowest step of any plan is at least the weighted mean, and so at
    least the cheapest weighted mean (Lagrangian duality of max_p t_p <= t). Weights move towards
    the profiles that are slow on the chain they led to.
    """
    problem = costs.problem
    weights = np.full(problem.n_profiles, 1 / problem.n_profiles)
    fixed = problem.layer_ticks * problem.n_layers / costs.unit
    rounds = max(1, min(ROUNDS, int(MOST_WORK / max(work_of(costs), 1))))
    for k in range(rounds):
        best = cheapest(costs, weights, search)
        if best is None or search.done():
            return
        _offer(costs, best.path, search)
        least = best.least + float(weights @ fixed)
        # weights are no whole numbers: give away more than the rounding of all sums
        search.prove(np.floor(least * (1 - 1e-10)) * costs.unit * problem.tick, "chain")
        step = costs.steps(best.path) + fixed
        weights = weights * np.exp((step / step.max() - 1) * 20 / np.sqrt(k + 1))
        weights /= weights.sum()


def cheapest(costs: StateCosts, weights: FloatArray, search: Search) -> Cheapest | None:
    """Return the cheapest chain of states; None when time is up or no state keeps the rules.

    Parameters
    ----------
    costs : StateCosts
    weights : float64[P]
        Of the profiles' steps; ones for whole numbers.
    search : Search
        Asked whether to stop.
    """
    problem = costs.problem
    if not _linked(problem):
        return _apart(costs, weights, search)
    whole = bool((weights == 1).all())
    kind = np.float32 if whole and costs.largest() < 2**22 else np.float64
    value = _weighted(costs.work(0), weights)
    offset, back = 0.0, []
    for layer in range(1, problem.n_layers):
        if not np.isfinite(value).any():
            return None
        offset, value = offset + value.min(), value - value.min()
        step = _step(costs, layer, weights, value, kind, search)
        if step is None:
            return None
        value, chosen = step
        back.append(chosen)
    if not np.isfinite(value).any():
        return None
    cost = float(offset + value.min())
    return Cheapest(_walk(costs.states, int(value.argmin()), back), cost, cost)


def _weighted(per_profile: FloatArray, weights: FloatArray) -> FloatArray:
    """float64[N]: the sum over profiles; infinite where one of them is."""
    wrong = np.isinf(per_profile).any(axis=0)
    return np.where(wrong, np.inf, weights @ np.where(wrong, 0.0, per_profile))


def _apart(costs: StateCosts, weights: FloatArray, search: Search) -> Cheapest | None:
    """Return the cheapest state of every layer by itself."""
    problem = costs.problem
    path, cost, least = [], 0.0, 0.0
    for layer in range(problem.n_layers):
        if search.done():
            return None
        work = costs.work(layer)
        found = [work, work]
        if problem.traffic == HOME and not problem.balance_only:
            join = np.maximum if problem.cost.overlap else np.add
            found = [join(work, moved) for moved in costs.home(layer)]
        likely, safe = (_weighted(each, weights) for each in found)
        if not np.isfinite(likely).any():
            return None
        path.append(int(likely.argmin()))
        cost, least = cost + float(likely.min()), least + float(safe.min())
    return Cheapest(np.array(path, dtype=np.int64), cost, least)


def _step(
    costs: StateCosts,
    layer: int,
    weights: FloatArray,
    value: FloatArray,
    kind: type,
    search: Search,
) -> tuple[FloatArray, IntArray] | None:
    """Return the cheapest way to every state of a layer; None when the search is over.

    Parameters
    ----------
    costs : StateCosts
    layer : int
    weights : float64[P]
    value : float64[N]
        Of the cheapest way to every state of the layer before.
    kind : type
        The floats to count in.
    search : Search

    Returns
    -------
    value : float64[N]
    chosen : int64[M]
        The state before, for the first state of each class.
    """
    states, before = costs.states[layer], costs.states[layer - 1]
    work = costs.work(layer)[:, states.first]
    joined = costs.problem.cost.overlap or costs.problem.cost.links == BUSIEST
    price = _joined if joined else _summed
    rows = max(1, BLOCK // len(before))
    least, chosen = np.empty(len(states.first)), np.empty(len(states.first), dtype=np.int64)
    for start in range(0, len(states.first), rows):
        if search.done():
            return None
        part = slice(start, start + rows)
        found = price(costs, layer, weights, states.first[part], work[:, part], value, kind, search)
        if found is None:
            return None
        least[part], chosen[part] = found
    return least[states.member], chosen


Ways = tuple[FloatArray, IntArray]


def _summed(
    costs: StateCosts,
    layer: int,
    weights: FloatArray,
    at: IntArray,
    work: FloatArray,
    value: FloatArray,
    kind: type,
    search: Search,
) -> Ways | None:
    """Return the cheapest ways to states whose transfers add up: one product of matrices."""
    open_ = np.flatnonzero(np.isfinite(value))  # infinity times zero would be no number
    # values and what does not depend on the state before ride along as two more columns
    extra = np.stack([np.ones(len(open_)), value[open_]], axis=1)
    right: NDArray[np.floating] = np.append(
        costs.states[layer - 1].columns[open_], extra, axis=1
    ).astype(kind)
    left = costs.price(layer, weights, at)
    cost = np.append(left, np.ones((len(left), 1)), axis=1).astype(kind) @ right.T
    near = cost.argmin(axis=1)
    return cost[np.arange(len(at)), near] + _weighted(work, weights), open_[near]


def _joined(
    costs: StateCosts,
    layer: int,
    weights: FloatArray,
    at: IntArray,
    work: FloatArray,
    value: FloatArray,
    kind: type,
    search: Search,
) -> Ways | None:
    """Return the cheapest ways where the busiest rank or the longer of two things counts."""
    kernels = load("mapc.models.placement.chains.chain_kernels", search.done)
    if kernels is None:
        return None
    problem, least, chosen = costs.problem, np.empty(len(at)), np.empty(len(at), dtype=np.int64)
    order = np.argsort(value, kind="stable")[: np.isfinite(value).sum()]
    wanted = [costs.wanted(layer, p, at) for p in range(problem.n_profiles)]
    kernels.cheapest_before(
        costs.states[layer - 1].rank,
        order,
        value,
        np.stack(wanted),
        costs.pair,
        np.ascontiguousarray(work),
        weights,
        problem.cost.links == BUSIEST,
        problem.cost.overlap,
        least,
        chosen,
    )
    return least, chosen


def _walk(states: list[States], last: int, back: list[IntArray]) -> IntArray:
    """int64[L]: the states that lead to the last one."""
    path = [last]
    for layer in range(len(states) - 1, 0, -1):
        here, before = states[layer], states[layer - 1]
        n = path[-1]
        # the way to the first state of the class, relabelled as that one into this
        ranks = here.relabel[n][before.rank[back[layer - 1][here.member[n]]]]
        path.append(int(before.index(ranks[None])[0]))
    return np.array(path[::-1], dtype=np.int64)
