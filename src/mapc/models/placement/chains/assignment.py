"""One expert per rank: placements are permutations, and cheap ones are linear assignments.

With equal speeds the busiest rank of a layer holds the hottest expert wherever it sits, so that the
work of every plan is the same and only transfers are left.

*Chain, equal links.* What two layers cost depends only on which experts of one share a rank with
which of the other: all that is not between the two of a pair moves. Every choice of pairs, layer by
layer, is some plan (expert e of the first layer on rank e, its partners after it), so the layers
decouple: a linear assignment that keeps most tokens for each two of them; for the busiest rank a
bottleneck assignment of max(leaving, coming) = max(row sum, column sum) - kept.

*Home.* An expert's transfers depend on its own rank alone: a linear assignment for each layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import permutations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.base import Search
from mapc.models.placement.chains.state_costs import lives_on
from mapc.models.placement.chains.states import permitted, within_budget
from mapc.models.placement.problem import (
    BUSIEST,
    CHAIN,
    EXPECTED,
    HOME,
    FloatArray,
    PlacementProblem,
)
from mapc.models.placement.rows import plan_of

Assign = Callable[[FloatArray, bool], IntArray | None]
FEW = 8
"""Experts up to which all permutations are tried: no kernel has to be loaded for them."""
EXACT = 2.0**52
"""Below it sums of whole numbers are exact."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Find and prove the best plan with one expert per rank.

    Needs no replicas, ranks of one speed, and costs that do not mix profiles in a nonlinear way
    (several profiles: expected, summed transfers, no overlap). Chains need equal links and no rule
    about single experts; home traffic needs summed transfers. Silent otherwise.
    """
    if not _applies(problem):
        return
    solver = assigner(problem.n_experts, search)
    if solver is None or search.done():
        return
    solve = _chain if problem.traffic == CHAIN else _home
    found = solve(problem, solver, search)
    if found is None:
        return
    rank, transfers = found
    plan = plan_of(problem, np.argsort(rank, axis=1)[:, :, None])
    if within_budget(problem, plan):
        search.propose(plan, "assignment")
    bound = _objective(problem, transfers) * problem.tick
    if search.objective is not None:  # the verifier's sums of quotients may be rounded down
        bound = min(bound, search.objective)
    search.prove(bound, "assignment")


def _applies(problem: PlacementProblem) -> bool:
    cost, live = problem.cost, problem.live
    if problem.slots != 1 or problem.n_slots != problem.n_experts or problem.balance_only:
        return False
    if np.ptp(problem.cluster.speed[live]):
        return False
    if problem.n_profiles > 1 and (
        cost.profiles != EXPECTED or cost.links == BUSIEST or cost.overlap
    ):
        return False
    if problem.max_imbalance is not None:
        loads = problem.counts / problem.counts.mean(axis=2, keepdims=True)
        if loads.max() > problem.max_imbalance:  # wherever it sits, an expert is too much
            return False
    if problem.traffic == HOME:
        return cost.links != BUSIEST
    links = _links(problem)  # none at all on a single rank
    equal = bool((links == links[:, :1]).all())
    return equal and bool(permitted(problem).all())


def _links(problem: PlacementProblem) -> FloatArray:
    """float64[P, links]: ticks per token on every link between two live ranks."""
    live = problem.live
    apart = ~np.eye(len(live), dtype=np.bool_)
    return np.asarray(problem.pair_ticks[:, live][:, :, live][:, apart])


def _objective(problem: PlacementProblem, transfers: FloatArray) -> float:
    """Return the ticks of a plan with these transfers, float64[P, L]."""
    most = problem.counts.max(axis=2)
    work = problem.token_ticks[:, problem.live[0], None] * most
    if problem.cost.expert:
        active = problem.activated().max(axis=2)
        work = np.maximum(work, problem.expert_ticks[:, problem.live[0], None] * active)
    work = np.rint(work)
    both = np.maximum(work, transfers) if problem.cost.overlap else work + transfers
    return float(both.sum() + problem.layer_ticks.sum() * problem.n_layers)


# -- the two traffic models ------------------------------------------------------------------------


def _chain(
    problem: PlacementProblem, solver: Assign, search: Search
) -> tuple[IntArray, FloatArray] | None:
    """Return the rank of every expert, int64[L, E], and the transfers, float64[P, L]."""
    assert problem.transitions is not None
    n_layers, n_experts = problem.n_layers, problem.n_experts
    link = _links(problem).max(axis=1, initial=0.0)
    rank = np.empty((n_layers, n_experts), dtype=np.int64)
    rank[0] = np.arange(n_experts)
    transfers = np.zeros((problem.n_profiles, n_layers))
    # whole numbers small enough that an assignment's potentials stay exact
    unit = max(1, int(np.gcd.reduce(link.astype(np.int64))))
    for layer in range(1, n_layers):
        if search.done():
            return None
        moved = problem.transitions[:, layer - 1].astype(np.float64)
        if problem.cost.links == BUSIEST:
            most = np.maximum(moved.sum(axis=2)[:, :, None], moved.sum(axis=1)[:, None])
            price = most[0] - moved[0]
        else:
            price = -np.tensordot(link / unit, moved, 1)
            price -= price.min()
        partner = solver(price, problem.cost.links == BUSIEST)
        if partner is None:
            return None
        rank[layer, partner] = rank[layer - 1]
        pair = np.arange(n_experts), partner
        if problem.cost.links == BUSIEST:
            transfers[:, layer] = link * price[pair].max()
        else:
            kept = moved[:, *pair].sum(axis=1)
            transfers[:, layer] = link * (moved.sum(axis=(1, 2)) - kept)
    return rank, transfers


def _home(
    problem: PlacementProblem, solver: Assign, search: Search
) -> tuple[IntArray, FloatArray] | None:
    """Return the rank of every expert, int64[L, E], and a bound on transfers, float64[P, L]."""
    live, allowed = problem.live, permitted(problem)
    pair = problem.pair_ticks[:, live][:, :, live]
    divisor = parts(problem)
    unit = max(1, int(np.gcd.reduce(pair.astype(np.int64), axis=None)))
    rank = np.empty((problem.n_layers, problem.n_experts), dtype=np.int64)
    transfers = np.zeros((problem.n_profiles, problem.n_layers))
    for layer in range(problem.n_layers):
        if search.done():
            return None
        # whole numbers: sums of whole tokens over the ranks that share them
        lives = np.rint(lives_on(problem, layer) * divisor)
        price = np.einsum("pqe,pqg->peg", lives, pair / unit)
        found = solver(_masked(price.sum(axis=0), allowed[layer]), False)
        if found is None:
            return None
        rank[layer] = found
        total = price[:, np.arange(len(found)), found].sum(axis=1)
        exact = price.sum() < EXACT
        transfers[:, layer] = [_rounded(each, unit, divisor, exact, len(total)) for each in total]
    return rank, transfers


def parts(problem: PlacementProblem) -> int:
    """Return what tokens have to be multiplied by to be whole on every rank they live on."""
    if problem.sources is None:
        return len(problem.live)
    if problem.sources.shape[2] == problem.n_ranks:
        return 1
    ranks = np.bincount(problem.node[problem.live], minlength=problem.n_nodes)
    return int(np.lcm.reduce(np.maximum(ranks, 1)))


def _rounded(total: float, unit: int, divisor: int, exact: bool, n_profiles: int) -> float:
    """Return whole ticks that the transfers of no plan undercut, in sum over profiles.

    ``total * unit / divisor`` is the least sum of unrounded transfers. For one profile its
    rounding is the least rounded one; several gain at most half a tick each. Sums that are not
    exact are off by less than 1e-12 of them.
    """
    if not exact:
        return float(np.floor(total * unit / divisor * (1 - 1e-12)))
    ticks, rest = divmod(int(total) * unit, divisor)
    if n_profiles > 1 and divisor > 1:
        return ticks - 1.0 if 2 * rest < divisor else float(ticks)
    return float(ticks if 2 * rest <= divisor else ticks + 1)


def _masked(price: FloatArray, allowed: BoolArray) -> FloatArray:
    return np.where(allowed, price, np.inf)


# -- assignments -----------------------------------------------------------------------------------


def assigner(n: int, search: Search) -> Assign | None:
    """Return what solves assignments of n rows; None when the search ends before it is ready.

    It takes a cost, float64[n, n], and whether its largest entry counts rather than the sum, and
    returns the column of every row, int64[n], or None where no assignment has a finite cost.
    """
    if n <= FEW:
        return _try_all
    kernels = load("mapc.models.placement.chains.assignment_kernels", search.done)
    if kernels is None:
        return None

    def solver(cost: FloatArray, bottleneck: bool) -> IntArray | None:
        column = np.empty(len(cost), dtype=np.int64)
        kernel = kernels.assign_bottleneck if bottleneck else kernels.assign
        return column if kernel(np.ascontiguousarray(cost), column) else None

    return solver


@cache
def _permutations(n: int) -> IntArray:
    return np.array(list(permutations(range(n))), dtype=np.int64)


def _try_all(cost: FloatArray, bottleneck: bool) -> IntArray | None:
    orders = _permutations(len(cost))
    each = cost[np.arange(len(cost)), orders]
    total = each.max(axis=1) if bottleneck else each.sum(axis=1)
    best = int(total.argmin())
    return orders[best] if np.isfinite(total[best]) else None
