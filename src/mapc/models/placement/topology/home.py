"""Replicas where tokens live: home traffic, where a token leaves its node for want of a copy.

Which node holds what is a flow problem for every layer on its own (`selection`); a limit on loads
is then met by few swaps, annealed at low temperature. With one slot per expert, and work that is
free, sending experts to ranks is a transportation problem and solved exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    HOME,
    LOCAL,
    FloatArray,
    PlacementProblem,
)
from mapc.models.placement.topology.home_model import FORMULATIONS_HOME
from mapc.models.placement.topology.node_search import (
    REPLACING,
    Nodes,
    State,
    anneal_nodes,
    nodes_of,
    used_slots,
)
from mapc.models.placement.topology.nodes import SPARE, fits, pack_nodes
from mapc.models.placement.topology.propagation import held, merged_residents, propagate
from mapc.models.placement.topology.selection import best_copies, transport_cost, whole_worth

__all__ = ["FORMULATIONS_HOME", "run"]

SLACKS = (0.004, 0.02, 0.1)
"""Excess loads of nodes to try where no limit is given."""
STEPS_PER_EXPERT, HOT, COLD = 300, 5e-5, 3e-7
"""Swaps tried per expert and layer to mend loads, at temperatures in parts of a layer's tokens."""
_UNIT = 2.0**30
"""Worth is counted in whole parts of a layer's tokens."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Propose plans for home traffic. See `mapc.models.placement.methods`."""
    if not suits(problem):
        return
    if problem.n_slots == problem.n_experts:
        _offer(problem, transport(problem, search.done), search)
    nodes, lives = nodes_of(problem), merged_residents(problem)
    slacks = SLACKS if problem.max_imbalance is None else ((problem.max_imbalance - 1) * 0.85,)
    for slack in slacks:
        for part in SPARE:
            if search.done():
                return
            on = place(problem, nodes, lives, slack, part, search)
            if on is not None and _offer(
                problem, pack(problem, nodes, lives, on, search.seed, search.done), search
            ):
                break


def suits(problem: PlacementProblem) -> bool:
    """Whether a problem has home traffic that costs something and depends on the placement."""
    if problem.traffic != HOME or problem.balance_only or len(problem.live) < 2:
        return False
    if not (problem.free or problem.replace(max_imbalance=None).free):
        return False
    single = problem.n_slots == problem.n_experts
    by_source = problem.dispatch == ADAPTIVE and problem.sources is not None
    return single or problem.dispatch == LOCAL or by_source


def place(
    problem: PlacementProblem,
    nodes: Nodes,
    lives: FloatArray,
    slack: float,
    part: float,
    search: Search,
) -> BoolArray | None:
    """Return which node holds what, bool[L, E, N]; None where there is no time.

    Parameters
    ----------
    problem : PlacementProblem
    nodes : Nodes
    lives : float64[L, G, E]
    slack : float
        Excess of a node's load, relative to what its ranks take at equal load.
    part : float
        Of the spare slots, to use for replicas on several nodes.
    search : Search
    """
    spare = int(nodes.slots.sum()) - problem.n_experts
    used = used_slots(nodes.slots, problem.n_experts, round(part * spare), problem.slots)
    wanted = np.stack([lives[:, ranks].sum(axis=1) for ranks in nodes.ranks], axis=2)
    on = np.zeros(wanted.shape, dtype=np.bool_)
    for layer, worth in enumerate(np.rint(wanted * _UNIT).astype(np.int64)):
        best = best_copies(worth, used, search.done)
        if best is None:
            return None
        on[layer] = _filled(best, worth, used)
    none = np.zeros((0, problem.n_experts, problem.n_experts))
    state = State.start(none, wanted.sum(axis=2), on, wanted)
    limit = nodes.capacity * (1 + slack)
    if (state.load <= limit).all():
        return on
    replacing = REPLACING if problem.n_slots > problem.n_experts else 0.0
    steps = STEPS_PER_EXPERT * problem.n_layers * problem.n_experts
    limits = np.tile(limit, (problem.n_layers, 1))
    anneal_nodes(
        state, limits, steps=steps, seed=search.seed, replacing=replacing, hot=HOT, cold=COLD,
        batches=20, done=search.done,
    )  # fmt: skip
    return state.on.astype(np.bool_)


def _filled(on: BoolArray, worth: IntArray, used: IntArray) -> BoolArray:
    """Use slots that stayed free, for what is worth most there."""
    for n in np.flatnonzero(on.sum(axis=0) < used):
        others = np.flatnonzero(~on[:, n])
        extra = others[np.argsort(-worth[others, n], kind="stable")]
        on[extra[: used[n] - on[:, n].sum()], n] = True
    return on


def filled_plan(problem: PlacementProblem, on: BoolArray) -> PlacementPlan:
    """Return the plan of nodes that hold what ``on``, bool[L, E, N], says, ranks by load."""
    nodes, lives = nodes_of(problem), merged_residents(problem)
    wanted = np.stack([lives[:, ranks].sum(axis=1) for ranks in nodes.ranks], axis=2)
    worth = np.rint(wanted * _UNIT).astype(np.int64)
    full = np.stack([_filled(o.copy(), w, nodes.slots) for o, w in zip(on, worth, strict=True)])
    slots = pack(problem, nodes, lives, full, 0, lambda: False)
    if problem.dispatch == ADAPTIVE and problem.sources is not None:
        return PlacementPlan(slots, nearest_split(problem, slots))
    return PlacementPlan(slots)


def pack(
    problem: PlacementProblem,
    nodes: Nodes,
    lives: FloatArray,
    on: BoolArray,
    seed: int,
    done: Callable[[], bool],
) -> IntArray:
    """Balance the ranks of every node, int64[L, G, C]; -1 on dead ranks."""
    slots = np.full((problem.n_layers, problem.n_ranks, problem.slots), -1, dtype=np.int64)
    wanted = np.stack([lives[:, ranks].sum(axis=1) for ranks in nodes.ranks], axis=2)
    copies = on.sum(axis=2, keepdims=True)
    load = on * (wanted + (wanted * ~on).sum(axis=2, keepdims=True) / copies)
    pack_nodes(problem, nodes, on, load, slots, seed, done)
    return slots


def transport(problem: PlacementProblem, done: Callable[[], bool]) -> IntArray | None:
    """Send every expert to the rank where its transfers cost least in all, int64[L, G, C].

    For one slot per expert. Exact where links add up; loads play no part.
    """
    slots = np.full((problem.n_layers, problem.n_ranks, problem.slots), -1, dtype=np.int64)
    room = np.full(len(problem.live), problem.slots)
    for layer in range(problem.n_layers):
        cost = transport_cost(problem, layer, range(problem.n_profiles))
        on = best_copies(whole_worth(cost)[0], room, done)
        if on is None:
            return None
        for i, rank in enumerate(problem.live):
            slots[layer, rank] = np.flatnonzero(on[:, i])
    return slots


def nearest_split(problem: PlacementProblem, slots: IntArray) -> IntArray:
    """Send tokens to the nearest replicas, evenly, in whole tokens; int64[P, L, Q, G, C].

    On their own rank where that is their source, then in their node, then anywhere.
    """
    assert problem.sources is not None
    n_sources = problem.sources.shape[2]
    split = np.zeros((*problem.sources.shape[:3], *slots.shape[1:]), dtype=np.int64)
    home = np.arange(n_sources) if n_sources < problem.n_ranks else problem.node
    near = home[:, None] == problem.node[None, :]
    own = np.eye(problem.n_ranks, dtype=np.bool_)[:n_sources]
    if n_sources < problem.n_ranks:
        own = np.zeros_like(own)
    rank, slot = np.nonzero(slots[0] >= 0)
    for layer, table in enumerate(slots):
        expert = table[rank, slot]
        has = held(slots[layer][None], problem.n_experts)[0]
        goes = _nearest(has, own, near)  # [Q, E, G]
        # whole tokens: rounded running sums, so that every source's tokens are all there
        part = np.cumsum(goes, axis=2) / goes.sum(axis=2, keepdims=True)
        for p in range(problem.n_profiles):
            ends = np.rint(part * problem.sources[p, layer][:, :, None]).astype(np.int64)
            tokens = np.diff(ends, axis=2, prepend=0)
            split[p, layer][:, rank, slot] = tokens[:, expert, rank]
    return split


def _nearest(has: BoolArray, own: BoolArray, near: BoolArray) -> FloatArray:
    """float64[Q, E, G]: 1 where a token of a source may go."""
    beside = has[None] & near[:, None, :]
    goes = np.where(beside.any(axis=2, keepdims=True), beside, has[None])
    here = has[None] & own[:, None, :]
    return np.where(here.any(axis=2, keepdims=True), here, goes).astype(np.float64)


def _offer(problem: PlacementProblem, slots: IntArray | None, search: Search) -> bool:
    """Propose a table if it keeps to the load limit."""
    if slots is None:
        return False
    plan = PlacementPlan(slots)
    if problem.dispatch == ADAPTIVE and problem.sources is not None:
        split = nearest_split(problem, slots)
        tokens = split.sum(axis=(2, 4))[:, :, problem.live] / problem.cluster.speed[problem.live]
        limit = problem.max_imbalance
        if limit is not None and (tokens > limit * tokens.mean(axis=2, keepdims=True)).any():
            return False
        plan = PlacementPlan(slots, split)
    elif not fits(problem, propagate(problem, plan)):
        return False
    search.propose(plan, "home")
    return True
