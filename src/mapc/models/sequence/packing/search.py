"""Packing and local search: micro-batches, groups and their sequences chosen together.

For a count of micro-batches and a target time of each, sequences go, the longest first, where they
take least rank-time; what exceeds a target is moved and swapped away; targets tighten on success
and shift between micro-batches on failure (`mapc.models.sequence.packing.search_kernels`). Starts
differ in the count, in how unevenly the targets share the step, and in what opening a group costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.kernels import load, stream
from mapc.models.base import Search
from mapc.models.sequence.assembly import assemble, step_ticks
from mapc.models.sequence.bounds.area import least_micro_batches, most_micro_batches
from mapc.models.sequence.packing.hints import Hint, hint_of
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import FloatArray, SequenceProblem
from mapc.models.sequence.published.baselines import best_homogeneous, megatron_greedy

KERNELS = "mapc.models.sequence.packing.search_kernels"

WORK = 60_000_000
"""Looks at a move or swap without a clock; about 0.3 s."""
SLICE, SLICE_EACH = 1_500_000, 3_000
"""Looks between two questions whether to stop: at most, and per sequence."""
COUNTS_TRIED = 3
"""Counts of micro-batches with starts of their own."""
RATIOS = (1.0, 0.8, 0.6, 0.4, 0.25)
"""Targets of a start: each micro-batch's share over the one before."""
PREMIUM = 1.025
"""What rank-time in a new group of several ranks counts, over that in an old one."""
START = 10_000
"""Looks that making a start counts as, by its time."""
USUAL, ODD, ODD_EACH = (0.95, 1.15), (0.5, 1.5), 8
"""What premiums of a start are multiplied with; every so many starts the wider range."""
SECONDS = 0.006
"""Of a slice, by the clock."""
SCANNED, SCANNED_AGAIN = 2048, 256
"""Groups that a sequence is tried in when all are packed, and when a corner is."""
TIGHTEN = 0.003
"""What targets lose at first after success."""
NEW = 12
"""Starts of a round, each packed and relieved once."""
KEPT = 3
"""Starts that go on, a slice each in every round."""


@dataclass(frozen=True, eq=False)
class _Start:
    """One search: arrays as `mapc.models.sequence.packing.state_kernels` describes them."""

    random: NDArray[np.uint64]
    premium: FloatArray
    problem: tuple[FloatArray, FloatArray, IntArray, IntArray, IntArray]
    state: tuple[FloatArray, IntArray, IntArray, FloatArray, IntArray, IntArray, IntArray]
    best: FloatArray
    best_groups: IntArray
    best_items: IntArray
    search: FloatArray

    @property
    def step(self) -> float:
        return float(self.best[0])

    def construct(self, kernels: ModuleType, first: int, work: int) -> int:
        """Return the sequence to go on with, K at the end, -1 where memory does not do."""
        arguments = (self.random, self.premium, self.problem, self.state)
        return int(kernels.construct(first, work, SCANNED, *arguments))

    def improve(self, kernels: ModuleType, work: int) -> int:
        arguments = (self.random, self.premium, self.problem, self.state)
        found = (self.best, self.best_groups, self.best_items, self.search)
        return int(kernels.improve(work, SCANNED_AGAIN, *arguments, *found))

    def reached(self) -> FloatArray:
        """float64[Q]: the slowest group of each micro-batch of the best plan."""
        time, fixed = self.problem[:2]
        batch, mode = self.best_groups
        ticks = np.where(mode >= 0, fixed[mode], 0.0)
        np.add.at(ticks, self.best_items, time[mode[self.best_items], np.arange(time.shape[1])])
        slowest = np.zeros(len(self.state[0]))
        np.maximum.at(slowest, batch[mode >= 0], ticks[mode >= 0])
        return slowest


@dataclass(frozen=True, eq=False)
class Found:
    """A plan, where it is from, and what it says about the next step.

    Attributes
    ----------
    plan : SequencePlan
    source : str
    ticks : int
        Its step.
    hint : Hint
    """

    plan: SequencePlan
    source: str
    ticks: int
    hint: Hint


def pack(
    problem: SequenceProblem,
    *,
    seed: int = 0,
    work: int | None = WORK,
    done: Callable[[], bool] | None = None,
    hint: Hint | None = None,
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
    hint : Hint, optional
        Where to start from.

    Returns
    -------
    SequencePlan or None
        None if no plan was found: micro-batches are limited and memory is tight.
    """
    best: SequencePlan | None = None
    for plan, _ in plans(problem, seed=seed, work=work, done=done, hint=hint):
        best = plan
    return best


def plans(
    problem: SequenceProblem,
    *,
    seed: int = 0,
    work: int | None = WORK,
    done: Callable[[], bool] | None = None,
    hint: Hint | None = None,
    baselines: bool = True,
    least: float = np.inf,
) -> Iterator[tuple[SequencePlan, str]]:
    """Yield ever better plans and where each is from; parameters as of `found`."""
    for one in found(
        problem, seed=seed, work=work, done=done, hint=hint, baselines=baselines, least=least
    ):
        yield one.plan, one.source


def found(
    problem: SequenceProblem,
    *,
    seed: int = 0,
    work: int | None = WORK,
    done: Callable[[], bool] | None = None,
    hint: Hint | None = None,
    baselines: bool = True,
    least: float = np.inf,
) -> Iterator[Found]:
    """Yield ever better plans with all that is known of them.

    Parameters
    ----------
    problem, seed, work, done, hint
        As of `pack`.
    baselines : bool
        Whether to begin with what `mapc.models.sequence.published.baselines` finds.
    least : float
        Ticks of a plan that is known; only better ones are given.
    """
    if work is None and done is None:
        raise ValueError("a search needs an end: give work or done")
    try:
        least_micro_batches(problem)
    except InfeasibleError:
        return
    for source, make in (
        (("homogeneous", best_homogeneous), ("megatron greedy", megatron_greedy))
        if baselines
        else ()
    ):
        baseline = make(problem)
        if baseline is not None and (ticks := step_ticks(problem, baseline)) < least:
            least = float(ticks)
            yield Found(baseline, source, ticks, hint_of(problem, baseline))
    kernels = load(KERNELS, done)
    if kernels is None:
        return
    order = np.argsort(-problem.padded, kind="stable")
    for start in _search(problem, order, kernels, least, seed, _Clock(work, done, problem), hint):
        if start.step < least:
            least = start.step
            group = np.empty(problem.n_sequences, dtype=np.int64)
            group[order] = start.best_items
            plan = assemble(problem, start.best_groups[0], start.best_groups[1], group)
            yield Found(plan, "packing", int(least), hint_of(problem, plan, start.premium))


def _search(
    problem: SequenceProblem,
    order: IntArray,
    kernels: ModuleType,
    least: float,
    seed: int,
    clock: _Clock,
    hint: Hint | None,
) -> Iterator[_Start]:
    """Yield starts as they have been searched: rounds of new ones, then the best few of all."""
    sizes = _Sizes(problem, order)
    rng = np.random.default_rng([seed, problem.n_sequences])
    made = 0
    kept: list[_Start] = []
    while True:
        fresh = 0
        for _ in range(NEW):
            best = kept[0] if kept else None
            start: _Start | None
            if hint is not None and made % 3 != 2:
                start = sizes.hinted(rng, stream(seed, made), hint, made)
            else:
                start = sizes.start(rng, stream(seed, made), best, least, made)
            made += 1
            if start is None:
                break
            fresh += 1
            if clock.constructed(kernels, start):
                clock.improve(kernels, start, 0)
                if start.step < np.inf:
                    kept.append(start)
                    yield start
                    least = min(least, start.step)
            if clock.over():
                return
        kept = sorted(kept, key=lambda one: one.step)[:KEPT]
        if not kept and not fresh:
            return
        for start in kept:
            clock.improve(kernels, start, clock.piece)
            yield start
            least = min(least, start.step)
            if clock.over():
                return


class _Clock:
    """Work in slices: counted, or as long as ``done`` does not say so."""

    def __init__(
        self, work: int | None, done: Callable[[], bool] | None, problem: SequenceProblem
    ) -> None:
        self.left = np.inf if work is None else float(work)
        self.done = done
        self.size = problem.n_sequences
        self.timed = work is None
        self.piece = min(SLICE, SLICE_EACH * self.size)

    def over(self) -> bool:
        return self.left <= 0 or (self.done is not None and self.done())

    def constructed(self, kernels: ModuleType, start: _Start) -> bool:
        """Place everything; false where memory does not do or time is up."""
        self.left -= START + self.size
        first = 0
        while 0 <= first < self.size:
            first = start.construct(kernels, first, SLICE)
            if first < self.size and self.over():
                return False
        return first == self.size

    def improve(self, kernels: ModuleType, start: _Start, work: int) -> None:
        began = time.perf_counter()
        took = start.improve(kernels, int(min(work, self.left)))
        self.left -= took
        if self.timed and work:
            # slices of even time, whatever a look costs on this machine and problem
            rate = took / max(time.perf_counter() - began, 1e-6)
            self.piece = int(min(max(rate * SECONDS, 0.5 * self.piece), 2.0 * self.piece))


class _Sizes:
    """The figures starts are made from: times, memory, least rank-time of all."""

    def __init__(self, problem: SequenceProblem, order: IntArray) -> None:
        cost = problem.cost
        self.degree = cost.degree.astype(np.int64)
        self.time = np.ascontiguousarray(problem.ticks[:, order], dtype=np.float64)
        self.fixed = problem.fixed_ticks.astype(np.float64)
        self.room = cost.tokens.astype(np.int64)
        self.padded = problem.padded[order]
        fits = problem.fits[:, order] & (self.degree <= problem.n_ranks)[:, None]
        rank_time = np.where(fits, self.time * self.degree[:, None], np.inf).min(axis=0)
        self.area = float(rank_time.sum()) / problem.n_ranks
        alone = np.where(fits, self.time + self.fixed[:, None], np.inf).min(axis=0)
        self.alone = float(alone.max())
        self.base = float(self.fixed.min())
        self.n_ranks = problem.n_ranks
        self.fewest, self.most = least_micro_batches(problem), most_micro_batches(problem)

    def start(
        self,
        rng: np.random.Generator,
        random: NDArray[np.uint64],
        best: _Start | None,
        least: float,
        number: int,
    ) -> _Start | None:
        """Return one more start: of its own, or near the best one; None if no count can pay."""
        pays = [
            count
            for count in range(self.fewest, min(self.most, self.fewest + COUNTS_TRIED - 1) + 1)
            if self.area + count * self.base < least or best is None
        ]
        if best is not None and number % 2:
            target = best.reached() * rng.uniform(0.97, 1.01, len(best.state[0]))
        elif pays:
            # the least counts more often: what they cost in memory they mostly save in fixed time
            count = pays[int(len(pays) * rng.random() ** 2)]
            target = self._targets(count, float(rng.choice(RATIOS)), rng.uniform(1.0, 1.2))
        else:
            return None
        return self._made(random, self._premium(rng, number), target)

    def hinted(
        self, rng: np.random.Generator, random: NDArray[np.uint64], hint: Hint, number: int
    ) -> _Start:
        """Return a start at the targets of a hint, or near them."""
        target = np.sort(hint.target)[::-1].astype(np.float64)
        premium = self._premium(rng, number) if hint.premium is None else hint.premium.copy()
        if number:
            target = target * rng.uniform(0.99, 1.02, len(target))
            premium = premium * rng.uniform(*USUAL, len(premium))
        return self._made(random, premium, target)

    def _premium(self, rng: np.random.Generator, number: int) -> FloatArray:
        premium = np.where(self.degree > 1, PREMIUM, 1.0)
        if number:
            spread = ODD if number % ODD_EACH == 0 else USUAL
            premium *= rng.uniform(*spread, len(premium))
        return premium

    def _targets(self, count: int, ratio: float, slack: float) -> FloatArray:
        """Share the step in a geometric way; the longest sequence gets its time at least."""
        share = ratio ** np.arange(count)
        target: FloatArray = self.base + self.area * slack * share / share.sum()
        if count > 1 and target[0] < self.alone:
            target[0] = self.alone * (1.0 + (slack - 1.0) / 4)
            rest = max(self.area * slack - (target[0] - self.base), 0.1 * self.area)
            target[1:] = self.base + rest * share[1:] / share[1:].sum()
        target[0] = max(target[0], self.alone)
        return target

    def _made(self, random: NDArray[np.uint64], premium: FloatArray, target: FloatArray) -> _Start:
        """Return a start with nothing assigned."""
        count, n_items = len(target), len(self.padded)
        n_groups = min(self.n_ranks * count, n_items + count)
        groups = np.full((10, n_groups), -1, dtype=np.int64)
        groups[5] = groups[6] = np.arange(n_groups)
        return _Start(
            random,
            premium,
            (self.time, self.fixed, self.degree, self.room, self.padded),
            (
                target,
                np.full(count, self.n_ranks, dtype=np.int64),
                groups,
                np.zeros(n_groups),
                np.full((3, n_items), -1, dtype=np.int64),
                np.zeros((4, 2 * (n_items + n_groups) + 1024), dtype=np.int64),
                np.zeros(4, dtype=np.int64),
            ),
            np.array([np.inf]),
            np.full((2, n_groups), -1, dtype=np.int64),
            np.zeros(n_items, dtype=np.int64),
            np.array([np.inf, 0.0, TIGHTEN]),
        )


def run(problem: SequenceProblem, search: Search) -> None:
    """Propose ever better plans until the search is done; counted work without a clock."""
    work = WORK if search.deterministic else None
    for plan, source in plans(problem, seed=search.seed, work=work, done=search.done):
        search.propose(plan, source)
