"""Balance of one row of work, layer by layer.

Four steps, each of which takes over where the one before is stuck:

1. Replica counts: one slot after the other to the expert whose replicas weigh most. With two slots
   per rank the best packing of given replicas is known (heaviest with lightest), and a search over
   counts follows (`mapc.models.placement.work.packing_kernels.fold`).
2. Packing, heaviest replica first, to the rank that is done soonest, never twice to one rank.
3. Steepest descent: the slowest rank swaps an expert with another rank; where that gains little,
   some slot changes its expert, or two experts are swapped for two. Two for two is what closes the
   last tenths of a per cent with few slots per rank: pairs of differences are far more, and so far
   denser, than differences.
4. Annealing of a q-norm for layers that are still above their bound (`bounds.row_bounds`).

Research notes: on 58 layers of 256 experts steps 1 to 3 take about a millisecond per layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mapc.graph.operators import IntArray
from mapc.kernels import load, stream
from mapc.models.base import Search
from mapc.models.placement.moves.relabelling import relabel
from mapc.models.placement.problem import LOCAL, FloatArray, PlacementProblem
from mapc.models.placement.rows import plan_of, rows_of
from mapc.models.placement.work.activation_bounds import least_extra
from mapc.models.placement.work.bounds import mean_bound, row_bounds

SOURCE = "descent"
QUICK, FINE = 1e-3, 1e-4
"""Excess over its bound at which a layer is good enough for a first plan, and for the last."""
STEPS = 20_000
"""Of one round of annealing; each run has twice as many as the one before."""
ROUNDS = 20
STAGES = ((QUICK, 0), (QUICK, ROUNDS), (0.0, 0), (FINE, 2 * ROUNDS))
"""Excess to reach and rounds of annealing to spend for one proposal after another."""
MOVES = 100_000
"""Most moves of a descent; far fewer are needed."""
NORM = 8
"""The annealed norm's power is 2 ** NORM."""
HEAT, COOLING = 0.1, 1e-3
"""First temperature as a part of the gap to be closed; last one as a part of the first."""
COOLER, PATIENCE = 0.3, 3
"""How much cooler the next run is after one that gained nothing; how many such runs end it."""

Done = Callable[[], bool]


def balance_tables(
    work: FloatArray,
    ranks: int,
    slots: int,
    *,
    slowness: FloatArray | None = None,
    tolerance: float = QUICK,
    rounds: int = ROUNDS,
    seed: int = 0,
    done: Done | None = None,
) -> IntArray:
    """Fill the slots of every layer so that its slowest rank has little to do.

    Parameters
    ----------
    work : float64[L, E]
        What each expert weighs, >= 0; its replicas share it equally.
    ranks, slots : int
        G ranks of C slots; ``C <= E <= G * C``.
    slowness : float64[G], optional
        Time of a rank per unit of weight, > 0; 1 for all if left out.
    tolerance : float
        Excess over the layer's bound at which to stop, as a part of it.
    rounds : int
        Most rounds of annealing, of 20,000 steps each.
    seed : int
    done : callable, optional
        Whether to stop; what there is then is returned.

    Returns
    -------
    int64[L, G, C]
        No rank holds an expert twice, every expert is somewhere.
    """
    rows = np.ascontiguousarray(work, dtype=np.float64)
    slow = np.ones(ranks) if slowness is None else np.ascontiguousarray(slowness, dtype=np.float64)
    tables = np.tile(in_order(rows.shape[1], ranks, slots), (len(rows), 1, 1))
    kernels = _Kernels.loaded(done)
    if kernels is None:
        return tables
    bounds = row_bounds(rows, slow, slots)
    copies = np.arange(1, min(ranks, ranks * slots - rows.shape[1] + 1) + 1)
    for layer, row in enumerate(rows):
        if done is not None and done():
            break
        one = Layer(np.ascontiguousarray(row[:, None] / copies), slow, float(bounds[layer]))
        kernels.pack(one, tables[layer])
        kernels.refine(one, tables[layer], tolerance, rounds, (seed, layer), done)
    return tables


def in_order(n_experts: int, ranks: int, slots: int) -> IntArray:
    """int64[G, C]: experts in order, from the first again after the last."""
    return (np.arange(ranks * slots, dtype=np.int64) % n_experts).reshape(ranks, slots)


@dataclass(frozen=True, eq=False)
class Layer:
    """What balancing one layer goes by.

    Attributes
    ----------
    item : float64[E, R]
        Weight of one replica of an expert that has 1, 2, ... of them.
    slow : float64[G]
        Time of each rank per unit of weight.
    bound : float
        No table's slowest rank takes less time.
    """

    item: FloatArray
    slow: FloatArray
    bound: float


@dataclass(frozen=True, eq=False)
class _Kernels:
    """The compiled modules, and how they work together."""

    packing: ModuleType
    descent: ModuleType
    cooling: ModuleType

    @classmethod
    def loaded(cls, done: Done | None) -> _Kernels | None:
        """Return them, or None when ``done`` says so before they are compiled."""
        packing = load("mapc.models.placement.work.packing_kernels", done)
        descent = packing and load("mapc.models.placement.work.balance_kernels", done)
        cooling = descent and load("mapc.models.placement.work.cooling_kernels", done)
        if packing is None or descent is None or cooling is None:
            return None
        return cls(packing, descent, cooling)

    def pack(self, layer: Layer, table: IntArray) -> None:
        """Fill a table: replica counts, then packing."""
        copies = np.empty(len(layer.item), dtype=np.int64)
        self.packing.replicate(layer.item, table.size, copies)
        if table.shape[1] == 2 and table.size > len(copies) and np.ptp(layer.slow) == 0:
            self.packing.fold(layer.item, copies, layer.bound / layer.slow[0], MOVES)
        self.packing.pack(copies, layer.item, layer.slow, table)

    def refine(
        self,
        layer: Layer,
        table: IntArray,
        tolerance: float,
        rounds: int,
        path: tuple[int, ...],
        done: Done | None,
    ) -> float:
        """Improve a table in place by descent and annealing; return its slowest rank's time."""
        target = layer.bound * (1 + tolerance)
        time = float(self.descent.descend(table, layer.item, layer.slow, target, MOVES))
        spent, round_, idle = 0, 1, 0
        while time > target and spent + round_ <= rounds and idle < PATIENCE:
            if done is not None and done():
                break
            other = table.copy()
            heat = HEAT * COOLER**idle * (time / layer.bound - 1)
            state = stream(*path, round_)
            self.cooling.anneal(
                other,
                layer.item,
                layer.slow,
                layer.bound,
                NORM,
                STEPS * round_,
                heat,
                heat * COOLING,
                state,
            )
            found = float(self.descent.descend(other, layer.item, layer.slow, target, MOVES))
            idle = 0 if found < time * (1 - 1e-5) else idle + 1
            if found < time:
                table[:], time = other, found
            spent, round_ = spent + round_, 2 * round_
        return time


def run(problem: PlacementProblem, search: Search) -> None:
    """Propose tables that balance the weighted sum of all rows of work, then finer ones.

    For a single profile that is what counts. For several it is a start, and where transfers cost
    something as well; neither is refined.
    """
    bound = len(problem.pinned) or len(problem.forbidden) or problem.budgeted
    if bound or not (problem.cost.token or problem.cost.expert):
        return
    kernels = _Kernels.loaded(search.done)
    if kernels is None:
        return
    layers = _layers(problem)
    tables = np.tile(
        in_order(problem.n_experts, len(problem.live), problem.slots), (problem.n_layers, 1, 1)
    )
    single = problem.n_profiles == 1 and problem.balance_only
    for stage, (tolerance, rounds) in enumerate(STAGES if single else STAGES[:1]):
        for at, layer in enumerate(layers):
            # what is begun is finished: a plan needs all layers, and packing one takes little
            if stage == 0:
                kernels.pack(layer, tables[at])
            if not search.done():
                path = (search.seed, stage, at)
                kernels.refine(layer, tables[at], tolerance, rounds, path, search.done)
        _offer(problem, tables, search)
        if search.done():
            return


def _layers(problem: PlacementProblem) -> list[Layer]:
    """Return what balancing each layer goes by: of every profile the heavier of its rows."""
    rows = rows_of(problem)
    total = rows.work.sum(axis=(1, 2))
    chosen = [
        max(np.flatnonzero(rows.profile == p), key=lambda k: float(total[k]))
        for p in range(problem.n_profiles)
    ]
    item = [rows.items(layer)[chosen].sum(axis=0) for layer in range(problem.n_layers)]
    single = np.stack([one[:, 0] for one in item])
    bounds = row_bounds(single, rows.slowness, problem.slots)
    if problem.n_profiles == 1 and rows.activated[chosen[0]]:
        extra = 1 + least_extra(problem, 0) / problem.activated()[0].sum(axis=1)
        bounds = np.maximum(bounds, mean_bound(single.sum(axis=1) * extra, rows.slowness))
    return [
        Layer(np.ascontiguousarray(one), rows.slowness, float(bound))
        for one, bound in zip(item, bounds, strict=True)
    ]


def _offer(problem: PlacementProblem, tables: IntArray, search: Search) -> None:
    """Propose tables, unless they break a limit on loads."""
    if problem.max_imbalance is not None:
        if problem.dispatch == LOCAL and problem.n_slots > problem.n_experts:
            return  # who is near decides about loads: for searches that look at that
        plan = plan_of(problem, tables)
        share = problem.counts / plan.replicas(problem.n_experts)
        layer = np.arange(problem.n_layers)[:, None, None]
        load = share[:, layer, tables].sum(axis=3) / problem.cluster.speed[problem.live]
        if (load > problem.max_imbalance * (1 + 1e-12) * load.mean(axis=2, keepdims=True)).any():
            return
    if problem.current is not None:
        tables = relabel(problem, tables)
    search.propose(plan_of(problem, tables), SOURCE)
