"""What frameworks do today: one degree for everything, and Megatron's dynamic context parallelism.

* `homogeneous`: all groups of one mode. Descending sequences are cut into consecutive
  micro-batches of even tokens; within one, each goes to the group done soonest that has room.
* `static`: the largest degree, what a run without dynamic groups has to use.
* `megatron_greedy`: each sequence at the least degree that holds it, groups balanced by
  tokens squared over degree, blind to linear, communication and fixed time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.models.base import Search
from mapc.models.sequence.assembly import assemble, step_ticks
from mapc.models.sequence.bounds.area import most_micro_batches
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.published.chunks import consecutive

COUNTS_TRIED = 5
"""Micro-batch counts tried from the least feasible one upwards, as FlexSP does."""


# -- one degree ----------------------------------------------------------------------------------


def homogeneous(problem: SequenceProblem, mode: int) -> SequencePlan | None:
    """Return the best plan found whose groups all have one mode.

    Parameters
    ----------
    problem : SequenceProblem
    mode : int
        Index into the problem's modes.

    Returns
    -------
    SequencePlan or None
        None if a sequence does not fit, or none of the allowed counts of micro-batches held all.
    """
    n_groups = int(problem.n_ranks // problem.cost.degree[mode])
    if n_groups == 0 or not problem.fits[mode].all():
        return None
    order = np.argsort(-problem.padded, kind="stable")
    best, least, tried = None, 0, 0
    # a micro-batch's slowest group takes the mean at least, so the step the mean of them all
    even = int(problem.ticks[mode].sum()) // n_groups
    for count in range(_fewest_alike(problem, mode, n_groups), most_micro_batches(problem) + 1):
        if best is not None and even + count * int(problem.fixed_ticks[mode]) >= least:
            break
        group = _balanced(problem, order, mode, n_groups, count)
        if group is None:
            continue
        batch = np.repeat(np.arange(count), n_groups)
        plan = assemble(problem, batch, np.full_like(batch, mode), group)
        ticks = step_ticks(problem, plan)
        if best is None or ticks < least:
            best, least = plan, ticks
        tried += 1
        if tried == COUNTS_TRIED:
            break
    return best


def _fewest_alike(problem: SequenceProblem, mode: int, n_groups: int) -> int:
    """Return a count of micro-batches below which groups of one mode cannot hold everything."""
    room = int(problem.cost.tokens[mode])
    alone = int(np.count_nonzero(2 * problem.padded > room))  # no two of these share a group
    total = int(problem.padded.sum())
    return max(problem.least, -(-total // (room * n_groups)), -(-alone // n_groups))


def _balanced(
    problem: SequenceProblem, order: IntArray, mode: int, n_groups: int, count: int
) -> IntArray | None:
    """Return int64[K], the group of every sequence in ``count`` micro-batches; None if it fails."""
    padded, ticks = problem.padded[order], problem.ticks[mode][order]
    room = int(problem.cost.tokens[mode])
    cut = consecutive(padded, count)
    group = np.empty(len(order), dtype=np.int64)
    for part in range(count):
        span = slice(int(cut[part]), int(cut[part + 1]))
        tokens = padded[span].tolist()
        if sum(tokens) > room * n_groups:
            return None
        found = _soonest(tokens, ticks[span].tolist(), n_groups, room)
        if found is None:
            found = _fullest(tokens, n_groups, room)
        if found is None:
            return None
        group[order[span]] = np.asarray(found) + part * n_groups
    return group


def _soonest(tokens: list[int], ticks: list[int], n_groups: int, room: int) -> list[int] | None:
    """Give each, largest first, to the group done soonest that has room."""
    heap = [(0, g, 0) for g in range(n_groups)]
    full: list[tuple[int, int, int]] = []  # most room first: they come back for smaller ones
    group = []
    for size, time in zip(tokens, ticks, strict=True):
        while full and full[0][0] + size <= room:
            held, load, g = heapq.heappop(full)
            heapq.heappush(heap, (load, g, held))
        while heap and heap[0][2] + size > room:
            load, g, held = heapq.heappop(heap)
            heapq.heappush(full, (held, load, g))
        if not heap:
            return None
        load, g, held = heap[0]
        heapq.heapreplace(heap, (load + time, g, held + size))
        group.append(g)
    return group


def _fullest(tokens: list[int], n_groups: int, room: int) -> list[int] | None:
    """Give each to the fullest group that has room: best fit decreasing."""
    left = np.full(n_groups, room, dtype=np.int64)
    group = []
    for size in tokens:
        after = np.where(left >= size, left - size, room)
        g = int(after.argmin())
        if left[g] < size:
            return None
        left[g] -= size
        group.append(g)
    return group


def best_homogeneous(problem: SequenceProblem) -> SequencePlan | None:
    """Return the best of `homogeneous` over all modes, the first of equals, if any."""
    return _fastest(problem, range(problem.n_modes))


def static(problem: SequenceProblem) -> SequencePlan | None:
    """Return the plan of the largest degree for everything; the faster kind if it has two."""
    degree = problem.cost.degree
    return _fastest(problem, np.flatnonzero(degree == degree.max()).tolist())


def _fastest(problem: SequenceProblem, modes: Iterable[int]) -> SequencePlan | None:
    """Return the fastest plan of one of the modes, the first of equals, if any."""
    best: tuple[int, int, SequencePlan] | None = None
    for bound, mode in sorted((_least_alike(problem, mode), mode) for mode in modes):
        if best is not None and (bound, mode) > best[:2]:
            continue
        plan = homogeneous(problem, mode)
        if plan is not None:
            ticks = step_ticks(problem, plan)
            if best is None or (ticks, mode) < best[:2]:
                best = ticks, mode, plan
    return None if best is None else best[2]


def _least_alike(problem: SequenceProblem, mode: int) -> int:
    """Return ticks that no plan of one mode undercuts; its mean, as `homogeneous` uses it."""
    n_groups = int(problem.n_ranks // problem.cost.degree[mode])
    if n_groups == 0 or not problem.fits[mode].all():
        return 0  # there is none
    even = int(problem.ticks[mode].sum()) // n_groups
    return even + _fewest_alike(problem, mode, n_groups) * int(problem.fixed_ticks[mode])


# -- Megatron ------------------------------------------------------------------------------------


def megatron_greedy(problem: SequenceProblem) -> SequencePlan | None:
    """Return what Megatron-LM's balanced hybrid context parallelism does, restated.

    Its scheduler (``BalancedCPScheduler``) gives each sequence the least power of two of ranks
    that holds it, counts work as tokens squared over ranks, and fills micro-batches one after the
    other, heaviest sequence first: into a free range of ranks, else into the group of that degree
    with least work as long as the heaviest group stays the heaviest. What does not fit waits for
    the next micro-batch. Memory is that of the problem: tokens of a group add up.

    Returns
    -------
    SequencePlan or None
        None where it needs more or fewer micro-batches than allowed.
    """
    cost, padded = problem.cost, problem.padded
    least = problem.fits.argmax(axis=0)  # modes stand by increasing degree
    each = padded.astype(np.float64) ** 2 / cost.degree[least]
    waiting = np.lexsort((-each, -cost.degree[least])).tolist()
    mode, degree, work = least.tolist(), cost.degree[least].tolist(), each.tolist()
    tokens, room = padded.tolist(), cost.tokens.tolist()
    group = np.empty(len(padded), dtype=np.int64)
    batches: list[int] = []
    modes: list[int] = []
    batch = 0
    while waiting:
        open_groups = [_Alike() for _ in range(problem.n_modes)]
        free, heaviest, later = problem.n_ranks, 0.0, []
        for k in waiting:
            alike, size, weight = open_groups[mode[k]], tokens[k], work[k]
            if degree[k] <= free:
                free -= degree[k]
                number, before = len(modes), 0.0
                alike.put(before + weight, number, room[mode[k]] - size)
                batches.append(batch)
                modes.append(mode[k])
            else:
                lightest = alike.lightest(size)
                if lightest is None or lightest[0] + weight > heaviest:
                    later.append(k)
                    continue
                before, number, left = lightest
                alike.replace(before + weight, number, left - size)
            heaviest = max(heaviest, before + weight)
            group[k] = number
        waiting, batch = later, batch + 1
    if not problem.least <= batch <= most_micro_batches(problem):
        return None
    return assemble(problem, np.array(batches), np.array(modes), group)


class _Alike:
    """Groups of one mode in one micro-batch, asked for sequences by descending size."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, int]] = []
        self.full: list[tuple[int, float, int]] = []  # most room first

    def put(self, work: float, number: int, left: int) -> None:
        heapq.heappush(self.heap, (work, number, left))

    def lightest(self, size: int) -> tuple[float, int, int] | None:
        """Return work, number and room left of the group with least work that has room."""
        heap, full = self.heap, self.full
        while full and -full[0][0] >= size:
            left, work, number = heapq.heappop(full)
            heapq.heappush(heap, (work, number, -left))
        while heap and heap[0][2] < size:
            work, number, left = heapq.heappop(heap)
            heapq.heappush(full, (-left, work, number))
        return heap[0] if heap else None

    def replace(self, work: float, number: int, left: int) -> None:
        """Change the group that was `lightest`."""
        heapq.heapreplace(self.heap, (work, number, left))


# -- methods -------------------------------------------------------------------------------------


def run(problem: SequenceProblem, search: Search) -> None:
    """Propose the best plan of one degree for everything, then Megatron's greedy."""
    for mode in range(problem.n_modes - 1, -1, -1):
        plan = homogeneous(problem, mode)
        if plan is not None:
            search.propose(plan, f"homogeneous {problem.cost.degree[mode]}")
        if search.done():
            return
    plan = megatron_greedy(problem)
    if plan is not None:
        search.propose(plan, "megatron greedy")


__all__ = [
    "best_homogeneous",
    "homogeneous",
    "megatron_greedy",
    "run",
    "static",
]
