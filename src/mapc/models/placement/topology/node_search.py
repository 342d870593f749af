"""Which node holds which expert: annealing over all layers together, under a limit on load.

Tokens stay on the rank of their last expert, and what they cost is mostly the way to another node.
Moves are swaps of experts between nodes, and replicas in place of others, priced by the tokens
that change node into and out of a layer. Spare slots are used best across nodes: an expert that
every node holds never makes a token travel, and hot ones make most of them. Source of the
approach: measured in the project, research notes on placement 8.4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load as load_kernels
from mapc.kernels import stream as random_stream
from mapc.models.placement.problem import FloatArray, PlacementProblem

KERNELS = "mapc.models.placement.topology.nodes_kernels"

PENALTY = 0.3
"""Cost of a token too many on a node, in tokens that change node."""
MENDING = 8
"""Further batches, with loads dearer, while one is above its limit."""
REPLACING = 0.05
HOT, COLD = 1e-4, 3e-6
"""Temperatures, in parts of a layer's tokens."""
STEPS_PER_EXPERT, BATCHES = 700, 40


@dataclass(frozen=True, eq=False)
class Nodes:
    """Slots and speeds of nodes. N nodes, E experts.

    Attributes
    ----------
    ranks : tuple of int64[...]
        Live ranks of every node.
    slots : int64[N]
        Different experts a node can hold.
    capacity : float64[N]
        Part of all tokens a node handles at equal load: speeds of its ranks over those of all.
    """

    ranks: tuple[IntArray, ...]
    slots: IntArray
    capacity: FloatArray


def nodes_of(problem: PlacementProblem) -> Nodes:
    """Return the nodes that have live ranks, in order; of a single node, every rank as one."""
    live, speed = problem.live, problem.cluster.speed
    ranks = [live[problem.node[live] == n] for n in range(problem.n_nodes)]
    ranks = [some for some in ranks if len(some)]
    if len(ranks) == 1:
        ranks = [live[i : i + 1] for i in range(len(live))]
    sizes = np.array([len(some) for some in ranks])
    return Nodes(
        tuple(ranks),
        np.minimum(sizes * problem.slots, problem.n_experts),
        np.array([speed[some].sum() for some in ranks]) / speed[live].sum(),
    )


@dataclass(eq=False)
class State:
    """Which node holds what, and what follows from it; arrays as in ``nodes_kernels.anneal``."""

    pairs: np.ndarray
    pairs_t: np.ndarray
    mass: FloatArray
    on: np.ndarray
    slots: IntArray
    used: IntArray
    copies: IntArray
    wanted: FloatArray
    share: FloatArray
    price: FloatArray
    load: FloatArray

    @classmethod
    def start(
        cls, pairs: np.ndarray, mass: FloatArray, on: BoolArray, wanted: FloatArray | None = None
    ) -> State:
        """Lay out the state of a table bool[L, E, N]; every layer uses the same slots of a node."""
        n_layers, n_experts, n_nodes = on.shape
        used = on.sum(axis=1)[0].astype(np.int64)
        slots = np.full((n_layers, n_nodes, int(used.max())), -1, dtype=np.int64)
        layer, node, expert = np.nonzero(on.transpose(0, 2, 1))
        position = np.concatenate([np.arange(u) for u in used])
        slots[layer, node, np.tile(position, n_layers)] = expert
        shape = (n_layers, n_experts, n_nodes)
        single = np.ascontiguousarray(pairs, dtype=np.float32)
        state = cls(
            single,
            np.ascontiguousarray(single.transpose(0, 2, 1)),
            np.ascontiguousarray(mass),
            np.ascontiguousarray(on, dtype=np.uint8),
            slots,
            used,
            on.sum(axis=2).astype(np.int64),
            np.zeros(shape) if wanted is None else np.ascontiguousarray(wanted, dtype=np.float64),
            np.zeros(shape),
            np.zeros(shape),
            np.zeros((n_layers, n_nodes)),
        )
        state.renew()
        return state

    def renew(self) -> float:
        """Recompute from ``on`` where tokens are and what lies behind; return those that travel."""
        crossing = 0.0
        for layer in range(len(self.on)):
            if layer and len(self.pairs):
                self.wanted[layer] = self.pairs_t[layer - 1] @ self.share[layer - 1]
            crossing += self._share(layer)
        self.load[:] = np.einsum("le,len->ln", self.mass, self.share)
        self.price[:] = 0.0
        for layer in range(len(self.pairs) - 1, -1, -1):
            self.price[layer] = self.pairs[layer] @ self._behind(layer + 1)
        return crossing

    def _share(self, layer: int) -> float:
        wanted, on = self.wanted[layer], self.on[layer].astype(np.float64)
        total, copies = wanted.sum(axis=1, keepdims=True), on.sum(axis=1, keepdims=True)
        lost = (wanted * (1 - on)).sum(axis=1, keepdims=True)
        mass = on * (wanted + lost / copies)
        self.share[layer] = on / copies
        np.divide(mass, total, out=self.share[layer], where=total > 0)
        return float(lost.sum())

    def _behind(self, layer: int) -> FloatArray:
        """float64[E, N]: cost of a token on a node that wants an expert, there and further on.

        Tokens wanting an expert of a single node go the same way from everywhere, so that only
        replicated experts make a difference further on.
        """
        on = self.on[layer].astype(np.float64)
        arriving = self.wanted[layer].sum(axis=1, keepdims=True)
        later = np.divide(self.price[layer], arriving, out=np.zeros_like(on), where=arriving > 0)
        mean = (later * on).sum(axis=1, keepdims=True) / on.sum(axis=1, keepdims=True)
        return np.asarray(np.where(on > 0, later, 1 + mean))


def anneal_nodes(
    state: State,
    limit: FloatArray,
    *,
    steps: int,
    seed: int = 0,
    replacing: float = REPLACING,
    hot: float = HOT,
    cold: float = COLD,
    batches: int = BATCHES,
    done: Callable[[], bool] | None = None,
) -> float | None:
    """Anneal a state in place; return the tokens that change node, None without kernels.

    Parameters
    ----------
    state : State
    limit : float64[L, N]
        Load of a node above which a layer pays.
    steps, seed : int
    replacing : float
        Part of the moves that replace a replica; 0 where experts stay single.
    hot, cold : float
        Temperatures.
    batches : int
        Times that everything is renewed on the way.
    """
    kernels = load_kernels(KERNELS, done)
    if kernels is None:
        return None
    if state.on.shape[2] < 2:
        return state.renew()
    stream = random_stream(seed, 0x4E)
    levels = np.geomspace(hot, cold, batches + 1)
    few = max(steps // batches, 1)

    def go(penalty: float, first: float, last: float) -> None:
        kernels.anneal(
            stream, state.pairs, state.pairs_t, state.mass, limit, state.slots, state.used,
            state.on, state.copies, state.wanted, state.share, state.price, state.load,
            penalty, replacing, first, last, few,
        )  # fmt: skip
        state.renew()

    for level, after in itertools.pairwise(levels):
        if done is not None and done():
            break
        go(PENALTY, level, after)
    # loads of later layers have moved with the last changes of earlier ones
    for _ in range(MENDING):
        if (state.load <= limit * (1 + 1e-4)).all() or (done is not None and done()):
            break
        go(10 * PENALTY, cold, cold)
    return state.renew()


def hottest_first(
    mass: FloatArray, slots: IntArray, capacity: FloatArray, spare: int, least: int = 0
) -> BoolArray:
    """Put the hottest experts on every node and the others on one each, by load.

    Parameters
    ----------
    mass : float64[L, E]
    slots : int64[N]
        Different experts a node holds, E at most; all are used that ``spare`` allows.
    capacity : float64[N]
        Loads are compared after division by these.
    spare : int
        Copies beyond one per expert in a layer, more where ``least`` asks for them.
    least : int
        Different experts every node must hold: the slots of a rank.

    Returns
    -------
    bool[L, E, N]
        The same number of experts on a node in every layer.
    """
    n_layers, n_experts = mass.shape
    n_nodes = len(slots)
    room = used_slots(slots, n_experts, spare, least)
    on = np.zeros((n_layers, n_experts, n_nodes), dtype=np.bool_)
    for layer in range(n_layers):
        order = np.argsort(-mass[layer], kind="stable")
        left, load = room.copy(), np.zeros(n_nodes)
        everywhere = min((int(room.sum()) - n_experts) // max(n_nodes - 1, 1), int(room.min()))
        on[layer, order[:everywhere]] = True
        left -= everywhere
        for e in order[everywhere:]:
            at = int(np.argmin(np.where(left > 0, load / capacity, np.inf)))
            on[layer, e, at] = True
            load[at] += mass[layer, e]
            left[at] -= 1
        for n in np.flatnonzero(left):
            extra = order[~on[layer, order, n]][: left[n]]
            on[layer, extra, n] = True
    return on


def used_slots(slots: IntArray, n_experts: int, spare: int, least: int) -> IntArray:
    """Leave slots to replicas inside nodes, so that ``spare`` copies are left across nodes.

    Parameters
    ----------
    slots : int64[N]
        Different experts a node can hold.
    n_experts, spare : int
    least : int
        Different experts every node must hold.

    Returns
    -------
    int64[N]
        Different experts a node is to hold; more than asked for where ``least`` says so.
    """
    room = slots.copy()
    for _ in range(max(int(room.sum()) - n_experts - spare, 0)):
        n = int(np.argmax(room))
        if room[n] <= least:
            break
        room[n] -= 1
    return room
