"""The method ``local``: parts that no time connects, each by its own walk."""

from __future__ import annotations

import math

import numpy as np

from mapc.models.allocation.formulations import independent_parts, part_of
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.local.descent import EACH, Descent, suits
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import peak_of
from mapc.models.base import Search

SOURCE = "local"
TURNS = 4
"""Turns of every part where the clock does not count; each is twice as long as the one before."""
MOST = 20_000
"""Rounds of every part where the clock does not count."""


def run(problem: AllocationProblem, search: Search) -> None:
    """Look for a placement within the capacity, or for one with a lower peak."""
    if not suits(problem) or search.done():
        return
    if search.plan is None:
        offset = greedy(problem, search.seed, 1, search.done).offset
    else:
        offset = problem.on_line(search.plan)
    offset = offset.copy()
    _offer(problem, search, offset)
    parts = []
    for members in independent_parts(problem):
        parts.append((members, Descent(part_of(problem, members), offset[members], search.seed)))
    turn = 0
    while not search.done():
        left = _open(problem, parts)
        if not left or (math.isinf(search.remaining()) and turn == TURNS):
            break
        for members, descent in left:
            rounds = min(EACH * len(members) << turn, MOST) if turn < 40 else MOST
            if not descent.go_on(rounds, search.done):
                return
            offset[members] = descent.offset
            _offer(problem, search, offset)
        turn += 1


def _open(
    problem: AllocationProblem, parts: list[tuple[np.ndarray, Descent]]
) -> list[tuple[np.ndarray, Descent]]:
    """Return the parts that can make the whole better: all too high, or the highest."""
    top = max((descent.peak for _, descent in parts), default=0)
    if problem.room is not None:
        top = 0
    return [one for one in parts if not one[1].settled and one[1].peak >= top]


def _offer(problem: AllocationProblem, search: Search, offset: np.ndarray) -> None:
    peak = peak_of(offset, problem.padded)
    if problem.room is not None and peak > problem.room:
        return
    if problem.room is None and search.objective is not None and peak >= search.objective:
        return
    if search.objective is None or problem.room is None:
        search.propose(problem.plan(offset.copy()), SOURCE)
