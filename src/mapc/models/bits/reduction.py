"""The separable core of a bits problem: tied groups summed, useless options gone.

What is left are groups with independent options, whole losses and whole costs of the budgeted
resources alone; `Reduced.lift` turns a choice there into a plan of the problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import IntArray, Ragged
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem


@dataclass(frozen=True, eq=False)
class Reduced:
    """A multiple-choice knapsack: one option per group, costs within budgets, least quanta.

    Attributes
    ----------
    start : int64[n + 1]
        Options of group ``i`` are ``start[i]`` to ``start[i + 1] - 1``; at least one each.
    quanta : int64[m]
        Loss of each option.
    cost : int64[k, m]
        Budgeted resources only; divided by their greatest common divisor.
    budget : int64[k]
    members : Ragged
        Options of the problem that each option here stands for (one per tied group).
    """

    start: IntArray
    quanta: IntArray
    cost: IntArray
    budget: IntArray
    members: Ragged

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.start) - 1

    @property
    def group_of(self) -> IntArray:
        """int64[m]: the group of every option."""
        return np.repeat(np.arange(self.n_groups, dtype=np.int64), np.diff(self.start))

    def lift(self, problem: BitsProblem, choice: IntArray) -> BitsPlan:
        """Return the plan that takes option ``choice[i]`` (0 to m - 1) in every group ``i``."""
        chosen = np.concatenate([self.members[int(option)] for option in choice])
        option = np.empty(problem.n_groups, dtype=np.int64)
        option[problem.group_of[chosen]] = chosen
        return BitsPlan(option)
