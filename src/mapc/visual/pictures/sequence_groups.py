"""The groups of a sequence plan as columns: what they hold, when they run, how they are coloured.

Times are recomputed in the problem's ticks, whose multiples are exact in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.sequence import mode_name
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.visual.figure import FloatArray
from mapc.visual.words import counted, words

COLOURS = 8
"""Categories of colour, ``c1`` to ``c8``."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Modes that share a colour; the same for all plans of a problem.

    Attributes
    ----------
    of_mode : int64[D]
        Class of every mode.
    names : tuple of str
        E.g. ``degree 8``.
    """

    of_mode: IntArray
    names: tuple[str, ...]

    @staticmethod
    def role(number: int) -> str:
        """Return the role of a class's marks."""
        return f"c{number + 1}"


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of a plan, in the order of the plan.

    Attributes
    ----------
    problem : SequenceProblem
    group : int64[K]
        Of every sequence.
    number : int64[n_micro_batches]
        Micro-batches as the plan numbers them, in the order in which they run.
    batch : int64[G]
        Index into them.
    mode, degree, first : int64[G]
    members, longest, tokens, room : int64[G]
        Sequences, tokens of the longest (as they are), padded tokens, most that fit.
    ticks : int64[G]
    slowest : int64[n_micro_batches]
        Ticks of a micro-batch.
    start : float64[n_micro_batches + 1]
        Ticks before it; last, those of the step.
    classes : Classes
    """

    problem: SequenceProblem
    group: IntArray
    number: IntArray
    batch: IntArray
    mode: IntArray
    degree: IntArray
    first: IntArray
    members: IntArray
    longest: IntArray
    tokens: IntArray
    room: IntArray
    ticks: IntArray
    slowest: IntArray
    start: FloatArray
    classes: Classes

    def __len__(self) -> int:
        return len(self.mode)

    @property
    def n_batches(self) -> int:
        """Micro-batches."""
        return len(self.number)

    @property
    def step_ms(self) -> float:
        """The step's time."""
        return float(self.ms(self.start[-1]))

    def ms(self, ticks: Any) -> Any:
        """Return ticks in milliseconds, exactly."""
        return ticks * self.problem.tick

    def idle(self) -> FloatArray:
        """Return float64[n_micro_batches]: the part of its rank-time that has no group."""
        busy = np.zeros(self.n_batches)
        np.add.at(busy, self.batch, self.degree * self.ticks.astype(np.float64))
        paid = self.slowest.astype(np.float64) * self.problem.n_ranks
        return np.where(paid > 0, (paid - busy) / np.where(paid > 0, paid, 1.0), 0.0)

    def title(self, g: int) -> str:
        """Return what there is to say of a group."""
        return (
            f"micro-batch {self.number[self.batch[g]]}, group {g}; "
            f"degree {mode_name(self.problem, int(self.mode[g]))}, "
            f"{ranks(int(self.first[g]), int(self.degree[g]))}; "
            f"{counted(int(self.members[g]), 'sequence')}, "
            f"longest {counted(int(self.longest[g]), 'token')}; "
            f"{self.tokens[g]:,} of {counted(int(self.room[g]), 'token')}; "
            f"{words(float(self.ms(self.ticks[g])), 'ms')}"
        )


def read(problem: SequenceProblem, plan: SequencePlan) -> Groups:
    """Return the groups of a plan that the verifier could replay."""
    mode, group = np.asarray(plan.mode), np.asarray(plan.group)
    n = len(mode)
    number, batch = np.unique(plan.micro_batch, return_inverse=True)
    ticks, tokens, longest = problem.fixed_ticks[mode], np.zeros(n, np.int64), np.zeros(n, np.int64)
    np.add.at(ticks, group, problem.ticks[mode[group], np.arange(len(group))])
    np.add.at(tokens, group, problem.padded)
    np.maximum.at(longest, group, problem.lengths)
    slowest = np.zeros(len(number), dtype=np.int64)
    np.maximum.at(slowest, batch, ticks)
    return Groups(
        problem=problem,
        group=group,
        number=number,
        batch=batch.reshape(-1),
        mode=mode,
        degree=problem.cost.degree[mode],
        first=np.asarray(plan.first_rank),
        members=np.bincount(group, minlength=n),
        longest=longest,
        tokens=tokens,
        room=problem.cost.tokens[mode],
        ticks=ticks,
        slowest=slowest,
        # exact: a step stays below 2**52 ticks; of a broken plan with groups without end, about
        start=np.concatenate([[0.0], np.cumsum(slowest.astype(np.float64))]),
        classes=classes_of(problem),
    )


def classes_of(problem: SequenceProblem) -> Classes:
    """Return a class for every mode, or every degree, or as many neighbouring ones as it takes."""
    if problem.n_modes <= COLOURS:
        names = tuple(f"degree {mode_name(problem, mode)}" for mode in range(problem.n_modes))
        return Classes(np.arange(problem.n_modes), names)
    degrees, of_mode = np.unique(problem.cost.degree, return_inverse=True)
    # the widest share first: their rectangles are told apart by height
    parts = [part[::-1] for part in np.array_split(degrees[::-1], min(COLOURS, len(degrees)))][::-1]
    of_degree = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    names = tuple(
        f"degree {part[0]}" + (f" to {part[-1]}" if len(part) > 1 else "") for part in parts
    )
    return Classes(of_degree[of_mode.reshape(-1)], names)


def ranks(first: int, degree: int) -> str:
    """Return e.g. ``rank 3`` or ``ranks 0 to 7``."""
    return f"rank {first:,}" if degree == 1 else f"ranks {first:,} to {first + degree - 1:,}"
