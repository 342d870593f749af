"""Parts of a one-budget problem: some options gone, some groups decided, the relaxation at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from mapc.graph.operators import BoolArray, IntArray, Ragged
from mapc.models.bits.dual import Relaxation, Steps, hull_steps, relax
from mapc.models.bits.halves import Deviations
from mapc.models.bits.problem import FloatArray
from mapc.models.bits.reduction import Reduced


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the choices of a problem.

    Attributes
    ----------
    reduced : Reduced
        The groups still open. Each option has one member: the option of the whole problem it is.
    decided : int64[d]
        Options, of the whole problem, of the groups that are decided.
    quanta : int
        Loss of those.
    steps, relaxation
        Of the open groups, with the budget that is left.
    level : int
        How often the part has been searched in vain.
    """

    reduced: Reduced
    decided: IntArray
    quanta: int
    steps: Steps
    relaxation: Relaxation
    level: int = 0

    @classmethod
    def whole(cls, reduced: Reduced, steps: Steps) -> Part:
        """Return the part with all choices."""
        own = np.arange(len(reduced.quanta), dtype=np.int64)
        members = Ragged(np.arange(len(own) + 1, dtype=np.int64), own)
        relaxation = relax(steps, int(reduced.budget[0]))
        decided = np.zeros(0, dtype=np.int64)
        return cls(replace(reduced, members=members), decided, 0, steps, relaxation)

    # -- what is known -------------------------------------------------------------------------

    @property
    def value(self) -> Fraction:
        """Value of the relaxation, decided groups included."""
        return self.quanta + self.relaxation.value

    @property
    def bound(self) -> int:
        """Loss that no choice of the part goes below."""
        return self.quanta + self.relaxation.bound

    @property
    def base_quanta(self) -> int:
        """Loss of the base choice, decided groups included."""
        return self.quanta + self.relaxation.quanta

    @cached_property
    def base(self) -> IntArray:
        """int64[open groups]: the relaxation's choice, rounded down to the budget."""
        return self.steps.choice(self.relaxation.taken)

    def options(self, changed: IntArray) -> IntArray:
        """Return the base choice with some options changed, all groups, in the whole problem."""
        choice = self.base.copy()
        choice[self.reduced.group_of[changed]] = changed
        return np.concatenate((self.decided, self.reduced.members.values[choice]))

    @property
    def deviations(self) -> Deviations:
        """All options but the base choice."""
        return self._deviations(np.arange(len(self.reduced.quanta), dtype=np.int64))

    def near(self, threshold: float, most: int) -> Deviations:
        """Return the deviations of least penalty, up to a threshold and a number."""
        penalty = self._penalty
        option = np.flatnonzero(penalty <= threshold)
        # the base choice, without penalty, counts too
        most += len(self.base)
        if len(option) > most:
            option = np.sort(option[np.argpartition(penalty[option], most)[:most]])
        return self._deviations(option)

    @cached_property
    def _penalty(self) -> FloatArray:
        """float64[open options]: what each costs more than its group's base, at the multiplier."""
        reduced, base = self.reduced, self.base
        group = reduced.group_of
        cost = reduced.cost[0] - reduced.cost[0][base][group]
        quanta = reduced.quanta - reduced.quanta[base][group]
        return np.asarray(quanta + float(self.relaxation.multiplier) * cost)

    def _deviations(self, option: IntArray) -> Deviations:
        reduced = self.reduced
        base = self.base[reduced.group_of[option]]
        option, base = option[option != base], base[option != base]
        return Deviations.of(
            reduced.group_of[option],
            option,
            reduced.cost[0][option] - reduced.cost[0][base],
            reduced.quanta[option] - reduced.quanta[base],
            float(self.relaxation.multiplier),
        )

    # -- smaller parts -------------------------------------------------------------------------

    def pegged(self, threshold: float) -> Part | None:
        """Return the part without options whose penalty exceeds a threshold.

        Groups with one option left are decided; None if all are: the base choice is then the only
        one of interest.
        """
        reduced, base = self.reduced, self.base
        group = reduced.group_of
        keep = self._penalty <= threshold
        keep[base] = True
        free = np.bincount(group[keep], minlength=reduced.n_groups) > 1
        if not free.any():
            return None
        return self._restricted(keep & free[group], base[~free])

    def split(self) -> list[Part]:
        """Return a part for each option of the split group, where it leaves a feasible choice."""
        group = int(self.steps.group[self.relaxation.taken])
        others = self.reduced.group_of != group
        parts = (
            self._restricted(others, np.array([option], dtype=np.int64))
            for option in range(*self.reduced.start[group : group + 2])
        )
        return [replace(part, level=0) for part in parts if part is not None]

    def _restricted(self, keep: BoolArray, decided: IntArray) -> Part | None:
        """Return the part with some options decided and some kept; None if nothing fits."""
        reduced = self.reduced
        counts = np.bincount(reduced.group_of[keep], minlength=reduced.n_groups)
        start = np.concatenate(([0], np.cumsum(counts[counts > 0]))).astype(np.int64)
        members = reduced.members.values
        kept = _tightened(
            Reduced(
                start,
                reduced.quanta[keep],
                reduced.cost[:, keep],
                reduced.budget - reduced.cost[:, decided].sum(axis=1),
                Ragged(np.arange(start[-1] + 1, dtype=np.int64), members[keep]),
            )
        )
        steps = hull_steps(kept)
        if steps.total_cost[0] > kept.budget[0]:
            return None
        return Part(
            kept,
            np.concatenate((self.decided, members[decided])),
            self.quanta + int(reduced.quanta[decided].sum()),
            steps,
            relax(steps, int(kept.budget[0])),
            self.level,
        )


def _tightened(reduced: Reduced) -> Reduced:
    """Lower the budget to what differences of costs, and their common divisor, can reach."""
    if not len(reduced.quanta):
        return reduced
    low = np.minimum.reduceat(reduced.cost[0], reduced.start[:-1])
    divisor = int(np.gcd.reduce(reduced.cost[0] - low[reduced.group_of]))
    room = int(reduced.budget[0] - low.sum())
    return replace(reduced, budget=reduced.budget - (room % divisor if divisor else 0))
