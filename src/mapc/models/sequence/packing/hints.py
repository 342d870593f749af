"""What a search is told beforehand: how a step may be shared out among micro-batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.models.sequence.bounds.area import (
    area_ticks,
    least_fixed,
    least_micro_batches,
    most_micro_batches,
    usable_ranks,
)
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import FloatArray, SequenceProblem

SLACK = 1.04
"""A step over its area, where a hint does not say."""


@dataclass(frozen=True, eq=False)
class Hint:
    """How long micro-batches may last: from a bound's solution, or from the step before.

    Attributes
    ----------
    target : float64[q]
        Ticks of each micro-batch, in any order, > 0.
    premium : float64[D], optional
        What rank-time in a new group counts, over that in an old one.
    slack : float, optional
        The step over the area of its problem, for `scaled`.
    modes : float64[D, L], optional
        How likely each of the longest sequences, the longest first, is in a group of a mode; what
        is missing from 1 stands for any.
    """

    target: FloatArray
    premium: FloatArray | None = None
    slack: float = SLACK
    modes: FloatArray | None = None

    def scaled(self, problem: SequenceProblem) -> Hint:
        """Return the hint for other lengths: each micro-batch keeps its share of the step.

        Parameters
        ----------
        problem : SequenceProblem
            The next step's: same modes, any lengths and tick.

        Raises
        ------
        InfeasibleError
            When memory asks for more micro-batches than the problem allows.
        """
        share = np.sort(self.target)[::-1] / self.target.sum()
        fewest, most = least_micro_batches(problem), most_micro_batches(problem)
        share = np.concatenate([share, np.full(max(0, fewest - len(share)), share.mean())])[:most]
        return Hint(
            share / share.sum() * self.slack * area_step(problem, len(share)),
            self.premium,
            self.slack,
        )


def area_step(problem: SequenceProblem, count: int) -> float:
    """Return ticks of ``count`` micro-batches in which no rank waits: about the area bound."""
    return area_ticks(problem) / usable_ranks(problem) + count * least_fixed(problem)


def hint_of(
    problem: SequenceProblem, plan: SequencePlan, premium: FloatArray | None = None
) -> Hint:
    """Return the hint that a plan is of its problem: how long its micro-batches last."""
    ticks = problem.fixed_ticks[plan.mode]
    item = np.arange(problem.n_sequences)
    np.add.at(ticks, plan.group, problem.ticks[plan.mode[plan.group], item])
    target = np.zeros(int(plan.micro_batch.max()) + 1)
    np.maximum.at(target, plan.micro_batch, ticks)
    target = np.maximum(np.sort(target)[::-1], 1.0)
    area = area_step(problem, len(target))
    return Hint(target, premium, float(target.sum()) / area if area > 0 else SLACK)
