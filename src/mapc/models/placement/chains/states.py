"""All balanced states of a layer: which rank each expert sits on when there are no replicas.

Searches see live ranks only, numbered 0 to H - 1. A *state* is the rank of every expert, with
``slots`` experts on every rank; there are E! / (slots!)^H of them where nothing is forbidden:
2520 for 8 experts on 4 ranks, 70 on 2, 40320 on 8, 12870 for 16 experts on 2.

Ranks that no cost tells apart make states that differ by names only. A chain of layers may be
relabelled as a whole, so one side of every pair of layers needs one state of each class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import HOME, FloatArray, PlacementProblem

SmallArray = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class States:
    """The states of one layer: N of them, M up to relabelling.

    Attributes
    ----------
    rank : int8[N, E]
        The rank of every expert; rows in lexicographic order.
    first : int64[M]
        One state of each class.
    member : int64[N]
        The class of every state.
    relabel : int8[N, H]
        What turns the class's state into this one:
        ``rank[n] == relabel[n][rank[first[member[n]]]]``.
    """

    rank: SmallArray
    first: IntArray
    member: IntArray
    relabel: SmallArray

    def __len__(self) -> int:
        return len(self.rank)

    @property
    def n_ranks(self) -> int:
        """H."""
        return int(self.relabel.shape[1])

    @cached_property
    def table(self) -> IntArray:
        """int64[N, H, C]: the experts of every rank, in increasing order."""
        order = np.argsort(self.rank, axis=1, kind="stable")
        return order.reshape(len(self), self.n_ranks, -1).astype(np.int64)

    @cached_property
    def columns(self) -> NDArray[np.float32]:
        """float32[N, E * (H - 1)]: 1 where an expert sits, the last rank left out."""
        hot = self.rank[:, :, None] == np.arange(self.n_ranks - 1)
        return np.asarray(hot.reshape(len(self), -1), dtype=np.float32)

    def one_hot(self, chosen: IntArray | slice = slice(None)) -> FloatArray:
        """float64[n, E, H]: 1 where an expert sits."""
        return np.asarray(self.rank[chosen, :, None] == np.arange(self.n_ranks), dtype=np.float64)

    def index(self, rank: SmallArray) -> IntArray:
        """int64[n]: numbers of the states with these ranks, int8[n, E], which must exist."""
        weights = _weights(self.rank.shape[1], self.n_ranks)
        return np.asarray(np.searchsorted(self.rank @ weights, rank @ weights), dtype=np.int64)


def count_states(n_experts: int, slots: int) -> int:
    """Return the number of balanced states where nothing is forbidden."""
    return math.factorial(n_experts) // int(math.factorial(slots) ** (n_experts // slots))


def enumerate_states(allowed: BoolArray, slots: int, limit: int) -> SmallArray | None:
    """int8[N, E]: all balanced states within ``allowed``; None when that takes over ``limit``.

    Parameters
    ----------
    allowed : bool[E, H]
    slots : int
        Experts on every rank; ``slots * H == E``.
    limit : int
        Most partial states to hold.
    """
    n_experts, n_ranks = allowed.shape
    rank = np.zeros((1, 0), dtype=np.int8)
    room = np.full((1, n_ranks), slots, dtype=np.int16)
    for e in range(n_experts):
        row, g = np.nonzero((room > 0) & allowed[e])  # by row, then by rank: order is kept
        if len(row) > limit:
            return None
        rank = np.concatenate([rank[row], g[:, None].astype(np.int8)], axis=1)
        room = room[row]
        room[np.arange(len(row)), g] -= 1
    return rank


def permitted(problem: PlacementProblem) -> BoolArray:
    """bool[L, E, H]: where experts may sit, pins said as "nowhere else".

    Holds for problems without replicas, where a pinned expert has no second copy.
    """
    allowed = problem.allowed.copy()
    layer, expert, rank = problem.pinned.T
    only = np.zeros_like(allowed)
    only[layer, expert, rank] = True
    allowed[layer, expert] &= only[layer, expert]
    return np.ascontiguousarray(allowed[:, :, problem.live])


def within_budget(problem: PlacementProblem, plan: PlacementPlan) -> bool:
    """Whether a plan moves no more than it may."""
    if problem.max_moves is None or problem.current is None:
        return True
    stays = (plan.slots[..., None] == problem.current[:, :, None]).any(axis=3)
    return int((~stays[:, problem.live]).sum()) <= problem.max_moves


def symmetries(problem: PlacementProblem, allowed: BoolArray) -> IntArray:
    """int64[A, H]: relabellings of live ranks that change neither a cost nor a rule.

    Looked for among the exchanges of two ranks and of two nodes, rank by rank; together they
    generate all that clusters of equal nodes have. A symmetry that is missed costs time only.
    """
    live = problem.live
    pair = problem.pair_ticks[:, live][:, :, live]
    flat = [problem.token_ticks[:, live], problem.expert_ticks[:, live], allowed]
    if problem.max_imbalance is not None:  # loads are divided by speed, whatever tokens cost
        flat.append(problem.cluster.speed[live])
    if problem.traffic == HOME:  # where tokens live tells ranks apart
        return np.zeros((0, len(live)), dtype=np.int64)

    def same(move: IntArray) -> bool:
        if not np.array_equal(pair[:, move][:, :, move], pair):
            return False
        return all(np.array_equal(values[..., move], values) for values in flat)

    moves = [move for move in _exchanges(problem.node[live]) if same(move)]
    return np.array(moves, dtype=np.int64).reshape(-1, len(live))


def classify(rank: SmallArray, moves: IntArray) -> States:
    """Sort states into classes under the relabellings that ``moves`` generate.

    Parameters
    ----------
    rank : int8[N, E]
        In lexicographic order and closed under ``moves``.
    moves : int64[A, H]
    """
    n, n_ranks = len(rank), moves.shape[1]
    code = rank @ _weights(rank.shape[1], n_ranks)
    acts = [np.searchsorted(code, move.astype(np.int8)[rank] @ _weights(rank.shape[1], n_ranks))
            for move in moves]  # fmt: skip
    label = np.arange(n)
    while True:  # the least state of each class, by passing the least on
        before = label
        for act in acts:
            label = np.minimum(label, label[act])
        if label is before or np.array_equal(label, before):
            break
    first = np.flatnonzero(label == np.arange(n))
    relabel = np.full((n, n_ranks), -1, dtype=np.int8)
    relabel[first] = np.arange(n_ranks)
    front = first
    while len(front):
        reached = []
        for move, act in zip(moves, acts, strict=True):
            target = act[front]
            new = relabel[target, 0] < 0
            relabel[target[new]] = move.astype(np.int8)[relabel[front[new]]]
            reached.append(target[new])
        front = np.concatenate(reached) if reached else front[:0]
    return States(rank, first, np.searchsorted(first, label), relabel)


def states_of(problem: PlacementProblem, limit: int) -> list[States] | None:
    """Return the states of every layer within pins, forbidden pairs and dead ranks.

    The limit on loads is not looked at. Layers of equal rules share one object. None where there
    are replicas, more than ``limit`` states, or a layer without any.
    """
    if problem.n_slots != problem.n_experts:
        return None
    n_ranks = len(problem.live)
    if problem.n_experts * math.log2(max(n_ranks, 2)) > 62:  # codes of states are int64
        return None
    if problem.free and count_states(problem.n_experts, problem.slots) > limit:
        return None
    allowed = permitted(problem)
    moves = symmetries(problem, allowed)
    known: dict[bytes, States] = {}
    found = []
    for layer in allowed:
        key = layer.tobytes()
        if key not in known:
            rank = enumerate_states(layer, problem.slots, limit)
            if rank is None or not len(rank):
                return None
            known[key] = classify(rank, moves)
        found.append(known[key])
    return found


def _weights(n_experts: int, n_ranks: int) -> IntArray:
    """int64[E]: place values that make the code of a state grow with its lexicographic order."""
    return np.int64(n_ranks) ** np.arange(n_experts - 1, -1, -1, dtype=np.int64)


def _exchanges(node: IntArray) -> list[IntArray]:
    """Return the exchanges of two ranks and of two nodes of one size, as int64[H] each."""
    identity = np.arange(len(node))
    moves = []
    for g, h in combinations(range(len(node)), 2):
        move = identity.copy()
        move[[g, h]] = h, g
        moves.append(move)
    members = [np.flatnonzero(node == n) for n in np.unique(node)]
    for one, other in combinations(members, 2):
        if len(one) == len(other) > 1:
            move = identity.copy()
            move[one], move[other] = other, one
            moves.append(move)
    return moves
