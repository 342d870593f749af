"""Experts to nodes by affinity, then to ranks by load: chain traffic where nodes are far apart.

Inside a node, experts are packed on ranks layer after layer, since with local dispatch the load
of a replica follows from where tokens are; then ranks of a node swap experts so that tokens stay on
their rank as well, as far as load allows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load as load_kernels
from mapc.kernels import stream as random_stream
from mapc.models.base import Search
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import CHAIN, LOCAL, FloatArray, PlacementProblem
from mapc.models.placement.topology.node_search import (
    KERNELS,
    REPLACING,
    Nodes,
    State,
    anneal_nodes,
    hottest_first,
    nodes_of,
)
from mapc.models.placement.topology.propagation import (
    Flows,
    arrivals,
    choose_local,
    held,
    imbalance,
    propagate,
    step_ticks,
)
from mapc.models.placement.work.balance import balance_tables

SLACKS = (0.004, 0.03, 0.15)
"""Excess loads of nodes to try where no limit is given; what costs least in all is kept."""
QUICK, STEPS_PER_EXPERT = 70, 700
"""Moves tried per expert and layer, for a first plan and for a good one."""
SPARE = (1.0, 0.75, 0.5, 0.25)
"""Parts of the spare slots to use across nodes; the others balance the ranks of a node."""
TOLERANCE = 5e-4
"""Excess over even loads of ranks at which packing a node may stop."""
NEGLIGIBLE = 1e-4
"""Cost of a change of rank inside a node, beside one of node, that is not worth a swap."""
SETTLING, SWEEPS = 6_000, 3
"""Swaps tried in a node and layer, and times that all layers are gone through."""


def run(problem: PlacementProblem, search: Search) -> None:
    """Propose plans for chain traffic between nodes. See `mapc.models.placement.methods`."""
    if not suits(problem):
        return
    merged = merge(problem)
    work = problem.n_layers * problem.n_experts
    parts = SPARE if problem.dispatch == LOCAL else (0.0,)
    found: dict[float, tuple[float, float]] = {}
    for slack in _slacks(problem):
        for part in parts:
            step = _try(merged, slack, part, QUICK * work, 1, search)
            if step is not None:
                found[slack] = (step, part)
                break  # more spare slots left to the ranks only help where loads do not fit
        if found and problem.max_imbalance is not None:
            break  # a tighter one only helps where loads do not fit
    for slack in sorted(found, key=lambda s: found[s])[:2]:
        _try(merged, slack, found[slack][1], STEPS_PER_EXPERT * work, SWEEPS, search)


def suits(problem: PlacementProblem) -> bool:
    """Whether a problem has chain traffic that costs something, and no rules but a load limit."""
    free = problem.free or problem.replace(max_imbalance=None).free
    chain = problem.traffic == CHAIN and not problem.balance_only
    return chain and free and len(problem.live) > 1 and problem.n_layers > 1


@dataclass(frozen=True, eq=False)
class Merged:
    """All profiles of a problem as one, in parts of a layer's tokens.

    Attributes
    ----------
    problem : PlacementProblem
    nodes : Nodes
    pairs : float64[L - 1, E, E]
    mass : float64[L, E]
    """

    problem: PlacementProblem
    nodes: Nodes
    pairs: FloatArray
    mass: FloatArray


def merge(problem: PlacementProblem) -> Merged:
    """Add up profiles by what they count for in the objective."""
    assert problem.transitions is not None
    mass = np.einsum("p,ple->le", problem.factor, problem.counts.astype(np.float64))
    pairs = np.einsum("p,plef->lef", problem.factor, problem.transitions.astype(np.float64))
    total = pairs.sum(axis=(1, 2)).mean()
    return Merged(
        problem,
        nodes_of(problem),
        pairs / (total if total > 0 else 1.0),
        mass / mass.sum(axis=1, keepdims=True),
    )


def place(
    merged: Merged, slack: float, part: float, steps: int, seed: int, done: Callable[[], bool]
) -> BoolArray | None:
    """Return which node holds what, bool[L, E, N]; None where there is no time.

    Parameters
    ----------
    merged : Merged
    slack : float
        Excess of a node's load, relative to what its ranks take at equal load.
    part : float
        Of the spare slots, to use for replicas on several nodes.
    steps, seed : int
    """
    nodes, problem = merged.nodes, merged.problem
    spare = int(nodes.slots.sum()) - problem.n_experts
    on = hottest_first(merged.mass, nodes.slots, nodes.capacity, round(part * spare), problem.slots)
    limit = np.tile(nodes.capacity * (1 + slack), (problem.n_layers, 1))
    state = State.start(merged.pairs, merged.mass, on)
    replacing = REPLACING if problem.dispatch == LOCAL else 0.0
    crossing = anneal_nodes(state, limit, steps=steps, seed=seed, replacing=replacing, done=done)
    if crossing is None:
        return None
    return state.on.astype(np.bool_)


def _slacks(problem: PlacementProblem) -> tuple[float, ...]:
    """Leave a part of the excess that is allowed to the packing of ranks."""
    if problem.max_imbalance is None:
        return SLACKS
    return ((problem.max_imbalance - 1) * 0.75, (problem.max_imbalance - 1) * 0.4)


def _try(
    merged: Merged, slack: float, part: float, steps: int, sweeps: int, search: Search
) -> float | None:
    """Anneal nodes, pack and settle ranks, propose the best; return its step in ticks.

    None where nothing keeps to the load limit, or there is no time.
    """
    if search.done():
        return None
    problem = merged.problem
    on = place(merged, slack, part, steps, search.seed, search.done)
    if on is None:
        return None
    best: tuple[float, PlacementPlan] | None = None
    tables = pack(merged, on, search.seed, search.done)
    for slots in itertools.chain(
        [tables], settle(merged, tables, sweeps, search.seed, search.done)
    ):
        plan = PlacementPlan(slots)
        flows = propagate(problem, plan)
        if fits(problem, flows):
            step = step_ticks(problem, flows)
            best = (step, plan) if best is None or step < best[0] else best
    if best is None:
        return None
    search.propose(best[1], "nodes")
    return best[0]


def fits(problem: PlacementProblem, flows: list[Flows]) -> bool:
    """Whether loads keep to the limit, where there is one."""
    limit = problem.max_imbalance
    return limit is None or imbalance(problem, flows) <= limit


# -- ranks -----------------------------------------------------------------------------------------


def pack(merged: Merged, on: BoolArray, seed: int, done: Callable[[], bool]) -> IntArray:
    """Balance the ranks of every node, layer after layer; int64[L, G, C], -1 on dead ranks."""
    problem = merged.problem
    slots = np.full((problem.n_layers, problem.n_ranks, problem.slots), -1, dtype=np.int64)
    share = np.zeros((problem.n_experts, problem.n_ranks))
    for layer in range(problem.n_layers):
        wanted = (
            arrivals(merged.pairs[layer - 1], share)
            if layer
            else np.zeros((problem.n_ranks, problem.n_experts))
        )
        load = _node_shares(merged, on[layer], wanted) * merged.mass[layer][:, None]
        pack_nodes(
            problem, merged.nodes, on[layer][None], load[None], slots[layer][None], seed, done
        )
        share = _shares(merged, slots[layer], wanted)
    return slots


def pack_nodes(
    problem: PlacementProblem,
    nodes: Nodes,
    on: BoolArray,
    load: FloatArray,
    slots: IntArray,
    seed: int,
    done: Callable[[], bool],
) -> None:
    """Balance the ranks of every node in every layer; nodes that are alike in one go.

    Parameters
    ----------
    problem : PlacementProblem
    nodes : Nodes
    on : bool[L, E, N]
        As many experts on a node in every layer.
    load : float64[L, E, N]
        Of an expert on a node.
    slots : int64[L, G, C]
        Filled.
    seed : int
    done : callable
    """
    alike: dict[tuple[int, bytes], list[int]] = {}
    for n, ranks in enumerate(nodes.ranks):
        speeds = problem.cluster.speed[ranks].tobytes()
        alike.setdefault((int(on[0, :, n].sum()), speeds), []).append(n)
    for (used, _), group in alike.items():
        layer, node = np.indices((len(on), len(group))).reshape(2, -1)
        node = np.array(group)[node]
        experts = np.nonzero(on[layer, :, node])[1].reshape(len(layer), used)
        tables = balance_tables(
            load[layer[:, None], experts, node[:, None]],
            len(nodes.ranks[group[0]]),
            problem.slots,
            slowness=1 / problem.cluster.speed[nodes.ranks[group[0]]],
            tolerance=TOLERANCE,
            seed=seed,
            done=done,
        )
        ranks = np.stack([nodes.ranks[n] for n in node])
        filled = np.take_along_axis(experts[:, None, :], tables, axis=2)
        slots[layer[:, None], ranks] = filled


def _node_shares(merged: Merged, on: BoolArray, wanted: FloatArray) -> FloatArray:
    """float64[E, N]: part of an expert's tokens that each node handles."""
    per_node = np.stack([wanted[ranks].sum(axis=0) for ranks in merged.nodes.ranks], axis=1)
    copies, total = on.sum(axis=1, keepdims=True), per_node.sum(axis=1, keepdims=True)
    if merged.problem.dispatch != LOCAL:
        return np.asarray(on / copies)
    mass = on * (per_node + (per_node * ~on).sum(axis=1, keepdims=True) / copies)
    return np.asarray(np.divide(mass, total, out=on / copies, where=total > 0))


def _shares(merged: Merged, slots: IntArray, wanted: FloatArray) -> FloatArray:
    """float64[E, G]: part of an expert's tokens that each rank handles."""
    has = held(slots[None], merged.problem.n_experts)[0]
    even = has / has.sum(axis=1, keepdims=True)
    if merged.problem.dispatch != LOCAL:
        return np.asarray(even)
    mass, _ = choose_local(wanted, has, merged.problem.node)
    total = mass.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(mass, total, out=even, where=total > 0))


def settle(
    merged: Merged, slots: IntArray, sweeps: int, seed: int, done: Callable[[], bool]
) -> Iterator[IntArray]:
    """Yield tables in which ranks of a node have swapped experts so that tokens stay.

    Every sweep goes through the layers; an expert is drawn to the rank that its tokens come from,
    and to the rank that holds those they want next.

    Parameters
    ----------
    merged : Merged
    slots : int64[L, G, C]
    sweeps, seed : int
    """
    kernels = load_kernels(KERNELS, done)
    if kernels is None or not _worth_settling(merged):
        return
    problem, slots = merged.problem, slots.copy()
    stream = random_stream(seed, 0x5E)
    for _ in range(sweeps):
        share = np.zeros((problem.n_experts, problem.n_ranks))
        for layer in range(problem.n_layers):
            if done():
                return
            wanted = arrivals(merged.pairs[layer - 1], share) if layer else 0 * share.T
            gain = wanted.T.copy()
            if layer + 1 < problem.n_layers:
                has = held(slots[layer + 1][None], problem.n_experts)[0]
                gain += merged.pairs[layer] @ has
            share = _shares(merged, slots[layer], wanted)
            load = share * merged.mass[layer][:, None]
            _settle_layer(merged, kernels, stream, gain, load, slots[layer])
            share = _shares(merged, slots[layer], wanted)
        yield slots.copy()


def _worth_settling(merged: Merged) -> bool:
    """Whether a change of rank inside a node costs anything beside one of node."""
    inside = max(float(merged.problem.pair[np.ix_(r, r)].max()) for r in merged.nodes.ranks)
    return inside > NEGLIGIBLE * float(merged.problem.pair.max())


def _settle_layer(
    merged: Merged,
    kernels: object,
    stream: np.ndarray,
    gain: FloatArray,
    load: FloatArray,
    slots: IntArray,
) -> None:
    problem = merged.problem
    speed, live = problem.cluster.speed, problem.live
    total = load.sum(axis=0)[live] / speed[live]
    most = float(total.max())
    if problem.max_imbalance is not None:
        # what a swap does to replicas of one node is known only once it is made
        most = max(float(total.mean()) * (1 + 0.95 * (problem.max_imbalance - 1)), 0.0)
    for ranks in merged.nodes.ranks:
        if len(ranks) < 2:
            continue
        inside = load[:, ranks]
        copies = np.maximum((inside > 0).sum(axis=1, keepdims=True), 1)
        each = np.ascontiguousarray(inside.sum(axis=1, keepdims=True) / copies / speed[ranks])
        table = np.ascontiguousarray(slots[ranks])
        pull = np.ascontiguousarray(gain[:, ranks])
        top = float(pull.max())
        if top > 0:
            kernels.settle(  # type: ignore[attr-defined]
                stream, pull, each, np.full(len(ranks), most), table, top * 0.03, top * 1e-3,
                SETTLING,
            )  # fmt: skip
            slots[ranks] = table
