"""From groups and their sequences to a plan with ranks, and how long it takes."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem


def assemble(
    problem: SequenceProblem, micro_batch: IntArray, mode: IntArray, group: IntArray
) -> SequencePlan:
    """Make a plan of groups: empty ones dropped, micro-batches renumbered, ranks given out.

    Groups of a micro-batch take ranks by descending degree. Degrees are powers of two, so what
    lies before a group is a multiple of its degree, and so is its first rank.

    Parameters
    ----------
    problem : SequenceProblem
    micro_batch, mode : int64[G]
        Of every group; numbers of micro-batches may have gaps.
    group : int64[K]
        The group of every sequence.

    Returns
    -------
    SequencePlan
        Groups by micro-batch, then descending degree.
    """
    used = np.unique(group)
    batch = np.unique(micro_batch[used], return_inverse=True)[1].reshape(-1)
    degree = problem.cost.degree[mode[used]]
    order = np.lexsort((mode[used], -degree, batch))
    batch, degree = batch[order], degree[order]
    before = np.cumsum(degree) - degree
    first = np.searchsorted(batch, batch)
    place = np.empty(len(used), dtype=np.int64)
    place[order] = np.arange(len(used))
    return SequencePlan(
        micro_batch=batch.astype(np.int64),
        mode=mode[used][order].astype(np.int64),
        first_rank=before - before[first],
        group=place[np.searchsorted(used, group)],
    )


def step_ticks(problem: SequenceProblem, plan: SequencePlan) -> int:
    """Return the step's time in ticks: the sum over micro-batches of the slowest group."""
    time = problem.fixed_ticks[plan.mode]
    np.add.at(time, plan.group, problem.ticks[plan.mode[plan.group], np.arange(len(plan.group))])
    slowest = np.zeros(int(plan.micro_batch.max()) + 1, dtype=np.int64)
    np.maximum.at(slowest, plan.micro_batch, time)
    return int(slowest.sum())
