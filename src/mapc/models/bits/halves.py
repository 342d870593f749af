r"""Choices that deviate little from a relaxation, searched from two sides.

Take the relaxation at multiplier ``s``, its rounded-down choice ``x`` with loss ``Q`` and room
``r`` below the budget. Giving a group another option changes cost by ``c`` and loss by ``q``; its
*penalty* ``p = q + s c`` is never negative, as ``x`` is optimal at ``s``. A choice with
deviations ``D`` has the loss

    Q + sum q = (Q - s r) + sum p + s (r - sum c),

the relaxation, plus penalties, plus room left unused at its price. Whoever looks for less than a
threshold ``t`` above the relaxation needs ``sum p <= t``, so

* groups whose smallest penalty exceeds ``t`` stay as they are;
* groups above ``t / 2`` deviate at most one at a time.

The rest, by rising penalty, go to one of two Pareto lists, the shorter. For a state of one list
the best partner in the other is the costliest that fits, one binary search: two lists of ``l``
states stand for ``l**2`` choices. A new state is matched when it is made; every improvement
lowers ``t``. A state also goes when its penalty and the least any choice of the groups outside
its list pays to bring the cost back to the budget, a convex function that their hull steps give
in order of penalty per cost, exceed ``t`` together. Dominated states go as in any dynamic program
(Pisinger, 1995, grows one list from the split group; Horowitz and Sahni, 1974, join two).

When a list must be cut the states with the least such bounds stay, and the smallest among the
others is what is still proven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.bits.dual import Relaxation, Steps
from mapc.models.bits.pareto import History, States
from mapc.models.bits.problem import FloatArray

_WINDOW = 4096
"""Hull steps to either side of the split that bound what bringing the cost back takes."""
_REFRESH = 4
"""A list's bound is renewed after this many groups; an older one is weaker, not wrong."""
_CHUNK = 2**18


@dataclass(frozen=True, eq=False)
class Deviations:
    """Options other than the base choice, groups by rising smallest penalty.

    Attributes
    ----------
    start : int64[g + 1]
        Deviations of the group at rank ``i`` are ``start[i]`` to ``start[i + 1] - 1``, by rising
        penalty.
    group, option : int64[d]
    cost, quanta : int64[d]
        Change against the base choice.
    penalty : float64[d]
    """

    start: IntArray
    group: IntArray
    option: IntArray
    cost: IntArray
    quanta: IntArray
    penalty: FloatArray

    @classmethod
    def of(
        cls,
        group: IntArray,
        option: IntArray,
        cost: IntArray,
        quanta: IntArray,
        multiplier: float,
    ) -> Deviations:
        """Sort deviations given in any order."""
        penalty = quanta + multiplier * cost
        order = np.argsort(penalty, kind="stable")
        _, first, row = np.unique(group[order], return_index=True, return_inverse=True)
        order = order[np.argsort(first[row], kind="stable")]
        lengths = np.bincount(row)[np.argsort(first)] if len(first) else row
        start = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        return cls(start, group[order], option[order], cost[order], quanta[order], penalty[order])


@dataclass(eq=False)
class _Half:
    """One of the two lists, and the groups in it."""

    states: States
    inside: BoolArray
    groups: int = 0
    curve: tuple[FloatArray, FloatArray] = field(default=(np.zeros(1), np.zeros(1)))


class Halves:
    """A search for less loss than a given choice, around one relaxation.

    Parameters
    ----------
    steps, relaxation
        Of the same problem; the base choice is ``steps.choice(relaxation.taken)``.
    deviations : Deviations
        From the base choice: at least all whose penalty is within the threshold.
    aim : function of int
        Given the least loss known (relative to the base choice) the most a loss may be to be
        worth finding.
    slack : float
        What rounding may take from a penalty, in quanta.

    Attributes
    ----------
    best : int
        Least loss known, relative to the base choice.
    chosen : list of int or None
        Options that reach it, where they deviate; None if nothing better was found.
    open : float
        No choice with less penalty than this was left out: infinite when the search is complete.
    work : int
        States made.
    """

    def __init__(
        self,
        steps: Steps,
        relaxation: Relaxation,
        deviations: Deviations,
        best: int,
        aim: Callable[[int], int],
        slack: float,
    ) -> None:
        self._steps, self._taken, self._room = steps, relaxation.taken, relaxation.room
        self._multiplier = float(relaxation.multiplier)
        self._deviations = deviations
        self._aim, self._slack = aim, slack
        self._history = History()
        n = len(steps.hull)
        self._halves = [_Half(States.root(), np.zeros(n, dtype=np.bool_)) for _ in range(2)]
        self.best = best
        self.chosen: list[int] | None = None
        self.open = np.inf
        self.work = 0

    @property
    def threshold(self) -> float:
        """The largest penalty, above the relaxation, still of interest."""
        return self._aim(self.best) + self._multiplier * self._room + self._slack

    def run(self, width: int, work: int, stop: Callable[[], bool]) -> None:
        """Search with lists of at most ``width`` states until done, stopped, or out of work."""
        starts, penalty = self._deviations.start, self._deviations.penalty
        for rank in range(len(starts) - 1):
            smallest = float(penalty[starts[rank]])
            if smallest > self.threshold:
                return
            if smallest > self.threshold / 2:
                self._singles(int(starts[rank]), work, stop)
                return
            if self.work > work or stop():
                self.open = min(self.open, smallest)
                return
            self._extend(slice(int(starts[rank]), int(starts[rank + 1])), width)

    def _extend(self, members: slice, width: int) -> None:
        """Add a group to the shorter list, and match what is new with the other."""
        half, other = sorted(self._halves, key=lambda h: len(h.states))
        states, deviations = half.states, self._deviations
        penalty = states.quanta + self._multiplier * states.cost
        within = [
            np.flatnonzero(penalty + p <= self.threshold) for p in deviations.penalty[members]
        ]
        parent = np.concatenate(within)
        deviation = np.repeat(
            np.arange(members.start, members.stop), [len(part) for part in within]
        )
        cost = states.cost[parent] + deviations.cost[deviation]
        quanta = states.quanta[parent] + deviations.quanta[deviation]
        self.work += len(parent)
        self._match(cost, quanta, states.node[parent], deviation, other.states)
        half.inside[deviations.group[members.start]] = True
        if half.groups % _REFRESH == 0:
            half.curve = self._curve(half.inside)
        half.groups += 1
        half.states = self._merged(half, cost, quanta, parent, deviation, width)

    def _match(
        self, cost: IntArray, quanta: IntArray, node: IntArray, deviation: IntArray, other: States
    ) -> None:
        """Join new states with the best of another list that fits; keep the best pair."""
        partner = other.within(self._room - cost)
        total = np.where(partner >= 0, quanta + other.quanta[partner], np.iinfo(np.int64).max)
        place = int(np.argmin(total)) if len(total) else -1
        if place >= 0 and total[place] < self.best:
            self.best = int(total[place])
            options = self._deviations.option
            self.chosen = [
                int(options[deviation[place]]),
                *self._history.options(int(node[place])),
                *self._history.options(int(other.node[partner[place]])),
            ]

    def _merged(
        self,
        half: _Half,
        cost: IntArray,
        quanta: IntArray,
        parent: IntArray,
        deviation: IntArray,
        width: int,
    ) -> States:
        """Return a list grown by new states, without what is dominated, hopeless or too much."""
        old, count = half.states, len(half.states)
        merged = States.undominated(
            np.concatenate((old.cost, cost)),
            np.concatenate((old.quanta, quanta)),
            np.arange(count + len(cost), dtype=np.int64),
        )
        penalty = merged.quanta + self._multiplier * merged.cost
        penalty += np.interp((self._room - merged.cost).astype(np.float64), *half.curve)
        keep = penalty <= self.threshold
        if np.count_nonzero(keep) > width:
            keep, least = _narrowed(penalty, width)
            self.open = min(self.open, least)
        merged = merged.where(keep)
        fresh = merged.node >= count
        source = merged.node[fresh] - count
        node = np.empty(len(merged), dtype=np.int64)
        node[~fresh] = old.node[merged.node[~fresh]]
        node[fresh] = self._history.append(
            old.node[parent[source]], self._deviations.option[deviation[source]]
        )
        return States(merged.cost, merged.quanta, node)

    def _singles(self, first: int, work: int, stop: Callable[[], bool]) -> None:
        """Try every deviation from ``first`` on, one at a time, with all pairs of the lists."""
        half, other = sorted(self._halves, key=lambda h: len(h.states))
        states, deviations = half.states, self._deviations
        penalty = states.quanta + self._multiplier * states.cost
        order = np.argsort(penalty, kind="stable")
        late = first + np.argsort(deviations.penalty[first:], kind="stable")
        reach = np.searchsorted(
            penalty[order], self.threshold - deviations.penalty[late], side="right"
        )
        ends = np.cumsum(reach)
        begin = 0
        while begin < len(late) and deviations.penalty[late[begin]] <= self.threshold:
            if self.work > work or stop():
                self.open = min(self.open, float(deviations.penalty[late[begin]]))
                return
            done = int(ends[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, done + _CHUNK, side="right")))
            counts = reach[begin:end]
            deviation = np.repeat(late[begin:end], counts)
            offset = np.arange(len(deviation)) - np.repeat(np.cumsum(counts) - counts, counts)
            parent = order[offset]
            self.work += len(parent)
            self._match(
                states.cost[parent] + deviations.cost[deviation],
                states.quanta[parent] + deviations.quanta[deviation],
                states.node[parent],
                deviation,
                other.states,
            )
            begin = end

    def _curve(self, inside: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return least penalties for changes of cost by groups outside a list, piecewise linear.

        Beyond the window the last slope goes on, which convexity allows; beyond all steps room is
        left unused, at the multiplier, and no cost can be saved at all.
        """
        steps, taken, multiplier = self._steps, self._taken, self._multiplier
        parts = []
        for window, sign in (
            (np.arange(taken, min(taken + _WINDOW, len(steps))), 1.0),
            (np.arange(taken - 1, max(taken - 1 - _WINDOW, -1), -1), -1.0),
        ):
            window = window[~inside[steps.group[window]]]
            cost, gain = steps.cost[window].astype(np.float64), steps.gain[window]
            rise = np.maximum(sign * (multiplier * cost - gain), 0.0)
            rate = float(rise[-1] / cost[-1]) if len(window) else 0.0
            if sign > 0 and taken + _WINDOW >= len(steps):
                rate = multiplier
            if sign < 0 and taken <= _WINDOW:
                rate = np.inf
            parts.append(_prolonged(np.cumsum(cost), np.cumsum(rise), rate))
        (up, above), (down, below) = parts
        return (
            np.concatenate((-down[::-1], [0.0], up)),
            np.concatenate((below[::-1], [0.0], above)),
        )


def _narrowed(penalty: FloatArray, width: int) -> tuple[BoolArray, float]:
    """Mark the states with least penalty, at most ``width``; return the least of the others.

    Of those equal at the edge a part spread evenly over the costs stays.
    """
    edge = float(np.partition(penalty, width)[width])
    keep = penalty < edge
    ties = np.flatnonzero(penalty == edge)
    room = width - int(np.count_nonzero(keep))
    keep[ties[np.arange(room) * len(ties) // max(room, 1)]] = True
    return keep, edge


def _prolonged(cost: FloatArray, penalty: FloatArray, rate: float) -> tuple[FloatArray, FloatArray]:
    """Go on at a slope; infinite means: no further, but for what rounding may make of the end."""
    end, height = (float(cost[-1]), float(penalty[-1])) if len(cost) else (0.0, 0.0)
    if np.isinf(rate):
        more, above = [end * (1 + 2.0**-30), end * (1 + 2.0**-29) + 1.0], [height, 2.0**200]
    else:
        more, above = [end + 2.0**63], [height + rate * 2.0**63]
    return np.concatenate((cost, more)), np.concatenate((penalty, above))
