"""Packing and local search: micro-batches, groups and their sequences chosen together.

For a count of micro-batches and a target time of each, sequences go, the longest first, where they
take least rank-time; what exceeds a target is moved and swapped away; targets tighten on success
and shift between micro-batches on failure (`mapc.models.sequence.packing.search_kernels`). Starts
differ in the count, in how unevenly the targets share the step, and in what opening a group costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import IntArray
from mapc.kernels import load, stream
from mapc.models.base import Search
from mapc.models.sequence.assembly import assemble, step_ticks
from mapc.models.sequence.bounds.area import least_micro_batches, micro_batch_tokens
from mapc.models.sequence.packing.fullest import fullest
from mapc.models.sequence.packing.hints import Hint, hint_of
from mapc.models.sequence.packing.starts import Sizes, Start
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.published.baselines import best_homogeneous, megatron_greedy

KERNELS = "mapc.models.sequence.packing.search_kernels"

WORK = 60_000_000
"""Looks at a move or swap without a clock; about 0.3 s."""
WORK_EACH = 200_000
"""For each sequence, where these are few."""
SLICE, SLICE_EACH = 1_500_000, 3_000
"""Looks between two questions whether to stop: at most, and per sequence."""
START = 10_000
"""Looks that making a start counts as, by its time."""
SECONDS = 0.006
"""Of a slice, by the clock."""
LITTLE = 0.6
"""Seconds of which `run` takes all."""
PART, LARGE_PART, LARGE = 0.25, 0.1, 2_000
"""What `run` takes of more, and of problems of so many sequences, whose bounds need less of it."""
MOST, MOST_EACH = 2.0, 4e-4
"""Seconds of it at most: in any case, or per sequence."""
STALE, STALE_EACH = 1e8, 1e5
"""Looks without a better plan after which `run` ends: in any case, or per sequence."""
MADE, FEWEST, MADE_ITEMS = 36, 6, 60_000
"""Starts of a round: at most, at least, and sequences of all of them."""
CALM, NEW = 8, 4
"""Starts of a round that are relieved in any case; those of the others least past their targets."""
RACERS = 128
"""Sequences below which all starts are relieved, for that costs no more than packing them."""
TIGHT = 0.8
"""Part of the memory of the fewest micro-batches that is used, above which all are, too: what fits
in few micro-batches seldom packs in time at once, and the race would go to many."""
DEEP, DEEPEST, SHRINK = 0.5, 0.7, 0.6
"""How far from the best step towards the area's targets go: first, at most, after failure."""
SHARE = 0.5
"""Work on starts that go on, over that on new ones."""
KEPT = 3
"""Starts that go on, a slice each in every round."""


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
    hint: Hint | Sequence[Hint] | None = None,
    baselines: bool = True,
    least: float = np.inf,
    stale: float = np.inf,
    start: SequencePlan | None = None,
) -> Iterator[Found]:
    """Yield ever better plans with all that is known of them.

    Parameters
    ----------
    problem, seed, work, done, hint
        As of `pack`; of several hints starts take one in turn.
    baselines : bool
        Whether to begin with what `mapc.models.sequence.published.baselines` finds.
    least : float
        Ticks of a plan that is known; only better ones are given.
    stale : float
        Looks without a better plan after which the search ends.
    start : SequencePlan, optional
        A plan to go on with, where those of the first round are no better.
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
        if baseline is None and make is megatron_greedy and np.isinf(least):
            source, baseline = "fullest groups", fullest(problem)
        if baseline is not None and (ticks := step_ticks(problem, baseline)) < least:
            least = float(ticks)
            yield Found(baseline, source, ticks, hint_of(problem, baseline))
    kernels = load(KERNELS, done)
    if kernels is None:
        return
    order = np.argsort(-problem.padded, kind="stable")
    clock = _Clock(work, done, problem, stale)
    rounds = _Rounds(problem, order, kernels, clock, least, seed, hint, start)
    for one in rounds.search():
        if one.step < least:
            clock.idle = 0.0
            least = one.step
            group = np.empty(problem.n_sequences, dtype=np.int64)
            group[order] = one.best_items
            plan = assemble(problem, one.best_groups[0], one.best_groups[1], group)
            yield Found(plan, "packing", int(least), hint_of(problem, plan, one.premium))


class _Rounds:
    """Rounds of new starts, of which the best few of all go on.

    Packing a start is cheap beside relieving it. So most starts only race: their targets sum to
    less than the best step, by the more the easier that was for the starts before, and those that
    pack in time, or nearly, are relieved. The fewer sequences, the more are
    relieved in any case: what is close to its targets is not always what comes out best.
    """

    def __init__(
        self,
        problem: SequenceProblem,
        order: IntArray,
        kernels: ModuleType,
        clock: _Clock,
        least: float,
        seed: int,
        hint: Hint | Sequence[Hint] | None,
        given: SequencePlan | None,
    ) -> None:
        self.sizes = Sizes(problem, order)
        self.problem, self.order, self.given = problem, order, given
        self.kernels, self.clock, self.least = kernels, clock, least
        self.seed = seed
        self.hints = [hint] if isinstance(hint, Hint) else list(hint or ())
        self.rng = np.random.default_rng([seed, problem.n_sequences])
        self.length = max(FEWEST, min(MADE, MADE_ITEMS // problem.n_sequences))
        self.calm = CALM if self.length == MADE else 0
        fill = int(problem.padded.sum()) / micro_batch_tokens(problem) / self.sizes.fewest
        if problem.n_sequences < RACERS or (fill > TIGHT and self.calm > 0):
            self.length = self.calm = NEW + CALM
        self.made, self.deep = 0, DEEP
        self.kept: list[Start] = []

    def search(self) -> Iterator[Start]:
        """Yield starts as they have been searched, until time is up or none can pay."""
        while True:
            before, made = self.clock.spent(), self.made
            yield from self._new()
            self._take_given()
            self.kept = sorted(self.kept, key=lambda one: one.step)[:KEPT]
            if self.clock.over() or (not self.kept and self.made == made):
                return
            until = self.clock.spent() + SHARE * (self.clock.spent() - before)
            while self.kept:
                for start in self.kept:
                    yield from self._improved(start, self.clock.piece)
                    if self.clock.over():
                        return
                if self.clock.spent() >= until:
                    break

    def _new(self) -> Iterator[Start]:
        """Make a round of starts, relieve some."""
        late: list[tuple[float, int, Start]] = []
        for turn in range(self.length):
            race = turn >= self.calm
            start = self._made(race)
            if start is None:
                break
            self.made += 1
            if self.clock.constructed(self.kernels, start):
                past = start.excess(self.kernels)
                if race:
                    self.deep = min(2.0 * self.deep, DEEPEST) if past == 0.0 else SHRINK * self.deep
                if race and past > 0.0:
                    late.append((past, self.made, start))
                else:
                    yield from self._first(start)
            if self.clock.over():
                return
        for _, _, start in sorted(late, key=lambda one: one[:2])[:NEW]:
            yield from self._first(start)
            if self.clock.over():
                return

    def _take_given(self) -> None:
        """Go on with the plan that was given, once, unless others are better."""
        given, self.given = self.given, None
        if given is None:
            return
        better = sum(one.step < step_ticks(self.problem, given) for one in self.kept)
        if better < KEPT:
            random = stream(self.seed, self.made)
            self.kept.append(self.sizes.given(self.kernels, random, given, self.order))

    def _made(self, race: bool) -> Start | None:
        random = stream(self.seed, self.made)
        if self.hints and self.made % 3 != 2:
            hint = self.hints[(self.made - self.made // 3) % len(self.hints)]
            return self.sizes.hinted(self.kernels, self.rng, random, hint, self.made)
        best = self.kept[0] if self.kept else None
        deep = self.deep if race else None
        return self.sizes.start(self.rng, random, best, self.least, self.made, deep)

    def _first(self, start: Start) -> Iterator[Start]:
        """Relieve a start and keep it, in front when it is the best so far."""
        least = self.least
        yield from self._improved(start, 0)
        if start.step < least:
            self.kept.insert(0, start)
        elif start.step < np.inf:
            self.kept.append(start)

    def _improved(self, start: Start, work: int) -> Iterator[Start]:
        self.clock.improve(self.kernels, start, work)
        if start.step < np.inf:
            self.least = min(self.least, start.step)
            yield start


class _Clock:
    """Work in slices: counted, or as long as ``done`` does not say so."""

    def __init__(
        self,
        work: int | None,
        done: Callable[[], bool] | None,
        problem: SequenceProblem,
        stale: float = np.inf,
    ) -> None:
        self.left = 0.0 if work is None else float(work)
        self.done, self.idle, self.stale = done, 0.0, stale
        self.size = problem.n_sequences
        self.timed = work is None
        self.piece = min(SLICE, SLICE_EACH * self.size)

    def _count(self, looks: int) -> None:
        self.left -= looks
        self.idle += looks

    def spent(self) -> float:
        """Return seconds or looks."""
        return time.perf_counter() if self.timed else -self.left

    def over(self) -> bool:
        if self.idle > self.stale:
            return True
        return (not self.timed and self.left <= 0) or (self.done is not None and self.done())

    def constructed(self, kernels: ModuleType, start: Start) -> bool:
        """Place everything; false where memory does not do or time is up."""
        self._count(START + self.size)
        first = 0
        while 0 <= first < self.size:
            first = start.construct(kernels, first, SLICE)
            if first < self.size and self.over():
                return False
        return first == self.size

    def improve(self, kernels: ModuleType, start: Start, work: int) -> None:
        began = time.perf_counter()
        took = start.improve(kernels, work if self.timed else int(min(work, self.left)))
        self._count(took)
        if self.timed and work:
            # slices of even time, whatever a look costs on this machine and problem
            rate = took / max(time.perf_counter() - began, 1e-6)
            self.piece = int(min(max(rate * SECONDS, 0.5 * self.piece), 2.0 * self.piece))


def run(problem: SequenceProblem, search: Search) -> None:
    """Propose ever better plans: `Method.run`.

    Of little time it takes all, of more its part, the larger the problem the more; it ends early
    when nothing better comes up. Without a clock the work is counted.
    """
    if not isinstance(problem, SequenceProblem) or search.done():
        return
    least, known = np.inf, search.objective
    if known is not None:
        least = known / problem.tick
    work: int | None = min(WORK, WORK_EACH * problem.n_sequences)
    done, stale = search.done, np.inf
    if not search.deterministic:
        # the first time in a process it takes a second: not part of what the search may take
        if load(KERNELS, search.done) is None:
            search.note("packing: time was up before its compiled kernels were loaded")
        left = search.remaining()
        if left > LITTLE:
            stale = max(STALE, STALE_EACH * problem.n_sequences)
            part = PART if problem.n_sequences < LARGE else LARGE_PART
            left = min(part * left, max(MOST, MOST_EACH * problem.n_sequences))
        end = time.monotonic() + left
        work, done = None, lambda: time.monotonic() >= end or search.done()
    for one in found(
        problem,
        seed=search.seed,
        work=work,
        done=done,
        baselines=known is None,
        least=least,
        stale=stale,
        start=search.plan if known is not None else None,
    ):
        search.propose(one.plan, one.source)
