"""Ways to break choices of formats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem
from mapc.quality.breaking import Breach

UNLIMITED = 2**62 + 1


def breaches(problem: BitsProblem, plan: BitsPlan) -> Iterator[Breach]:
    """Yield plans that break one rule of `mapc.models.bits.verify` each."""
    it = _Breaker(problem, plan)
    yield it.foreign()
    yield from it.forbidden()
    yield from it.untied()
    for resource in range(len(problem.resources)):
        yield from it.over(resource)


class _Breaker:
    """A choice and what it costs."""

    def __init__(self, problem: BitsProblem, plan: BitsPlan) -> None:
        self.problem, self.option = problem, plan.option
        self.budget = [UNLIMITED if b is None else b for b in problem.budget]
        self.used = [int(cost[plan.option].sum()) for cost in problem.cost]
        self.tied: BoolArray = np.zeros(problem.n_groups, dtype=np.bool_)
        self.tied[problem.ties.values] = True

    def chosen(self, group: int, option: int) -> BitsPlan:
        changed = self.option.copy()
        changed[group] = option
        return BitsPlan(changed)

    def affordable(self, group: int) -> BoolArray:
        """bool[m]: options of a group that keep all budgets, the others staying as they are."""
        start, stop = (int(at) for at in self.problem.start[group : group + 2])
        own = np.zeros(self.problem.n_options, dtype=np.bool_)
        own[start:stop] = True
        for cost, used, budget in zip(self.problem.cost, self.used, self.budget, strict=True):
            own[start:stop] &= used - cost[self.option[group]] + cost[start:stop] <= budget
        return own

    def foreign(self) -> Breach:
        rule = "a group takes an option of another one"
        return Breach(rule, self.chosen(0, int(self.problem.start[1])))

    def forbidden(self) -> Iterator[Breach]:
        wrong = np.flatnonzero(~self.problem.allowed & ~self.tied[self.problem.group_of])
        for option in wrong.tolist():
            group = int(self.problem.group_of[option])
            if self.affordable(group)[option]:
                yield Breach("a forbidden format is chosen", self.chosen(group, option))
                return

    def untied(self) -> Iterator[Breach]:
        formats = self.problem.format_of
        ties = self.problem.ties
        rows = (sorted(set(ties[at].tolist())) for at in range(len(ties)))
        for group in (row[0] for row in rows if len(row) > 1):
            other = self.affordable(group) & self.problem.allowed
            other &= formats != formats[self.option[group]]
            for option in np.flatnonzero(other)[:1].tolist():
                yield Breach("tied groups differ", self.chosen(group, option))
                return

    def over(self, resource: int) -> Iterator[Breach]:
        """Take the dearest option of one group after the other until the budget is exceeded."""
        cost, budget = self.problem.cost[resource], self.budget[resource]
        dearest = self.dearest(np.where(self.problem.allowed, cost, -1))
        dearest = np.where(self.tied, self.option, dearest)
        raised = np.maximum(cost[dearest] - cost[self.option], 0)
        total = self.used[resource] + np.cumsum(raised)
        if total[-1] > budget:
            until = int((total > budget).argmax()) + 1
            changed = self.option.copy()
            take = raised[:until] > 0
            changed[:until][take] = dearest[:until][take]
            name = self.problem.resources[resource]
            yield Breach(f"the budget of {name} is exceeded", BitsPlan(changed))

    def dearest(self, cost: IntArray) -> IntArray:
        """int64[n]: the option of each group that costs most."""
        ordered = np.lexsort((cost, self.problem.group_of))
        last: IntArray = ordered[self.problem.start[1:] - 1]
        return last
