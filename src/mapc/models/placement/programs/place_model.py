"""What all placement programs share: experts on ranks, costs of layers, rules, the objective.

Costs are whole numbers of a unit of ticks. Where the unit divides all of them a program is exact;
otherwise they are rounded so that its optimum stays a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import HOME, WORST, FloatArray, PlacementProblem
from mapc.models.placement.rows import plan_of
from mapc.program import Block, Program
from mapc.solvers.base import Solution

LARGEST = 1 << 24
"""Where a cost is scaled to: above it solvers lose digits."""


@dataclass(frozen=True, eq=False)
class PlaceLift:
    """Reads the answers of a program whose binaries ``x[l, e, g, ...]`` say what sits where.

    Attributes
    ----------
    problem : PlacementProblem
    x : Block
        [L, E, H] or, by the number of replicas, [L, E, H, K].
    unit : float
        Ticks per unit of the program's objective.
    """

    problem: PlacementProblem
    x: Block
    unit: float

    def __call__(self, solution: Solution) -> PlacementPlan:
        """Return the plan of a solution.

        Raises
        ------
        UsageError
            When the solution has no values.
        """
        if solution.values is None:
            raise UsageError(f"no experts in a solution that is {solution.status.value}")
        return self.plan(solution.values)

    def plan(self, values: FloatArray) -> PlacementPlan:
        """Return the plan of the values of all columns."""
        return plan_of(self.problem, self.tables(values))

    def tables(self, values: FloatArray) -> IntArray:
        """int64[L, H, C]: the experts of every rank."""
        held = self.x.of(values)
        if held.ndim == 4:
            held = held.sum(axis=3)
        _, _, expert = np.nonzero(held.transpose(0, 2, 1) > 0.5)
        return expert.reshape(held.shape[0], held.shape[2], -1).astype(np.int64)

    def bound(self, value: float) -> float:
        """Return what no plan undercuts, from a lower bound of the program."""
        return value * self.unit * self.problem.tick


class PlaceModel:
    """A program under construction: experts on ranks, work, transfers, objective.

    Parameters
    ----------
    problem : PlacementProblem
    name : str
        Of the program.
    """

    def __init__(self, problem: PlacementProblem, name: str) -> None:
        self.problem, self.program = problem, Program(f"{problem.name}: {name}")
        self.live = problem.live
        self.pair = problem.pair_ticks[:, self.live][:, :, self.live]
        self.shape = (problem.n_layers, problem.n_experts, len(self.live))
        self.unit = unit_of(problem)
        self.work = self._cost("work", problem.n_layers)
        self.moved = self._cost("moved", 0 if problem.balance_only else problem.n_layers)

    def _cost(self, name: str, n_layers: int) -> Block:
        most = _ticks_at_most(self.problem) / self.unit
        shape = (self.problem.n_profiles, n_layers)
        return self.program.variables(shape, 0.0, float(np.ceil(most)) + 1, name=name)

    def down(self, ticks: FloatArray) -> FloatArray:
        """Return whole units, rounded down."""
        return np.floor(ticks / self.unit)

    # -- what every model has ----------------------------------------------------------------------

    def loads(self, profile: int, block: Block, columns: IntArray, ticks: FloatArray) -> None:
        """Hold costs of layers from below by sums over columns.

        Parameters
        ----------
        profile : int
        block : Block
            ``work`` or ``moved``.
        columns, ticks : int64[L, r, k], float64[L, r, k]
            r sums for each layer.
        """
        n_layers, r, k = columns.shape
        own = np.repeat(block.columns[profile, :, None], r, axis=1)[:, :, None]
        whole = np.concatenate([own, columns], axis=2).reshape(n_layers * r, k + 1)
        sums = np.concatenate([np.ones(own.shape), -self.down(ticks)], axis=2)
        self.program.rows(whole, sums.reshape(whole.shape), lower=0.0, name=block.name)

    def finish(self) -> None:
        """Make the objective of work and transfers."""
        problem, program = self.problem, self.program
        parts = [self.work.columns]
        if self.moved.size:
            parts.append(self.moved.columns)
        if problem.cost.overlap and len(parts) == 2:
            both = self._cost("layer", problem.n_layers)
            for part in parts:
                ends = np.stack([both.columns.ravel(), part.ravel()], axis=1)
                program.rows(ends, [1.0, -1.0], lower=0.0, name="overlap")
            parts = [both.columns]
        fixed = self.down(problem.layer_ticks) * problem.n_layers
        step = np.concatenate(parts, axis=1)
        if problem.cost.profiles == WORST and problem.n_profiles > 1:
            most = 2 * problem.n_layers * (_ticks_at_most(problem) / self.unit + 1)
            most = float(np.ceil(most + fixed.max()))
            top = program.variables(1, 0.0, most, cost=1.0, name="slowest")
            columns = np.insert(step, 0, top.start, axis=1)
            sums = np.append(1.0, -np.ones(step.shape[1]))
            program.rows(columns, sums, lower=fixed, name="slowest")
        else:
            program.minimise(step, 1.0, float(fixed.sum()))

    def moves(self, x: IntArray) -> None:
        """Hold the budget of moves; x int64[L, E, H] or [L, E, H, K]."""
        problem = self.problem
        if problem.max_moves is None or problem.current is None:
            return
        old = np.zeros((*self.shape[:2], problem.n_ranks), dtype=np.bool_)
        layer, rank, slot = np.nonzero(problem.current >= 0)
        old[layer, problem.current[layer, rank, slot], rank] = True
        new = x[~old[:, :, self.live]].reshape(1, -1)
        self.program.rows(new, 1.0, upper=float(problem.max_moves), name="moves")

    def limit(self, columns: IntArray, tokens: FloatArray) -> None:
        """Hold the limit on loads.

        Parameters
        ----------
        columns : int64[L, H, k]
            What sits on each rank.
        tokens : float64[P, L, k]
            Of each column, the same on all ranks.
        """
        problem = self.problem
        if problem.max_imbalance is None:
            return
        slow = 1 / problem.cluster.speed[self.live]
        most = problem.max_imbalance * (1 + 1e-12)
        n_layers, n_ranks, k = columns.shape
        for profile in range(problem.n_profiles):
            load = tokens[profile]
            if not np.ptp(slow):
                total = problem.counts[profile].sum(axis=1)
                side = np.repeat(most * total / n_ranks, n_ranks)
                share = np.repeat(load[:, None], n_ranks, axis=1)
                flat = columns.reshape(-1, k)
                self.program.rows(flat, share.reshape(flat.shape), upper=side, name="load limit")
                continue
            # load[g] / speed[g] - limit * mean over ranks of load / speed <= 0
            everywhere = np.repeat(columns.reshape(n_layers, 1, -1), n_ranks, axis=1)
            price = np.eye(n_ranks)[:, :, None] * slow[:, None] - most * slow[:, None] / n_ranks
            share = price[None] * load[:, None, None, :]
            flat = everywhere.reshape(n_layers * n_ranks, -1)
            self.program.rows(flat, share.reshape(flat.shape), upper=0.0, name="load limit")


def unit_of(problem: PlacementProblem) -> float:
    """Return ticks per unit: what divides all costs, or what brings them down to `LARGEST`."""
    whole = [problem.token_ticks.ravel(), problem.pair_ticks.ravel(), problem.layer_ticks]
    unit = max(1, int(np.gcd.reduce(np.concatenate(whole).astype(np.int64))))
    exact = problem.n_slots == problem.n_experts and not problem.cost.expert
    if not exact or (problem.traffic == HOME and not problem.balance_only):
        unit = 1
    most = problem.counts.max() * problem.token_ticks.max()
    if problem.transitions is not None:
        most = max(most, problem.transitions.max(initial=0) * problem.pair_ticks.max())
    most = max(most, problem.counts.max() * problem.pair_ticks.max(), problem.expert_ticks.max())
    excess = float(most) / unit / LARGEST
    return unit * 2.0 ** max(0, int(np.ceil(np.log2(max(excess, 1.0)))))


def _ticks_at_most(problem: PlacementProblem) -> float:
    """Return what neither work nor transfers of a layer exceed."""
    tokens = float(problem.counts.sum(axis=2).max())
    moved = 0.0
    if problem.transitions is not None:
        moved = float(problem.transitions.sum(axis=(2, 3)).max(initial=0))
    work = tokens * problem.token_ticks.max() + problem.n_experts * problem.expert_ticks.max()
    return float(max(work, max(moved, tokens) * problem.pair_ticks.max()))
