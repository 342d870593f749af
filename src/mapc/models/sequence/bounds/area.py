"""Lower bounds on the step that hold for every choice of micro-batches, in exact integers.

Notation: mode j has degree d_j, fixed ticks f_j and room for c_j tokens; sequence k of s_k padded
tokens takes t_jk ticks in it; a micro-batch m lasts T_m, at least as long as each of its groups.

Area. With b = min f_j over modes that fit a sequence, every group g of micro-batch m has
T_m - b >= (f_g - b) + sum of its t; the degrees of a micro-batch sum to at most N, so
N (T_m - b) >= sum over its groups of d_g ((f_g - b) + sum t). Its sequences hold at most c_g tokens
together, so each may be charged s_k / c_g of the fixed part. Summed over q micro-batches,

    step >= q b + (1 / N) sum_k min over j that fit k of d_j (t_jk + (f_j - b) s_k / c_j).

N may be rounded down to a multiple of the least degree: all degrees are powers of two, so that is
the most that degrees can sum to.

Longest. Let l_k = min over j that fit k of f_j + t_jk. A micro-batch lasts at least l_k for each of
its sequences. Take from each micro-batch one sequence, from the one that has the slowest sequence
that one: q different sequences, so the step is at least the largest l_k plus the q - 1 smallest.

Neither falls with q, and q is at least the tokens divided by what a micro-batch holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.models.sequence.problem import SequenceProblem

if TYPE_CHECKING:
    from mapc.models.base import Search

WIDEST = 1 << 62
"""Above it products are taken in Python's integers."""


_INTEGERS = np.frompyfunc(int, 1, 1)


def usable_ranks(problem: SequenceProblem) -> int:
    """Return the most ranks that the groups of a micro-batch can have together."""
    least = int(problem.cost.degree.min())
    return problem.n_ranks // least * least


def micro_batch_tokens(problem: SequenceProblem) -> int:
    """Return the most padded tokens that one micro-batch holds, over all choices of groups.

    Degrees are powers of two, so groups of 2**i ranks or fewer split into blocks of 2**i ranks:
    the best of such a block is a group of its own or twice the best of half a block, and N ranks
    are the blocks of its binary digits (filled in descending size, no group needs two of them).
    """
    best, total, size = 0, 0, 1
    while size <= problem.n_ranks:
        own = problem.cost.tokens[problem.cost.degree == size]
        best = max(2 * best, int(own.max(initial=0)))
        if problem.n_ranks & size:
            total += best
        size *= 2
    return total


def least_micro_batches(problem: SequenceProblem) -> int:
    """Return q below which no plan exists: by the problem's own rule, and by memory.

    Raises
    ------
    InfeasibleError
        When it is more than the problem allows.
    """
    room = micro_batch_tokens(problem)
    tokens = int(problem.padded.sum())
    least = max(1, problem.least, -(-tokens // max(room, 1)))
    most = most_micro_batches(problem)
    if least > most:
        raise InfeasibleError(
            f"{problem.name}: {tokens} padded tokens need {least} micro-batches of at most {room} "
            f"tokens, {most} allowed"
        )
    return least


def most_micro_batches(problem: SequenceProblem, ticks: int | None = None) -> int:
    """Return the most micro-batches worth looking at.

    Parameters
    ----------
    problem : SequenceProblem
    ticks : int, optional
        A step that is known. More micro-batches than returned cannot be faster.
    """
    most = problem.n_sequences if problem.most is None else problem.most
    most = min(most, problem.n_sequences)
    if ticks is None:
        return most
    worth = np.flatnonzero(step_bounds(problem, 1, most) < ticks)
    return int(worth[-1]) + 1 if len(worth) else 0


def area_ticks(problem: SequenceProblem) -> int:
    """Return rank-ticks that the sequences take at least, `b` of every group left out."""
    cost, fixed = problem.cost, problem.fixed_ticks
    degree, ticks = cost.degree, problem.ticks
    extra = np.where(problem.fits.any(axis=1), fixed - least_fixed(problem), 0)
    whole: type = np.int64
    if int(degree.max()) * (int(ticks.max(initial=0)) + int(extra.max())) >= WIDEST:
        whole = object
    area: np.ndarray = degree.astype(whole)[:, None] * ticks.astype(whole)
    if extra.any():
        share = (degree.astype(np.float64) * extra / cost.tokens)[:, None] * problem.padded
        # a hair less than rounded down: the product is in floating point
        shared = np.floor(np.where(problem.fits, share, 0.0) * (1.0 - 2.0**-48))
        area = area + (_INTEGERS(shared) if whole is object else shared.astype(np.int64))
    never = int(area.max(initial=0)) + 1
    least = np.where(problem.fits, area, never).min(axis=0)
    return sum(least.tolist())


def least_fixed(problem: SequenceProblem) -> int:
    """Return the fixed ticks of the cheapest group that a sequence fits in."""
    return int(problem.fixed_ticks[problem.fits.any(axis=1)].min())


def alone_ticks(problem: SequenceProblem) -> IntArray:
    """int64[K]: least ticks of a group that has the sequence."""
    alone = problem.fixed_ticks[:, None] + problem.ticks
    return np.asarray(np.where(problem.fits, alone, np.iinfo(np.int64).max).min(axis=0), np.int64)


def step_bounds(problem: SequenceProblem, least: int, most: int) -> IntArray:
    """Return bounds on the step in ticks for plans of least, least + 1, ..., most micro-batches.

    Returns
    -------
    int64[most - least + 1], not decreasing
    """
    q = np.arange(least, most + 1)
    area = -(-area_ticks(problem) // usable_ranks(problem))
    alone = np.sort(alone_ticks(problem))
    smallest = np.concatenate([[0], np.cumsum(alone[:-1])])
    longest = alone[-1] + smallest[np.minimum(q, len(alone)) - 1]
    return np.asarray(np.maximum(area + q * least_fixed(problem), longest), np.int64)


def step_bound(problem: SequenceProblem) -> int:
    """Return a bound on the step in ticks, over all micro-batches and their number.

    Raises
    ------
    InfeasibleError
        When memory asks for more micro-batches than the problem allows.
    """
    q = least_micro_batches(problem)
    return int(step_bounds(problem, q, q)[0])


def run(problem: SequenceProblem, search: Search) -> None:
    """Prove the bound of area and longest sequence: `Method.run`."""
    if isinstance(problem, SequenceProblem):
        search.prove(step_bound(problem) * problem.tick, "area")
