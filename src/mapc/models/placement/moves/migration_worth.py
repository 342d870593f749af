"""Whether a migration pays: what it moves, how long that takes, how soon steps make up for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import BoolArray
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import FloatArray, PlacementProblem
from mapc.models.placement.verify import verify


@dataclass(frozen=True)
class Worth:
    """What a migration costs and saves.

    Attributes
    ----------
    moves : int
        New (layer, expert, rank) triples.
    moved_bytes : int
        Weights that are copied.
    seconds : float
        Time of the copies: every expert comes from the holder with the fastest link, ranks copy
        side by side, and the busiest side of any rank counts.
    saved : float
        Modelled time of a step before less that after, in the unit of the cost; inf if what is in
        force cannot serve at all.
    steps : float or None
        Steps after which the time saved makes up for the copies; inf if nothing is saved, None if
        the unit of the cost is not seconds.
    """

    moves: int
    moved_bytes: int
    seconds: float
    saved: float
    steps: float | None


def steps_worth(
    problem: PlacementProblem, plan: PlacementPlan, *, bandwidth: float | None = None
) -> Worth:
    """Compare a plan with the placement in force.

    Parameters
    ----------
    problem : PlacementProblem
        With ``current`` and ``expert_bytes``.
    plan : PlacementPlan
    bandwidth : float, optional
        Bytes per second at which ranks receive weights from anywhere; by default that of the links
        between ranks, and of the slowest link for experts that no live rank holds.

    Raises
    ------
    UsageError
        Without a placement in force, the size of an expert, or a bandwidth.
    """
    if problem.current is None:
        raise UsageError("current: none given; expected the placement in force")
    if not problem.expert_bytes:
        raise UsageError("expert_bytes: 0; expected the size of an expert in bytes")
    if bandwidth is None and not len(problem.cluster.bandwidth):
        raise UsageError("bandwidth: the cluster has no links; expected bytes per second")
    before = np.where(problem.dead[:, None], -1, problem.current)
    old, now = _held(problem, before), _held(problem, plan.slots)
    new = now & ~old
    relaxed = problem.replace(max_moves=None)
    stay, go = verify(relaxed, PlacementPlan(before)), verify(relaxed, plan)
    if go.objective is None:
        raise UsageError(f"plan: {go.violations[0]}; expected a plan that can be replayed")
    saved = math.inf if stay.objective is None else float(stay.objective) - float(go.objective)
    seconds = _copy_seconds(problem, old, new, bandwidth)
    steps: float | None = None
    if problem.cost.unit == "s":
        steps = seconds / saved if saved > 0 else math.inf
    moves = int(new.sum())
    return Worth(moves, moves * problem.expert_bytes, seconds, saved, steps)


def _held(problem: PlacementProblem, slots: np.ndarray) -> BoolArray:
    """bool[L, E, G]."""
    held = np.zeros((problem.n_layers, problem.n_experts, problem.n_ranks), dtype=np.bool_)
    layer, rank, slot = np.nonzero(slots >= 0)
    held[layer, slots[layer, rank, slot], rank] = True
    return held


def _copy_seconds(
    problem: PlacementProblem, old: BoolArray, new: BoolArray, bandwidth: float | None
) -> float:
    layer, expert, rank = np.nonzero(new)
    received, sent = np.zeros(problem.n_ranks), np.zeros(problem.n_ranks)
    if bandwidth is not None:
        np.add.at(received, rank, problem.expert_bytes / bandwidth)
        return float(received.max())
    rate = _rates(problem)
    offered = np.where(old[layer, expert], rate[:, rank].T, 0.0)  # [moves, G] from every holder
    source, fastest = offered.argmax(axis=1), offered.max(axis=1)
    slowest = float(problem.cluster.bandwidth.min())
    seconds = problem.expert_bytes / np.where(fastest > 0, fastest, slowest)
    np.add.at(received, rank, seconds)
    np.add.at(sent, source[fastest > 0], seconds[fastest > 0])
    return float(max(received.max(), sent.max()))


def _rates(problem: PlacementProblem) -> FloatArray:
    """float64[G, G]: bytes per second from rank to rank, 0 without a link."""
    cluster = problem.cluster
    rate = np.zeros((problem.n_ranks, problem.n_ranks))
    rate[cluster.link_source, cluster.link_target] = cluster.bandwidth
    return rate
