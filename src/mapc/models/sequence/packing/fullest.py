"""A plan where memory is all that matters: micro-batches filled one after the other.

Tokens of sequences in one group are a subset sum. All that can be reached up to a group's memory
are the bits of one large integer (Bellman's dynamic program, 1957), so that one group after the
other is filled as far as what is left allows; two are filled whenever that is possible at all.
"""

from __future__ import annotations

import math

import numpy as np

from mapc.models.sequence.assembly import assemble
from mapc.models.sequence.bounds.area import least_micro_batches, most_micro_batches
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem

LARGEST = 1 << 31
"""Bits of all sums that are kept: sequences times memory of a group, in units of tokens."""


def fullest(problem: SequenceProblem) -> SequencePlan | None:
    """Return a plan of groups that are as full as they can be, in the fewest micro-batches.

    Its groups have the mode that holds most; how long they take is not looked at.

    Returns
    -------
    SequencePlan or None
        None where a sequence fits no group of that mode, or more micro-batches would be needed
        than are allowed; and for problems too large for all the sums.

    Raises
    ------
    InfeasibleError
        When memory asks for more micro-batches than the problem allows.
    """
    cost = problem.cost
    usable = np.where(cost.degree <= problem.n_ranks, cost.tokens, -1)
    mode = int(np.argmax(usable))
    if usable[mode] < int(problem.padded.max()):
        return None
    groups = int(problem.n_ranks // cost.degree[mode])
    unit = math.gcd(*problem.padded.tolist())
    room = int(cost.tokens[mode]) // unit
    if problem.n_sequences * room > LARGEST:
        return None
    group = _filled((problem.padded // unit).tolist(), room, groups * most_micro_batches(problem))
    if group is None:
        return None
    fewest = least_micro_batches(problem)
    count = int(group.max()) + 1
    if -(-count // groups) < fewest:  # as many as asked for, where there are sequences for it
        return None
    batch = np.arange(count) // groups
    return assemble(problem, batch, np.full_like(batch, mode), group)


def _filled(sizes: list[int], room: int, most: int) -> np.ndarray | None:
    """Return int64[K], the group of every sequence; None if ``most`` groups do not hold them."""
    group = np.full(len(sizes), -1, dtype=np.int64)
    left = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for g in range(most):
        if not left:
            break
        for i in _subset([sizes[i] for i in left], room):
            group[left[i]] = g
        left = [i for i in left if group[i] < 0]
    return None if left else group


def _subset(sizes: list[int], room: int) -> list[int]:
    """Return which of the sizes, increasing, come closest to the room; the largest if possible."""
    mask = (1 << (room + 1)) - 1
    sums = [1]
    for size in sizes:
        sums.append((sums[-1] | (sums[-1] << size)) & mask)
    goal, chosen = sums[-1].bit_length() - 1, []
    for i in range(len(sizes) - 1, -1, -1):
        if goal >= sizes[i] and sums[i] >> (goal - sizes[i]) & 1:
            chosen.append(i)
            goal -= sizes[i]
    return chosen
