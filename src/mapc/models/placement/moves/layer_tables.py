"""The best tables known of one layer, by how many of their pairs are new."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np

from mapc.graph.operators import IntArray
from mapc.kernels import load, stream
from mapc.models.placement.moves.rules import LayerRules
from mapc.models.placement.problem import FloatArray
from mapc.models.placement.profiles.annealing import scaled_items
from mapc.models.placement.rows import Rows

ROUNDING = 1e-12
"""Relative error granted to the load limit, as the verifier grants it."""


class Kernels(NamedTuple):
    """The compiled modules that searches of layers need."""

    descent: ModuleType
    capped: ModuleType


def load_kernels(done: Callable[[], bool] | None = None) -> Kernels | None:
    """Return them; None when ``done`` says so before they are compiled."""
    descent = load("mapc.models.placement.moves.migration_kernels", done)
    capped = load("mapc.models.placement.moves.capped_kernels", done)
    return None if descent is None or capped is None else Kernels(descent, capped)


class Entry(NamedTuple):
    """A table, the largest work of each profile in ticks, and whether it breaks the load limit."""

    peaks: FloatArray
    over: bool
    table: IntArray


class LayerTables:
    """Tables of one layer that obey its rules, none of them dominated by another.

    Parameters
    ----------
    kernels : Kernels
    rows : Rows
    layer : int
    rules : LayerRules
        Pairs that are not in ``rules.old`` are new; without a placement in force none is.
    lam : float64[P], optional
        Weight of each profile beside what is in its rows; 1 by default.
    """

    def __init__(
        self,
        kernels: Kernels,
        rows: Rows,
        layer: int,
        rules: LayerRules,
        lam: FloatArray | None = None,
    ) -> None:
        self.kernels, self.rows, self.layer, self.rules = kernels, rows, layer, rules
        self.ticks = rows.items(layer)
        self.item, self.unit = scaled_items(rows, layer)
        self.profile = np.ascontiguousarray(rows.profile)
        free = rules.table is None
        self.old = np.ones_like(rules.allowed) if free else rules.old
        self.start = np.full((rules.n_ranks, rules.slots), -1) if free else rules.table
        self.entries: dict[int, Entry] = {}
        self.weigh(np.ones(rows.problem.n_profiles) if lam is None else lam)

    def weigh(self, lam: FloatArray) -> None:
        """Change the weights of profiles."""
        self.lam = lam
        weight = self.unit * lam
        total = float(weight.sum())
        even = np.full(len(weight), 1 / len(weight))
        self.weight = np.ascontiguousarray(weight / total if total > 0 else even)

    # -- what is known ---------------------------------------------------------------------------

    def measure(self, table: IntArray) -> Entry:
        """Return the entry that a table int64[H, C] makes."""
        problem = self.rows.problem
        copies = np.bincount(table.ravel(), minlength=self.rules.n_experts)
        work = self.ticks[:, table, copies[table] - 1].sum(axis=2) * self.rows.slowness
        peaks = np.zeros(problem.n_profiles)
        np.maximum.at(peaks, self.profile, work.max(axis=1))
        if problem.max_imbalance is None:
            return Entry(peaks, False, table)
        counts = problem.counts[:, self.layer]
        load = (counts / copies)[:, table].sum(axis=2) * self.rows.slowness
        limit = problem.max_imbalance * (1 + ROUNDING) * load.mean(axis=1)
        return Entry(peaks, bool((load.max(axis=1) > limit).any()), table)

    def offer(self, table: IntArray) -> bool:
        """Keep a table unless one with as few new pairs is as good; return whether it is kept."""
        entry, new = self.measure(table.copy()), self.new_pairs(table)
        rank = self._rank(entry)
        if any(n <= new and self._rank(other) <= rank for n, other in self.entries.items()):
            return False
        self.entries[new] = entry
        return True

    def new_pairs(self, table: IntArray) -> int:
        """Count the pairs of a table that are not in force."""
        return int((~self.old[table, np.arange(len(table))[:, None]]).sum())

    def best(self, cap: int | None = None) -> IntArray:
        """int64[H, C]: the best table with at most ``cap`` new pairs; any number by default."""
        return self._best(cap).table

    def peaks(self, cap: int) -> FloatArray:
        """float64[P]: largest works in ticks of the best table with at most ``cap`` new pairs."""
        return self._best(cap).peaks

    def values(self, most: int) -> FloatArray:
        """float64[most + 1]: least value with at most 0, 1, ... new pairs; inf without a table.

        The value is the sum over profiles of ``lam`` times the largest work; it never rises.
        """
        found = np.full(most + 1, np.inf)
        for new, entry in self.entries.items():
            if new <= most and not entry.over:
                found[new] = min(found[new], float(entry.peaks @ self.lam))
        return np.minimum.accumulate(found)

    def _rank(self, entry: Entry) -> tuple[bool, float]:
        return entry.over, float(entry.peaks @ self.lam)

    def _best(self, cap: int | None) -> Entry:
        within = [e for n, e in self.entries.items() if cap is None or n <= cap]
        return min(within, key=self._rank)

    # -- searching -------------------------------------------------------------------------------

    def descend(
        self, start: IntArray, doublings: int, caps: tuple[int, int, int] | None = None
    ) -> None:
        """Descend steepest by a norm of power ``2 ** doublings``; keep what comes on the way.

        Parameters
        ----------
        start : int64[H, C]
        doublings : int
        caps : (first, stride, number) of int, optional
            Most new pairs at every stage; by default one stage without a cap.
        """
        first, stride, n = caps or (start.size, 1, 1)
        n = max(n, 1)
        tables, values = np.empty((n, *start.shape), dtype=np.int64), np.empty(n)
        # powers of loads of half a thousand ranks stay finite where no load is above 1
        work = self.measure(start).peaks
        shrink = max(float((work / self.unit).max()), 1.0)
        self.kernels.descent.greedy(
            start, self.item / shrink, self.rows.slowness, self.profile, self.weight,
            self.rules.pinned, self.rules.allowed, self.old, doublings, first, stride,
            tables, values,
        )  # fmt: skip
        least = np.inf
        for table, value in zip(tables, values, strict=True):
            if value < least:  # a later one has more new pairs
                least = value
                self.offer(table)

    def single(self, cap: int) -> bool:
        """Make the truly best replacement of one slot in the best table with one new pair less.

        Exact: with no new pairs to begin with, no table with one new pair is better.
        """
        if not any(new < cap for new in self.entries):
            return False
        table = self.best(cap - 1).copy()
        self.kernels.descent.single(
            table, self.item, self.rows.slowness, self.profile, self.weight,
            self.rules.pinned, self.rules.allowed, self.old, cap - self.new_pairs(table),
        )  # fmt: skip
        return self.offer(table)

    def anneal(self, cap: int, steps: int, heat: FloatArray, seed: int) -> bool:
        """Anneal the best table with at most ``cap`` new pairs; return whether a better one came.

        Parameters
        ----------
        cap : int
        steps : int
            In all stages together.
        heat : float64[stages, 3]
            As `mapc.models.placement.profiles.annealing.HEAT`.
        seed : int
        """
        table = self.best(cap).copy()
        self.kernels.capped.anneal(
            table, self.start, self.item, self.rows.slowness, self.profile, self.weight,
            self.rules.pinned, self.rules.allowed, self.old, cap, max(steps // len(heat), 1), heat,
            stream(seed, self.layer, cap),
        )  # fmt: skip
        return self.offer(table)
