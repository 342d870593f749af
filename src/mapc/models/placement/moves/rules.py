"""Pins, forbidden pairs, dead ranks and the placement in force: tables that obey them.

Which pairs of expert and rank a layer holds is a bipartite degree-constrained subgraph: every rank
holds exactly C experts, every expert sits on one rank at least, some pairs must and some must not
be there. Such subgraphs are flows, so a feasible table, the one with the fewest new pairs, and the
reason why there is none, all come from augmenting paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import load
from mapc.models.base import Search
from mapc.models.placement.problem import ADAPTIVE, PlacementProblem
from mapc.models.placement.profiles import flows
from mapc.models.placement.rows import plan_of, rows_of
from mapc.models.placement.verify import verify

SHOWN = 8
"""Experts or ranks named in a message before it only counts the others."""


@dataclass(frozen=True, eq=False)
class LayerRules:
    """What a table of one layer has to obey; live ranks only, numbered 0 to H - 1.

    Attributes
    ----------
    slots : int
        C: different experts on every rank.
    allowed : bool[E, H]
        Pairs that may hold.
    pinned : bool[E, H]
        Pairs that must hold, all of them allowed.
    table : int64[H, C] or None
        The placement in force, -1 where a slot is empty or what it held is lost.
    where : str
        For messages: ``"layer 3"``.
    names : tuple of str
        Names of the ranks, for messages.
    """

    slots: int
    allowed: BoolArray
    pinned: BoolArray
    table: IntArray | None = None
    where: str = "layer"
    names: Sequence[str] = field(default_factory=tuple)

    @property
    def n_experts(self) -> int:
        """E."""
        return int(self.allowed.shape[0])

    @property
    def n_ranks(self) -> int:
        """H."""
        return int(self.allowed.shape[1])

    @cached_property
    def old(self) -> BoolArray:
        """bool[E, H]: pairs of the placement in force; none where there is no such placement."""
        return members(self.table, self.n_experts, self.n_ranks)

    def locked(self, table: IntArray) -> BoolArray:
        """bool[H, C]: slots of a table that hold what is pinned there."""
        return np.asarray(self.pinned[table, np.arange(self.n_ranks)[:, None]])

    def new_pairs(self, table: IntArray) -> int:
        """Count the pairs of a table that are not in force."""
        return int((~self.old[table, np.arange(self.n_ranks)[:, None]]).sum())

    def obeyed(self, table: IntArray) -> bool:
        """Whether a table int64[H, C] is complete, without duplicates, and within the rules."""
        if table.shape != (self.n_ranks, self.slots) or table.min() < 0:
            return False
        held = members(table, self.n_experts, self.n_ranks)
        return bool(
            held.sum() == table.size
            and held.any(axis=1).all()
            and not (held & ~self.allowed).any()
            and not (self.pinned & ~held).any()
        )


def members(table: IntArray | None, n_experts: int, n_ranks: int) -> BoolArray:
    """bool[E, H]: the pairs of a table int64[H, C]; -1 is no expert."""
    held = np.zeros((n_experts, n_ranks), dtype=np.bool_)
    if table is not None:
        rank, slot = np.nonzero(table >= 0)
        held[table[rank, slot], rank] = True
    return held


def layer_rules(problem: PlacementProblem) -> list[LayerRules]:
    """Return the rules of every layer."""
    live = problem.live
    pinned = np.zeros_like(problem.allowed)
    layer, expert, rank = problem.pinned.T
    pinned[layer, expert, rank] = True
    current = None if problem.current is None else problem.current[:, live]
    names = tuple(problem.cluster.names[g] for g in live)
    return [
        LayerRules(
            problem.slots,
            np.ascontiguousarray(problem.allowed[at][:, live]),
            np.ascontiguousarray(pinned[at][:, live]),
            None if current is None else np.ascontiguousarray(current[at]),
            f"layer {problem.layer_ids[at]}",
            names,
        )
        for at in range(problem.n_layers)
    ]


# -- a table that obeys ---------------------------------------------------------------------------


def feasible_table(rules: LayerRules, preferred: IntArray | None = None) -> IntArray:
    """Return a table that obeys the rules.

    With a placement in force it is one with the fewest pairs that are not in force, and among
    those one with the fewest pairs that are not in ``preferred``. Without, it is one with the
    fewest pairs that are not in ``preferred`` (experts in order, if that is not given).

    Both are minimum-cost flows from a source through experts (one unit at least, but for pinned
    ones) and allowed pairs (at most one unit, at the cost of a pair) to ranks (exactly the slots
    that pins leave). The pairs that cost nothing, all taken, are a pseudo-flow of least reduced
    cost at potentials 0; successive shortest paths from excess to deficit keep it so, hence the
    flow they end in is a cheapest one (Ahuja, Magnanti, Orlin, *Network Flows*, section 9.7).

    Parameters
    ----------
    rules : LayerRules
    preferred : int64[H, C], optional
        A table of another method, to be mended; -1: empty.

    Returns
    -------
    int64[H, C]
        Experts of every rank in increasing order.

    Raises
    ------
    InfeasibleError
        If there is none; the message names experts that fit nowhere, or a rank that cannot be
        filled.
    """
    shape = rules.n_experts, rules.n_ranks
    if preferred is None and rules.table is None:
        order = np.arange(rules.n_ranks * rules.slots) % rules.n_experts
        preferred = order.reshape(rules.n_ranks, rules.slots)
    cost = np.zeros(shape, dtype=np.int64)
    if preferred is not None:
        cost += ~members(preferred, *shape)
    if rules.table is not None:
        cost += np.where(rules.old, 0, rules.n_ranks * rules.slots + 1)
    flow = _Flow(rules, cost)
    flow.balance()
    held = flow.taken | rules.pinned
    return np.nonzero(held.T)[1].reshape(rules.n_ranks, rules.slots).astype(np.int64)


class _Flow:
    """Pairs taken so far beside the pinned ones, and what is left to route."""

    def __init__(self, rules: LayerRules, cost: IntArray) -> None:
        self.rules, self.cost = rules, cost.astype(np.float64)
        self.free = rules.allowed & ~rules.pinned
        self.room = rules.slots - rules.pinned.sum(axis=0)
        self.least = (~rules.pinned.any(axis=1)).astype(np.int64)
        for h in np.flatnonzero(self.room < 0).tolist():
            what = f"{rules.slots - self.room[h]} experts are pinned"
            raise InfeasibleError(f"{rules.where}: {what} to {self._rank(h)}, which has room "
                                  f"for {rules.slots}")  # fmt: skip
        self.taken = self.free & (cost == 0)
        self.copies = np.maximum(self.taken.sum(axis=1), self.least)

    def balance(self) -> None:
        """Route every excess to a deficit, each along a shortest path."""
        while True:
            expert = self.copies - self.taken.sum(axis=1)  # copies that sit nowhere yet
            rank = self.taken.sum(axis=0) - self.room  # too many, or slots left empty
            spare = int(self.room.sum() - self.copies.sum())  # slots beyond the copies
            if not expert.any() and not (rank > 0).any() and spare <= 0:
                return  # what is in excess is what is missing
            self._augment(expert > 0, rank, spare)

    def _augment(self, expert: BoolArray, rank: IntArray, spare: int) -> None:
        """Shift one unit; nodes are experts, ranks, and the source of copies."""
        n_experts, n_ranks = self.cost.shape
        source = n_experts + n_ranks
        e_dist = np.where(expert, 0.0, np.inf)
        h_dist = np.where(rank > 0, 0.0, np.inf)
        s_dist = 0.0 if spare > 0 else np.inf
        parent = np.full(source + 1, -1)
        take = np.where(self.free & ~self.taken, self.cost, np.inf)
        drop = np.where(self.taken, -self.cost, np.inf)
        while True:
            reach = e_dist[:, None] + take
            via = reach.argmin(axis=0)
            best = reach[via, np.arange(n_ranks)]
            nearer = best < h_dist
            h_dist = np.where(nearer, best, h_dist)
            parent[n_experts:source][nearer] = via[nearer]
            reach = h_dist + drop
            via = reach.argmin(axis=1)
            best = reach[np.arange(n_experts), via]
            closer = best < e_dist
            e_dist = np.where(closer, best, e_dist)
            parent[:n_experts][closer] = n_experts + via[closer]
            back = np.where(self.copies > self.least, e_dist, np.inf)
            first = int(back.argmin())
            moved = bool(back[first] < s_dist)
            if moved:
                s_dist, parent[source] = float(back[first]), first
            out = e_dist > s_dist
            e_dist[out], parent[:n_experts][out] = s_dist, source
            if not (nearer.any() or closer.any() or moved or out.any()):
                break
        ends = np.append(np.where(rank < 0, h_dist, np.inf), s_dist if spare < 0 else np.inf)
        if np.isinf(ends.min()):
            raise InfeasibleError(self._witness(np.isfinite(e_dist), np.isfinite(h_dist), s_dist))
        self._shift(n_experts + int(ends.argmin()), parent)

    def _shift(self, node: int, parent: IntArray) -> None:
        n_experts, n_ranks = self.cost.shape
        while (before := int(parent[node])) >= 0:
            if node == n_experts + n_ranks:
                self.copies[before] -= 1
            elif before == n_experts + n_ranks:
                self.copies[node] += 1
            elif before < n_experts:
                self.taken[before, node - n_experts] = True
            else:
                self.taken[node, before - n_experts] = False
            node = before

    def _witness(self, experts: BoolArray, ranks: BoolArray, source: float) -> str:
        """Say why nothing reaches a deficit: the set that is reached is too large for its place.

        If the source of copies is reached, so are all experts, and a rank with an empty slot that
        is not reached holds all that it may hold. Otherwise every reached expert has its only copy
        in a reached rank or nowhere, all ranks that it may use are reached, and these are full of
        reached experts: more experts than slots.
        """
        rules = self.rules
        if np.isfinite(source):
            h = int(np.flatnonzero(~ranks & (self.taken.sum(axis=0) < self.room))[0])
            may = int(rules.allowed[:, h].sum())
            return (
                f"{rules.where}: {self._rank(h)} may hold {may} experts and has {rules.slots} slots"
            )
        who, where = np.flatnonzero(experts).tolist(), np.flatnonzero(ranks).tolist()
        named = _listed([f"expert {e}" for e in who], "experts")
        if not where:
            return f"{rules.where}: {named} {'fits' if len(who) == 1 else 'fit'} nowhere"
        places, free = _listed([self._rank(h) for h in where], "ranks"), int(self.room[where].sum())
        return (
            f"{rules.where}: {named} fit only on {places}, with {free} slots beside what is pinned"
        )

    def _rank(self, h: int) -> str:
        return self.rules.names[h] if len(self.rules.names) else f"rank {h}"


def _listed(names: Sequence[str], noun: str) -> str:
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{len(names)} {noun} ({', '.join(names[:SHOWN])}, ...)"


# -- as a method ----------------------------------------------------------------------------------


def feasible_tables(
    problem: PlacementProblem, preferred: IntArray | None = None
) -> tuple[list[LayerRules], IntArray]:
    """Return the rules of every layer, and a table that obeys them, see `feasible_table`.

    Parameters
    ----------
    problem : PlacementProblem
    preferred : int64[L, H, C], optional

    Returns
    -------
    rules : list of LayerRules
    tables : int64[L, H, C]

    Raises
    ------
    InfeasibleError
        If a layer has none, or if together they need more moves than the budget.
    """
    rules = layer_rules(problem)
    tables = np.empty((problem.n_layers, len(problem.live), problem.slots), dtype=np.int64)
    for layer, rule in enumerate(rules):
        wanted = None if preferred is None else preferred[layer]
        start = wanted if rule.table is None else rule.table
        if start is None or not rule.obeyed(start):
            start = feasible_table(rule, wanted)
        tables[layer] = start
    if problem.max_moves is not None:
        moves = sum(rule.new_pairs(table) for rule, table in zip(rules, tables, strict=True))
        if moves > problem.max_moves:
            raise InfeasibleError(
                f"needs at least {moves} moves; the budget is {problem.max_moves}"
            )
    return rules, tables


def run(problem: PlacementProblem, search: Search) -> None:
    """Propose what is in force, mended as far as rules demand; without it, any table that obeys.

    Then, unless a migration budget leaves that to another method, the work of every layer is
    brought down by steepest descent within the rules.
    """
    if problem.free and problem.current is None:
        return
    preferred = None
    if problem.current is None:
        preferred = _fresh(problem, search)
    rules, tables = feasible_tables(problem, preferred)
    propose(problem, search, tables, "stay")
    if problem.free or problem.max_moves is not None:
        return
    starts = [tables]
    if problem.current is not None:
        starts.append(mended(rules, _fresh(problem, search)))
    best = improve(problem, rules, starts, search.done)
    propose(problem, search, best, "stay")


def propose(problem: PlacementProblem, search: Search, tables: IntArray, source: str) -> bool:
    """Propose tables int64[L, H, C] that obey all rules but, perhaps, the limit of load.

    Under adaptive dispatch with an equal split first, then with the best one.
    """
    plans = [plan_of(problem, tables)]
    if problem.dispatch == ADAPTIVE and load(flows.KERNELS, search.done) is not None:
        tokens = flows.best_split(problem, tables).tokens
        plans.append(plan_of(problem, tables, flows.by_source(problem, tables, tokens)))
    better = False
    for plan in plans:
        if problem.max_imbalance is not None and verify(problem, plan).violations:
            continue  # not worth a remark: other tables will do
        better = search.propose(plan, source) or better
    return better


def _fresh(problem: PlacementProblem, search: Search) -> IntArray:
    """int64[L, H, C]: tables balanced as if there were no rules."""
    from mapc.models.placement.work.balance import balance_tables

    rows = rows_of(problem)
    return balance_tables(
        rows.work.sum(axis=0),
        len(problem.live),
        problem.slots,
        slowness=rows.slowness,
        seed=search.seed,
        done=search.done,
    )


def mended(rules: Sequence[LayerRules], tables: IntArray) -> IntArray:
    """int64[L, H, C]: tables with the fewest pairs changed to obey, whatever is in force."""
    return np.stack(
        [
            table if rule.obeyed(table) else feasible_table(replace(rule, table=None), table)
            for rule, table in zip(rules, tables, strict=True)
        ]
    )


def improve(
    problem: PlacementProblem,
    rules: Sequence[LayerRules],
    starts: Sequence[IntArray],
    done: Callable[[], bool] | None = None,
) -> IntArray:
    """Bring the work of every layer down by steepest descent within the rules.

    Parameters
    ----------
    problem : PlacementProblem
    rules : sequence of LayerRules
    starts : sequence of int64[L, H, C]
        Tables that obey; each layer ends in the best descent from any of them.
    done : callable, optional
        Whether to stop; what there is then is returned.

    Returns
    -------
    int64[L, H, C]
        Never worse than the first start, by the sum over profiles of the largest work.
    """
    from mapc.models.placement.moves.layer_tables import LayerTables, load_kernels

    kernels = load_kernels(done)
    tables = starts[0].copy()
    if kernels is None:
        return tables
    rows = rows_of(problem)
    for layer, rule in enumerate(rules):
        if done is not None and done():
            break
        found = LayerTables(kernels, rows, layer, replace(rule, table=None))
        for start in starts:
            found.offer(start[layer])
            for doublings in (4, 6):
                found.descend(start[layer], doublings)
        tables[layer] = found.best()
    return tables
