"""Packing and local search: micro-batches, groups and their sequences chosen together.

For a count of micro-batches and a target time of each, sequences go, the longest first, where they
take least rank-time; what exceeds a target is moved and swapped away; targets tighten on success
and shift between micro-batches on failure (`mapc.models.sequence.packing_kernels`). Starts differ
in the count, in how unevenly the targets share the step, and in what opening a group is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray
from mapc.kernels import load, stream
from mapc.models.base import Search
from mapc.models.sequence.baselines import assemble, best_homogeneous, megatron_greedy, step_ticks
from mapc.models.sequence.chunks import fewest, limit
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import FloatArray, SequenceProblem

KERNELS = "mapc.models.sequence.packing_kernels"

WORK = 60_000_000
"""Looks at a move or swap without a clock; about 0.3 s."""
SLICE = 1_500_000
"""Looks between two questions whether to stop."""
COUNTS_TRIED = 3
"""Counts of micro-batches with starts of their own."""
RATIOS = (1.0, 0.6, 0.8, 0.4)
"""Targets of a start: each micro-batch's share over the one before."""
PREMIUM = 1.025
"""What rank-time in a new group of several ranks counts, over that in an old one."""
KEPT = 3
"""Starts that go on after the first slice of all."""


@dataclass(frozen=True, eq=False)
class _Start:
    """One search and all its arrays, as `packing_kernels` describes them."""

    random: NDArray[np.uint64]
    premium: FloatArray
    constants: tuple[FloatArray, FloatArray, IntArray, IntArray, IntArray]
    target: FloatArray
    free: IntArray
    groups: IntArray
    load: FloatArray
    items: IntArray
    best: FloatArray
    best_groups: IntArray
    best_items: IntArray

    @property
    def step(self) -> float:
        return float(self.best[0])

    def arguments(self) -> tuple[NDArray[np.generic], ...]:
        return (*self.constants, self.target, self.free, self.groups, self.load, self.items)

    def construct(self, kernels: ModuleType) -> bool:
        return bool(kernels.construct(self.premium, *self.arguments()))

    def improve(self, kernels: ModuleType, work: int) -> int:
        return int(
            kernels.improve(
                work,
                self.random,
                self.premium,
                *self.arguments(),
                self.best,
                self.best_groups,
                self.best_items,
            )
        )


def pack(
    problem: SequenceProblem,
    *,
    seed: int = 0,
    work: int | None = WORK,
    done: Callable[[], bool] | None = None,
) -> SequencePlan | None:
    """Return the best plan of local search and of the baselines.

    Parameters
    ----------
    problem : SequenceProblem
    seed : int
        The same seed and work, without ``done``, give the same plan.
    work : int, optional
        Looks at a move or swap; None: until ``done`` says so.
    done : callable, optional
        Whether to stop, asked every few milliseconds.

    Returns
    -------
    SequencePlan or None
        None if no plan was found: micro-batches are limited and memory is tight.
    """
    best: SequencePlan | None = None
    for plan, _ in plans(problem, seed=seed, work=work, done=done):
        best = plan
    return best


def plans(
    problem: SequenceProblem,
    *,
    seed: int = 0,
    work: int | None = WORK,
    done: Callable[[], bool] | None = None,
) -> Iterator[tuple[SequencePlan, str]]:
    """Yield ever better plans and where each is from; parameters as of `pack`."""
    if work is None and done is None:
        raise ValueError("a search needs an end: give work or done")
    least = np.inf
    for source, baseline in (
        ("homogeneous", best_homogeneous(problem)),
        ("megatron greedy", megatron_greedy(problem)),
    ):
        if baseline is not None and (ticks := step_ticks(problem, baseline)) < least:
            least = float(ticks)
            yield baseline, source
    kernels = load(KERNELS, done)
    if kernels is None:
        return
    order = np.argsort(-problem.padded, kind="stable")
    for start in _search(problem, order, kernels, least, seed, work, done):
        if start.step < least:
            least = start.step
            group = np.empty(problem.n_sequences, dtype=np.int64)
            group[order] = start.best_items
            yield assemble(problem, start.best_groups[0], start.best_groups[1], group), "packing"


def _search(
    problem: SequenceProblem,
    order: IntArray,
    kernels: ModuleType,
    least: float,
    seed: int,
    work: int | None,
    done: Callable[[], bool] | None,
) -> Iterator[_Start]:
    """Yield starts as they have been searched: each once, then the best few in turn."""
    spent = 0
    kept: list[_Start] = []
    for start in _starts(problem, order, seed, least):
        if not start.construct(kernels):
            continue
        spent += start.improve(kernels, SLICE)
        kept.append(start)
        yield start
        if (work is not None and spent >= work) or (done is not None and done()):
            return
    # the best of every start goes on; a start none of whose plans has all micro-batches is over
    kept = sorted((one for one in kept if one.step < np.inf), key=lambda one: one.step)[:KEPT]
    while kept:
        for start in kept:
            spent += start.improve(kernels, SLICE)
            yield start
            if (work is not None and spent >= work) or (done is not None and done()):
                return


def _starts(problem: SequenceProblem, order: IntArray, seed: int, least: float) -> Iterator[_Start]:
    """Yield starts for counts of micro-batches from the least one up, while they can pay."""
    degree = problem.cost.degree
    constants = (
        np.ascontiguousarray(problem.ticks[:, order], dtype=np.float64),
        problem.fixed_ticks.astype(np.float64),
        degree.astype(np.int64),
        problem.cost.tokens.astype(np.int64),
        problem.padded[order],
    )
    time, fixed, _, room, _ = constants
    spent = np.where(problem.fits[:, order], time * degree[:, None], np.inf).min(axis=0)
    area = float(spent.sum()) / problem.n_ranks
    alone = np.where(problem.fits[:, order], time + fixed[:, None], np.inf).min(axis=0).max()
    first = fewest(problem)
    for count in range(first, min(limit(problem), first + COUNTS_TRIED - 1) + 1):
        base = float(fixed.min())
        if area + count * base >= least:
            return
        for number, ratio in enumerate(RATIOS if count > 1 else RATIOS[:1]):
            share = ratio ** np.arange(count)
            target = base + area * 1.03 * share / share.sum()
            target[0] = max(target[0], alone)
            premium = np.where(degree > 1, PREMIUM, 1.0)
            n_groups = int(min(problem.n_ranks * count, problem.n_sequences + count))
            groups = np.full((5, n_groups), -1, dtype=np.int64)
            n_items = problem.n_sequences
            yield _Start(
                stream(seed, count, number),
                premium,
                constants,
                target,
                np.full(count, problem.n_ranks, dtype=np.int64),
                groups,
                np.zeros(n_groups),
                np.full((3, n_items), -1, dtype=np.int64),
                np.array([np.inf]),
                groups.copy(),
                np.zeros(n_items, dtype=np.int64),
            )
    del room


def run(problem: SequenceProblem, search: Search) -> None:
    """Propose ever better plans until the search is done; counted work without a clock."""
    work = WORK if search.deterministic else None
    for plan, source in plans(problem, seed=search.seed, work=work, done=search.done):
        search.propose(plan, source)
