"""The Pareto front of loss against one budget.

Its supported points, those on the lower convex hull of all (cost, loss), come from one sort for
problems of any size. What lies between two of them is found per budget, with proof, or, for small
problems, all at once by a dynamic program.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.models.bits.core import STATE_LIMIT, SingleResult, solve_single
from mapc.models.bits.dual import Steps, hull_steps
from mapc.models.bits.pareto import History, States
from mapc.models.bits.reduction import Reduced


@dataclass(frozen=True, eq=False)
class Front:
    """Choices none of which another one beats in cost and loss.

    Attributes
    ----------
    cost : int64[f]
        Strictly rising.
    quanta : int64[f]
        Strictly falling.
    choose : function of int
        The option of every group at a point; use `choice`.
    """

    cost: IntArray
    quanta: IntArray
    choose: Callable[[int], IntArray]

    def __len__(self) -> int:
        return len(self.cost)

    def choice(self, point: int) -> IntArray:
        """Return the option of every group, int64[n], at point 0 to ``f - 1``."""
        return self.choose(range(len(self))[point])

    def within(self, budget: int) -> int:
        """Return the point of least loss within a budget.

        Raises
        ------
        InfeasibleError
            If even the first costs more.
        """
        point = int(np.searchsorted(self.cost, budget, side="right")) - 1
        if point < 0:
            raise InfeasibleError(f"budget {budget}: the cheapest choice costs {self.cost[0]}")
        return point


def points(reduced: Reduced, steps: Steps | None = None) -> Front:
    """Return all supported points, from the cheapest choice to the best one.

    Between two neighbours on the same edge of the hull there is one point for every step.

    Parameters
    ----------
    reduced : Reduced
        With one cost; its budget plays no part, but options that exceed it alone are missing.
    steps : Steps, optional
        ``hull_steps(reduced)``, if at hand.
    """
    steps = hull_steps(reduced) if steps is None else steps
    return Front(steps.total_cost, steps.total_quanta, steps.choice)


def certify(
    reduced: Reduced,
    budgets: Iterable[int],
    *,
    gap: float = 0.0,
    state_limit: int = STATE_LIMIT,
    stop: Callable[[], bool] = lambda: False,
    steps: Steps | None = None,
) -> list[SingleResult]:
    """Return the best choice within each budget, in the unit of ``reduced.cost``, with its bound.

    Parameters
    ----------
    gap, state_limit, stop
        As in `solve_single`, for each budget.

    Raises
    ------
    InfeasibleError
        If the cheapest choice exceeds one of the budgets.
    """
    steps = hull_steps(reduced) if steps is None else steps
    return [
        solve_single(
            replace(reduced, budget=np.array([budget], dtype=np.int64)),
            gap=gap,
            state_limit=state_limit,
            stop=stop,
            steps=steps,
        )
        for budget in budgets
    ]


def whole(reduced: Reduced, state_limit: int = STATE_LIMIT) -> Front | None:
    """Return the complete front, by a dynamic program over the groups.

    Meant for some tens of groups with costs of any size, or more with few different costs: the
    number of states has no better bound than that of choices.

    Parameters
    ----------
    reduced : Reduced
        With one cost; its budget plays no part.
    state_limit : int
        States to make at most.

    Returns
    -------
    Front or None
        None if the limit was reached.
    """
    history, states, made = History(), States.root(), 0
    cost, quanta, start = reduced.cost[0], reduced.quanta, reduced.start.tolist()
    for begin, end in itertools.pairwise(start):
        options, count = np.arange(begin, end, dtype=np.int64), len(states)
        made += count * len(options)
        if made > state_limit:
            return None
        grown = States.undominated(
            (cost[options][:, None] + states.cost).ravel(),
            (quanta[options][:, None] + states.quanta).ravel(),
            np.arange(len(options) * count, dtype=np.int64),
        )
        place, parent = np.divmod(grown.node, count)
        node = history.append(states.node[parent], options[place])
        states = States(grown.cost, grown.quanta, node)

    def choose(point: int) -> IntArray:
        return np.array(history.options(int(states.node[point]))[::-1], dtype=np.int64)

    return Front(states.cost, states.quanta, choose)
