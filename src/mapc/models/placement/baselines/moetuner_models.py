"""MoETuner's two models as programs; see `mapc.models.placement.baselines.moetuner`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.models.base import Formulation
from mapc.models.placement.baselines.layouts import mean_load
from mapc.models.placement.baselines.moetuner import (
    MAX,
    SUM,
    applies,
    balanced_clusters,
    cluster_transitions,
    link_costs,
    tables_of,
)
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.models.placement.rows import plan_of
from mapc.program.model import Block, Program
from mapc.solvers.base import Solution

LARGEST = 1e4
"""What costs are scaled to: the dearest product of the mapping, the mean load of the balance."""


@dataclass(frozen=True, eq=False)
class BalanceLift:
    """Reads the clusters of one layer from a solution.

    Attributes
    ----------
    x : Block
        Binaries [cluster, expert].
    unit : float
        Weighted tokens per unit of the program's objective.
    """

    x: Block
    unit: float

    def __call__(self, solution: Solution) -> IntArray:
        """int64[E]: the cluster of every expert of the layer.

        Raises
        ------
        UsageError
            When the solution has no values.
        """
        return np.asarray(_values(self.x, solution).argmax(axis=0))


@dataclass(frozen=True, eq=False)
class MappingLift:
    """Reads ranks, and a plan, from a solution.

    Attributes
    ----------
    problem : PlacementProblem
    clusters : int64[L, E]
    y : Block
        Binaries [layer, cluster, rank].
    unit : float
        Cost, in the unit of the problem's, per unit of the program's objective.
    """

    problem: PlacementProblem
    clusters: IntArray
    y: Block
    unit: float

    def __call__(self, solution: Solution) -> PlacementPlan:
        """Return the plan of a solution.

        Raises
        ------
        UsageError
            When the solution has no values, or clusters are of unequal size: no runtime takes such
            a placement, but `ranks` says where they go.
        """
        ranks = self.ranks(solution)
        if not _equal(self.clusters, ranks.shape[1]):
            raise UsageError("clusters of unequal size make no plan; expected equal=True")
        return plan_of(self.problem, tables_of(self.problem, self.clusters, ranks))

    def ranks(self, solution: Solution) -> IntArray:
        """int64[L, G]: the live rank of every cluster.

        Raises
        ------
        UsageError
            When the solution has no values.
        """
        return np.asarray(_values(self.y, solution).argmax(axis=2))


def lower_balance(
    problem: PlacementProblem,
    layer: int = 0,
    equal: bool = True,
    start: IntArray | None = None,
) -> tuple[Program, BalanceLift]:
    """Lower MoETuner's first stage for one layer.

    With ``x[c, e]``: expert e in cluster c, and ``d_c >= |T_c - mean T|``; of profiles, the
    weighted mean load. Clusters are numbered by their first expert (``x[c, e] = 0`` for c > e),
    which rules out nothing but other names.

    Parameters
    ----------
    problem : PlacementProblem
        With one slot per expert.
    layer : int
    equal : bool
        Whether clusters are of equal size. False is the model as published, at least one expert in
        each: a better balance that no runtime can load, and a second stage that may be infeasible.
    start : int64[E], optional
        Clusters of equal size to start from.

    Returns
    -------
    Program, BalanceLift

    Raises
    ------
    UsageError
        For more slots than experts, or a layer that is not there.
    """
    _check(problem)
    if not 0 <= layer < problem.n_layers:
        raise UsageError(f"layer {layer}: expected 0 to {problem.n_layers - 1}")
    n_clusters, n_experts = len(problem.live), problem.n_experts
    load = mean_load(problem)[layer]
    mean = load.sum() / n_clusters
    unit = float(mean) / LARGEST
    program = Program(f"{problem.name}: moetuner balance of layer {layer}")
    possible = np.arange(n_clusters)[:, None] <= np.arange(n_experts)
    x = program.variables((n_clusters, n_experts), upper=possible, name="x")
    off = program.variables(n_clusters, 0.0, np.inf, integer=False, cost=1.0, name="off")
    columns = x.columns
    program.rows(columns.T, 1.0, 1.0, 1.0, name="one cluster")
    most = n_experts // n_clusters if equal else n_experts
    least = most if equal else 1
    program.rows(columns, 1.0, least, most, name="size")
    for sign in (1.0, -1.0):  # off >= sign * (tokens - mean)
        row = np.hstack([columns, off.columns[:, None]])
        terms = np.append(sign * load / unit, -1.0)
        program.rows(row, terms, upper=sign * mean / unit, name="off the mean")
    if start is not None:
        names = np.unique(start, return_index=True)[1].argsort().argsort()
        program.hint(columns, names[start] == np.arange(n_clusters)[:, None])
    return program, BalanceLift(x, unit)


def lower_mapping(
    problem: PlacementProblem,
    clusters: IntArray | None = None,
    transfers: str = MAX,
    slack: bool = True,
    start: IntArray | None = None,
) -> tuple[Program, MappingLift]:
    """Lower MoETuner's second stage, its products of binaries linearised.

    With ``y[l, c, g]``: cluster c of layer l on rank g, and ``z = y[l, c, g] * y[l + 1, c', h]``,
    continuous: ``sum_h z = y[l, c, g]`` for every c', ``sum_c' z = y[l, c, g]`` for every h, and
    the same from the other side. With whole y these rows leave ``z`` no other value, and they are
    what keeps the relaxation from costing nothing.

    Parameters
    ----------
    problem : PlacementProblem
        With one slot per expert, and transitions.
    clusters : int64[L, E], optional
        From the first stage; those of `balanced_clusters` if left out.
    transfers : str
        ``"max"``: the dearest pair of ranks of each layer, as published; ``"sum"``: all pairs.
    slack : bool
        For clusters of unequal size: whether ranks may have more or fewer than ``E L / G`` experts
        over all layers, each at the price of a mean layer's dearest transfers. False is the model
        as published, which may be infeasible.
    start : int64[L, G], optional
        Ranks of clusters to start from.

    Returns
    -------
    Program, MappingLift

    Raises
    ------
    UsageError
        For more slots than experts, no transitions, unknown ``transfers``, or clusters that are
        none.
    """
    _check(problem)
    if problem.transitions is None:
        raise UsageError("moetuner-mapping: no transitions; expected token pairs between layers")
    if transfers not in (MAX, SUM):
        raise UsageError(f"transfers {transfers!r}: expected {MAX} or {SUM}")
    clusters = balanced_clusters(problem)[0] if clusters is None else np.asarray(clusters)
    n_ranks = len(problem.live)
    shape = (problem.n_layers, problem.n_experts)
    if clusters.shape != shape or clusters.min() < 0 or clusters.max() >= n_ranks:
        raise UsageError(f"clusters: expected int[{shape[0]}, {shape[1]}], 0 to {n_ranks - 1}")
    link = link_costs(problem)
    cost = cluster_transitions(problem, clusters)[:, :, None, :, None] * link[:, None, :]
    unit = float(cost.max(initial=0.0)) / LARGEST or 1.0
    program = Program(f"{problem.name}: moetuner mapping")
    y = program.variables((problem.n_layers, n_ranks, n_ranks), name="y")
    columns = y.columns
    program.rows(columns.reshape(-1, n_ranks), 1.0, 1.0, 1.0, name="one rank")
    program.rows(columns.swapaxes(1, 2).reshape(-1, n_ranks), 1.0, 1.0, 1.0, name="one cluster")
    _products(program, columns, cost / unit, transfers)
    if not _equal(clusters, n_ranks):
        _memory(program, columns, clusters, float(cost.max(axis=(1, 2, 3, 4)).mean()) / unit, slack)
    if start is not None:
        program.hint(columns, start[:, :, None] == np.arange(n_ranks))
    return program, MappingLift(problem, clusters, y, unit)


def _products(program: Program, y: IntArray, cost: FloatArray, transfers: str) -> None:
    """Append products [L - 1, c, g, c', h], what ties them to their factors, and their cost."""
    n_pairs, n_ranks = len(y) - 1, y.shape[1]
    price = cost if transfers == SUM else 0.0
    block = program.variables(
        (n_pairs, *(n_ranks,) * 4), integer=False, cost=price, name="together"
    )
    z = block.columns
    sides = (((1, 2), y[:-1]), ((3, 4), y[1:]))
    for (cluster, rank), factor in sides:
        others = [axis for axis in (1, 2, 3, 4) if axis not in (cluster, rank)]
        for kept, summed in (others, others[::-1]):
            terms = z.transpose(0, cluster, rank, kept, summed)
            own = np.broadcast_to(factor[..., None], terms.shape[:-1])[..., None]
            row = np.concatenate([terms, own], axis=4).reshape(-1, n_ranks + 1)
            signs = np.append(np.ones(n_ranks), -1.0)
            program.rows(row, signs, 0.0, 0.0, name="product")
    if transfers == MAX:
        top = program.variables(n_pairs, 0.0, np.inf, integer=False, cost=1.0, name="dearest")
        terms = z.transpose(0, 2, 4, 1, 3).reshape(n_pairs, n_ranks**2, n_ranks**2)
        own = np.broadcast_to(top.columns[:, None, None], (n_pairs, n_ranks**2, 1))
        row = np.concatenate([terms, own], axis=2).reshape(-1, n_ranks**2 + 1)
        each = cost.transpose(0, 2, 4, 1, 3).reshape(-1, n_ranks**2)
        signs = np.hstack([each, np.full((len(each), 1), -1.0)])
        program.rows(row, signs, upper=0.0, name="dearest pair")


def _memory(program: Program, y: IntArray, clusters: IntArray, price: float, slack: bool) -> None:
    """Append ``E L / G`` experts on every rank over all layers, more or fewer at a price."""
    n_ranks = y.shape[2]
    size = (clusters[:, :, None] == np.arange(n_ranks)).sum(axis=1)
    share = size.sum() / n_ranks
    row = y.transpose(2, 0, 1).reshape(n_ranks, -1)
    terms = size.reshape(1, -1).astype(np.float64)
    if slack:
        most = float(size.sum())
        off = program.variables((2, n_ranks), 0.0, most, integer=False, cost=price, name="off")
        row = np.hstack([row, off.columns.T])
        terms = np.append(terms, [1.0, -1.0])[None]
    program.rows(row, terms, share, share, name="memory")


def _values(block: Block, solution: Solution) -> FloatArray:
    if solution.values is None:
        raise UsageError(f"no placement in a solution that is {solution.status.value}")
    return block.of(solution.values)


def _check(problem: PlacementProblem) -> None:
    if not applies(problem):
        raise UsageError(
            f"moetuner places {problem.n_experts} experts without replicas; the problem has "
            f"{problem.n_slots} slots per layer, expected as many as experts"
        )


def _equal(clusters: IntArray, n_clusters: int) -> bool:
    size = (clusters[:, :, None] == np.arange(n_clusters)).sum(axis=1)
    return bool((size == clusters.shape[1] // n_clusters).all())


FORMULATIONS_MOETUNER = {
    formulation.name: formulation
    for formulation in (
        Formulation(
            "moetuner-balance",
            lower_balance,
            "MoETuner's first stage: experts of one layer into clusters of equal load",
        ),
        Formulation(
            "moetuner-mapping",
            lower_mapping,
            "MoETuner's second stage: clusters to ranks, by token pairs between layers",
        ),
    )
}
