"""Sequences of like length as one class, and lengths rounded up into few buckets.

Programs count sequences of a class instead of telling them apart. Classes of equal padded lengths
lose nothing; buckets, whose sequences all count as the longest of them, are FlexSP's way to keep
its program small, and cost what they round up. Pools, whose tokens count as sequences of the
shortest of them, go the other way: what is proven with them holds for the sequences themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.sequence.bounds.area import micro_batch_tokens
from mapc.models.sequence.problem import FloatArray, SequenceProblem

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


@dataclass(frozen=True, eq=False)
class PooledClasses:
    """Classes of like sequences that count as some amount of the shortest of them, longest last.

    Attributes
    ----------
    length : int64[U]
        Padded tokens of the shortest sequence of the class.
    count : float64[U]
        Tokens of the class / length: so many sequences of that length it counts as.
    ticks : int64[D, U]
        Ticks of one of them in a group of every mode.
    fits : bool[D, U]
        Whether the shortest alone fits the memory of a group of every mode.
    size : int64[U]
        Sequences of the problem in the class.
    members : int64[sum of size]
        Which, class by class.
    """

    length: IntArray
    count: FloatArray
    ticks: IntArray
    fits: BoolArray
    size: IntArray
    members: IntArray

    @property
    def start(self) -> IntArray:
        """int64[U + 1]: where the members of each class begin."""
        return np.concatenate([[0], np.cumsum(self.size)])


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


def pooled_classes(
    problem: SequenceProblem, keep: int, ratio: float, members: IntArray | None = None
) -> PooledClasses:
    """Return classes for lower bounds: long sequences by length, short ones pooled with like ones.

    With s the shortest length of a pool, a sequence of s_k tokens counts as s_k / s >= 1 sequences
    of s tokens, each of ``t_j = min over its members of t_jk s / s_k`` ticks. Whatever group the
    members are in, the amount of the pool there takes exactly their tokens, and at most their
    ticks: (s_k / s) t_j <= t_jk. So where a plan keeps to time and memory, amounts do as well, and
    a bound over all amounts, whole or not, is one on plans. Where time per token does not fall with
    length, as in FlexSP's and Megatron's models, t_j is that of s itself, but for the rounding of
    each t_jk to whole ticks; minima of quotients are rounded down, so nothing is assumed about it.

    Parameters
    ----------
    problem : SequenceProblem
    keep : int
        Padded tokens above which each length is a class of its own; -1: all of them.
    ratio : float
        The longest of a pool over its shortest at most, >= 1.
    members : int64[n], optional
        Sequences to look at; all of them by default.
    """
    exact = classes_of(problem, members)
    first, n = [], len(exact.length)
    at, kept = 0, int(np.searchsorted(exact.length, keep, side="right"))
    while at < kept:
        first.append(at)
        # any cut is valid, so rounding of the product does no harm
        stop = int(np.searchsorted(exact.length, exact.length[at] * ratio, side="right"))
        at = min(max(stop, at + 1), kept)
    first_of = np.concatenate([np.array(first, np.int64), np.arange(at, n)])
    shortest = np.repeat(exact.length[first_of], np.diff(np.append(first_of, n)))
    share = shortest / exact.length
    slower = np.floor(exact.ticks * share * (1.0 - 2.0**-50)).astype(np.int64)
    ticks = np.where(share == 1.0, exact.ticks, slower)
    tokens = np.add.reduceat(exact.length * exact.count, first_of)
    return PooledClasses(
        length=exact.length[first_of],
        count=tokens / exact.length[first_of],
        ticks=np.minimum.reduceat(ticks, first_of, axis=1),
        fits=exact.fits[:, first_of],
        size=np.add.reduceat(exact.count, first_of),
        members=exact.members,
    )


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
