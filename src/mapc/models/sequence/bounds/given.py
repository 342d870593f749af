"""A bound that holds for the micro-batches of one plan, and for no others.

It tells what is left in grouping from what is left in the choice of micro-batches. Its scope is
"micro-batches"; that of all other bounds is "step".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.models.sequence.bounds.aggregate import density_bound
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem

SCOPE = "micro-batches"
"""What the bound holds for."""


def given_micro_batches(
    problem: SequenceProblem, plan: SequencePlan, *, done: Callable[[], bool] | None = None
) -> int:
    """Return ticks that no plan undercuts that has a plan's micro-batches, in whatever groups.

    A step is the sum of its micro-batches, so it is the sum of what
    `mapc.models.sequence.bounds.aggregate.density_bound` shows of each, with its margins.

    Parameters
    ----------
    problem : SequenceProblem
    plan : SequencePlan
        A valid one.
    done : callable, optional
        Whether to stop: what is left then counts by its slowest sequence alone.

    Returns
    -------
    int
        At most the step of the plan.
    """
    stop = done if done is not None else lambda: False
    batch = plan.micro_batch[plan.group]
    order = np.argsort(batch, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(batch[order])) + 1)
    return sum(density_bound(problem, members, stop=stop) for members in parts)
