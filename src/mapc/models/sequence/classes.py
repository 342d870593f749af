"""Sequences of like length as one class, and lengths rounded up into few buckets.

Programs count sequences of a class instead of telling them apart. Classes of equal padded lengths
lose nothing; buckets, whose sequences all count as the longest of them, are FlexSP's way to keep
its program small, and cost what they round up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.sequence.bounds.area import micro_batch_tokens
from mapc.models.sequence.problem import SequenceProblem

BUCKETS = 16
"""Where FlexSP starts."""


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of sequences, longest last.

    Attributes
    ----------
    length, count : int64[U]
        Padded tokens that each sequence of the class counts as, and how many there are.
    ticks : int64[D, U]
        Ticks of one of them in a group of every mode.
    fits : bool[D, U]
        Whether one alone fits the memory of a group of every mode.
    members : int64[sum of count]
        Sequences of the problem, class by class.
    """

    length: IntArray
    count: IntArray
    ticks: IntArray
    fits: BoolArray
    members: IntArray

    @property
    def tokens(self) -> int:
        """Padded tokens of all sequences, rounded up as the classes do."""
        return int(self.length @ self.count)

    @property
    def start(self) -> IntArray:
        """int64[U + 1]: where the members of each class begin."""
        return np.concatenate([[0], np.cumsum(self.count)])


def classes_of(problem: SequenceProblem, members: IntArray | None = None) -> Classes:
    """Return the classes of equal padded length.

    Parameters
    ----------
    problem : SequenceProblem
    members : int64[n], optional
        Sequences to look at; all of them by default.
    """
    chosen = np.arange(problem.n_sequences) if members is None else np.asarray(members, np.int64)
    order = chosen[np.argsort(problem.padded[chosen], kind="stable")]
    _, first, count = np.unique(problem.padded[order], return_index=True, return_counts=True)
    return _classes(problem, order, count, order[first])


def buckets_of(
    problem: SequenceProblem, members: IntArray | None = None, n_buckets: int | None = None
) -> Classes:
    """Return buckets of sequences, rounded up to the longest of each, least tokens added.

    FlexSP's rule (Hetu-Galvatron, branch flexsp, ``flexsp_solver``): 16 buckets, and more until
    the rounded tokens are at most the mean of the true tokens and of what the cluster holds.

    Parameters
    ----------
    problem : SequenceProblem
    members : int64[n], optional
        The sequences of one micro-batch; all by default.
    n_buckets : int, optional
        Exactly so many (or one per class where there are fewer) instead of FlexSP's rule.
    """
    exact = classes_of(problem, members)
    room = micro_batch_tokens(problem)
    search = Rounding(exact.length, exact.count)
    wanted = min(BUCKETS if n_buckets is None else max(1, n_buckets), len(exact.length))
    while search.n_buckets < wanted:
        search.grow()
    if n_buckets is None:
        while 2 * search.tokens > exact.tokens + room and search.n_buckets < len(exact.length):
            search.grow()
    ends = search.ends()
    count = np.diff(np.concatenate([[0], np.cumsum(exact.count)[ends]]))
    longest = exact.members[exact.start[ends + 1] - 1]
    return _classes(problem, exact.members, count, longest)


class Rounding:
    """The best cut of sorted lengths into b consecutive buckets, for b = 1, 2, ...

    Dynamic programming: with ``best[b, j]`` the least tokens of the first j lengths in b buckets,
    ``best[b, j] = min over i < j of best[b - 1, i] + length[j - 1] * count of i .. j - 1``. Some
    cut into consecutive buckets is best: a sequence shorter than another bucket's longest can
    move down to the lowest bucket that holds it, and never counts for more. O(U**2) per bucket.

    Parameters
    ----------
    length : int64[U]
        Strictly increasing, U >= 1.
    count : int64[U]
        Sequences of each length, > 0.
    """

    def __init__(self, length: IntArray, count: IntArray) -> None:
        self.length = length
        self.before = np.concatenate([[0], np.cumsum(count)])
        self.best = length * self.before[1:]
        self.cuts: list[IntArray] = [np.zeros(len(length), dtype=np.int64)]

    @property
    def n_buckets(self) -> int:
        """How many buckets there are now."""
        return len(self.cuts)

    @property
    def tokens(self) -> int:
        """Tokens of all sequences after rounding up."""
        return int(self.best[-1])

    def grow(self) -> None:
        """Allow one bucket more."""
        cut, best = self.cuts[-1] * 0, self.best.copy()
        for j in range(1, len(self.length)):
            # the last bucket is i .. j; the lengths before it were cut one bucket shorter
            price = self.best[:j] + self.length[j] * (self.before[j + 1] - self.before[1 : j + 1])
            least = int(np.argmin(price))
            if price[least] < best[j]:
                best[j], cut[j] = price[least], least + 1
            else:
                cut[j] = -1
        cut[0] = -1
        self.best = best
        self.cuts.append(cut)

    def ends(self) -> IntArray:
        """int64[b]: the last length of every bucket, ascending; fewer where more do not help."""
        ends, j = [len(self.length) - 1], len(self.length) - 1
        for cut in reversed(self.cuts):
            if cut[j] < 0:  # one bucket fewer does as well
                continue
            j = int(cut[j]) - 1
            if j < 0:
                break
            ends.append(j)
        return np.array(ends[::-1], dtype=np.int64)


def _classes(
    problem: SequenceProblem, members: IntArray, count: IntArray, like: IntArray
) -> Classes:
    """Return classes whose sequences count as the sequence ``like`` of each, int64[U]."""
    return Classes(
        length=problem.padded[like],
        count=count.astype(np.int64),
        ticks=problem.ticks[:, like],
        fits=problem.fits[:, like],
        members=members,
    )
