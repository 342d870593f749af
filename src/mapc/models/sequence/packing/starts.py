"""Starts of a search: targets of micro-batches, what opening groups costs, and all arrays."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray
from mapc.models.sequence.bounds.area import least_micro_batches, most_micro_batches
from mapc.models.sequence.packing.hints import Hint
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import FloatArray, SequenceProblem

COUNTS_TRIED = 3
"""Counts of micro-batches with starts of their own."""
RATIO = (0.2, 1.2)
"""Targets of a start: each micro-batch's share over the one before, above 1 all alike."""
SLACK = (0.0, 0.2)
"""What targets sum to above the area's time, as a part of it, where starts do not race."""
AIM = 0.992
"""What they sum to at most, over the best step, where starts do."""
LOOSE = 1.5
"""The best step over that bound where none is known."""
PREMIUM = 1.025
"""What rank-time in a new group of several ranks counts, over that in an old one."""
DEAR = (1.05, 1.15, 1.4)
"""What premiums of a start are multiplied with at most, the widest groups' most."""
USUAL, ODD, ODD_EACH = (0.93, 1.07), (0.5, 1.5), 8
"""Changes of premiums that did well; what premiums are multiplied with every so many starts."""
SCANNED, SCANNED_MANY, MANY = (2048, 256), (512, 64), 2_000
"""Groups that a sequence is tried in when all are packed, and when a corner is; the same of so many
sequences, where more rounds are worth more than better ones."""
TIGHTEN = 0.003
"""What targets lose at first after success."""
WITH_MODES = 3
"""Every so many starts have the modes that a hint says; other targets and premiums all of them."""
INHERIT = 0.25
"""How often a start near the best one takes its premiums as well."""


@dataclass(frozen=True, eq=False)
class Start:
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
        """Ticks of the best step so far; infinite before the first."""
        return float(self.best[0])

    @property
    def _scanned(self) -> tuple[int, int]:
        return SCANNED if len(self.best_items) < MANY else SCANNED_MANY

    def construct(self, kernels: ModuleType, first: int, work: int) -> int:
        """Return the sequence to go on with, K at the end, -1 where memory does not do."""
        arguments = (self.random, self.premium, self.problem, self.state)
        return int(kernels.construct(first, work, self._scanned[0], *arguments))

    def excess(self, kernels: ModuleType) -> float:
        """Return ranks times squared time past the targets; 0 when all is in time."""
        return float(kernels.total_excess(self.problem, self.state))

    def improve(self, kernels: ModuleType, work: int) -> int:
        """Search for about so many looks; return those taken."""
        arguments = (self.random, self.premium, self.problem, self.state)
        found = (self.best, self.best_groups, self.best_items, self.search)
        return int(kernels.improve(work, self._scanned[1], *arguments, *found))

    def reached(self) -> FloatArray:
        """float64[Q]: the slowest group of each micro-batch of the best plan."""
        time, fixed = self.problem[:2]
        batch, mode = self.best_groups
        ticks = np.where(mode >= 0, fixed[mode], 0.0)
        np.add.at(ticks, self.best_items, time[mode[self.best_items], np.arange(time.shape[1])])
        slowest = np.zeros(len(self.state[0]))
        np.maximum.at(slowest, batch[mode >= 0], ticks[mode >= 0])
        return slowest


class Sizes:
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
        self.n_ranks, self.n_modes = problem.n_ranks, problem.n_modes
        self.fewest, self.most = least_micro_batches(problem), most_micro_batches(problem)

    def start(
        self,
        rng: np.random.Generator,
        random: NDArray[np.uint64],
        best: Start | None,
        least: float,
        number: int,
        deep: float | None,
    ) -> Start | None:
        """Return one more start: of its own, or near the best one; None if no count can pay.

        Its targets sum to less than ``least``, by the part ``deep`` of what lies above the area;
        with None they keep some distance from the area, or are near the best plan's.
        """
        pays = [
            count
            for count in range(self.fewest, min(self.most, self.fewest + COUNTS_TRIED - 1) + 1)
            if self.area + count * self.base < least or best is None
        ]
        if best is not None and number % 2:
            target = best.reached() * rng.uniform(0.97, 1.01, len(best.state[0]))
            premium = (
                best.premium * rng.uniform(*USUAL, self.n_modes)
                if rng.random() < INHERIT
                else self._premium(rng, number)
            )
        elif pays:
            # the least counts more often: what they cost in memory they mostly save in fixed time
            count = pays[int(len(pays) * rng.random() ** 2)]
            target = self._shape(rng, count)
            premium = self._premium(rng, number)
        else:
            return None
        if deep is None and best is not None and number % 2:
            return self._made(random, premium, target)
        goal = self._goal(rng, len(target), least, deep)
        return self._made(random, premium, self._scaled(target, goal))

    def _goal(
        self, rng: np.random.Generator, count: int, least: float, deep: float | None
    ) -> float:
        low = self.area + count * self.base
        if deep is None:
            return low + self.area * rng.uniform(*SLACK)
        high = least if least < np.inf else LOOSE * low
        return max(low, min(AIM * high, high - (high - low) * deep))

    def _shape(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Share the area in a geometric way."""
        share = min(rng.uniform(*RATIO), 1.0) ** np.arange(count)
        target: FloatArray = self.base + self.area * share / share.sum()
        return target

    def _scaled(self, target: FloatArray, goal: float) -> FloatArray:
        """Return targets in proportion that sum to the goal, where the longest sequence fits."""
        most = int(np.argmax(target))
        target = target * (goal / max(float(target.sum()), 1.0))
        if target[most] < self.alone:
            rest = np.arange(len(target)) != most
            target[most] = self.alone
            left = max(goal - self.alone, 0.1 * goal)
            if rest.any():
                target[rest] *= left / max(float(target[rest].sum()), 1.0)
        return target

    def hinted(
        self,
        kernels: ModuleType,
        rng: np.random.Generator,
        random: NDArray[np.uint64],
        hint: Hint,
        number: int,
    ) -> Start:
        """Return a start at the targets of a hint, or near them."""
        target = np.sort(hint.target)[::-1].astype(np.float64)
        premium = self._premium(rng, number) if hint.premium is None else hint.premium.copy()
        if number:
            target = target * rng.uniform(0.99, 1.02, len(target))
            premium = premium * rng.uniform(*USUAL, len(premium))
        start = self._made(random, premium, target)
        if hint.modes is not None and number % WITH_MODES == 1:
            self._place(kernels, start, rng, hint.modes)
        return start

    def _place(
        self,
        kernels: ModuleType,
        start: Start,
        rng: np.random.Generator,
        modes: FloatArray,
    ) -> None:
        """Put the longest sequences into groups of modes that are drawn for them."""
        target, free, groups, load = start.state[:4]
        for i in range(min(modes.shape[1], len(self.padded))):
            j = int(np.searchsorted(np.cumsum(modes[:, i]), rng.random()))
            if j == self.n_modes or self.padded[i] > self.room[j]:
                continue
            time = self.time[j, i]
            alike = np.flatnonzero(
                (groups[1] == j)
                & (groups[2] + self.padded[i] <= self.room[j])
                & (load + time <= target[groups[0]])
            )
            fit = np.flatnonzero((free >= self.degree[j]) & (self.fixed[j] + time <= target))
            if len(alike):
                g = int(alike[np.argmax(load[alike])])
            elif len(fit):
                g = kernels.open_group(int(rng.choice(fit)), j, start.problem, start.state)
            else:
                continue
            kernels.insert(i, g, start.problem, start.state)

    def given(
        self,
        kernels: ModuleType,
        random: NDArray[np.uint64],
        plan: SequencePlan,
        order: IntArray,
    ) -> Start:
        """Return a start that is a plan, at its makespans."""
        group = plan.group[order]
        load = self.fixed[plan.mode]
        np.add.at(load, group, self.time[plan.mode[group], np.arange(len(group))])
        target = np.zeros(int(plan.micro_batch.max()) + 1)
        np.maximum.at(target, plan.micro_batch, load)
        start = self._made(random, np.where(self.degree > 1, PREMIUM, 1.0), target)
        slots = [
            kernels.open_group(m, j, start.problem, start.state)
            for m, j in zip(plan.micro_batch.tolist(), plan.mode.tolist(), strict=True)
        ]
        for i, g in enumerate(group.tolist()):
            kernels.insert(i, slots[g], start.problem, start.state)
        start.state[6][2] = 0  # nothing of this is to be taken back
        start.best[0] = target.sum()
        start.best_groups[:, slots] = plan.micro_batch, plan.mode
        start.best_items[:] = np.array(slots)[group]
        return start

    def _premium(self, rng: np.random.Generator, number: int) -> FloatArray:
        """Return what new groups cost; mostly, the wider they are the more."""
        premium = np.where(self.degree > 1, PREMIUM, 1.0)
        if number and number % ODD_EACH == 0:
            return premium * rng.uniform(*ODD, len(premium))
        if number:
            top = float(rng.choice(DEAR))
            premium *= np.sort(rng.uniform(0.95, top, len(premium)))
        return premium

    def _made(self, random: NDArray[np.uint64], premium: FloatArray, target: FloatArray) -> Start:
        """Return a start with nothing assigned."""
        count, n_items = len(target), len(self.padded)
        n_groups = min(self.n_ranks * count, n_items + count)
        groups = np.full((10, n_groups), -1, dtype=np.int64)
        groups[5] = groups[6] = np.arange(n_groups)
        return Start(
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
