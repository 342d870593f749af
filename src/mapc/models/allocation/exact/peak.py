"""The smallest peak: capacities tried from the largest load up and from a known plan down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mapc.graph.operators import IntArray
from mapc.models.allocation.bounds import lower_bound
from mapc.models.allocation.exact.place import Placing
from mapc.models.allocation.heuristics import greedy
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.structure import peak_of

FIRST_NODES = 8
"""Nodes for a capacity in the first round, per buffer; each round has twice as many."""


@dataclass(frozen=True, eq=False)
class Peak:
    """The least peak known and proven.

    Attributes
    ----------
    offset : int64[n]
        Addresses in bytes.
    peak, bound : int
        Bytes; equal when the peak is proven to be least.
    nodes : int
    """

    offset: IntArray
    peak: int
    bound: int
    nodes: int

    @property
    def proven(self) -> bool:
        """Whether no placement has a smaller peak."""
        return self.peak == self.bound


class Lowering:
    """A search for the smallest peak, in rounds; parameters as of `least_peak`.

    Peaks are multiples of the unit of addresses, so capacities in between are not asked for. A
    capacity shown to be too small raises the bound to the next one.
    """

    def __init__(
        self,
        problem: AllocationProblem,
        *,
        start: IntArray | None = None,
        bound: int = 0,
        seed: int = 0,
        table: bool = True,
    ) -> None:
        self.problem, self.seed, self.table = problem, seed, table
        self.offset = greedy(problem, seed, 1).offset if start is None else start
        self.unit = problem.unit
        self.bound = max(bound, lower_bound(problem))
        self.bound = -(-self.bound // self.unit) * self.unit
        self.nodes = 0
        self.rounds = 0
        self.least: Placing | None = None

    @property
    def peak(self) -> int:
        """Peak of the best placement so far."""
        return peak_of(self.offset, self.problem.padded)

    @property
    def found(self) -> Peak:
        """What there is to say by now."""
        return Peak(self.offset, self.peak, min(self.bound, self.peak), self.nodes)

    def round(self, nodes: int | None = None, done: Callable[[], bool] | None = None) -> None:
        """Ask for the bound itself, then for capacities halfway to the best plan.

        ``nodes`` limits all of it. Asking for the bound goes on where the round before left it.
        """
        each = FIRST_NODES * max(1, self.problem.n_buffers) << min(self.rounds, 40)
        self.rounds += 1
        left = each * 64 if nodes is None else nodes
        while left > 0 and self.bound < self.peak and not (done is not None and done()):
            if self.least is None or self.least.impossible:
                self.least = self._placing(self.bound)
            spent = self._ask(self.least, min(each, left), done)
            left -= spent
            if self.least.impossible:
                self.bound += self.unit
                continue
            break
        low = self.bound
        while left > 0 and low + self.unit < self.peak and not (done is not None and done()):
            middle = (low + self.peak) // 2 // self.unit * self.unit
            placing = self._placing(middle)
            left -= self._ask(placing, min(each, left), done)
            if placing.impossible:
                self.bound = max(self.bound, middle + self.unit)
            if placing.offset is None:
                low = middle

    def _placing(self, capacity: int) -> Placing:
        seed = self.seed + self.rounds
        return Placing(self.problem, capacity=capacity, seed=seed, table=self.table)

    def _ask(self, placing: Placing, nodes: int, done: Callable[[], bool] | None) -> int:
        before = placing.nodes
        answer = placing.go_on(nodes, done)
        spent = max(1, answer.nodes - before)
        self.nodes += answer.nodes - before
        if answer.offset is not None:
            self.offset = answer.offset
        return spent


def least_peak(
    problem: AllocationProblem,
    *,
    start: IntArray | None = None,
    bound: int = 0,
    seed: int = 0,
    nodes: int | None = None,
    done: Callable[[], bool] | None = None,
    table: bool = True,
) -> Peak:
    """Place buffers with the smallest peak; the problem's capacity plays no part.

    Parameters
    ----------
    start : int64[n], optional
        Addresses of a valid placement; default: a greedy one.
    bound : int
        Bytes that every placement is known to need.
    problem, seed, nodes, done, table
        As of `place`. Without ``nodes`` and ``done`` it ends when the peak is proven to be least.

    Returns
    -------
    Peak
    """
    search = Lowering(problem, start=start, bound=bound, seed=seed, table=table)
    while search.bound < search.peak and not (done is not None and done()):
        left = None if nodes is None else nodes - search.nodes
        if left is not None and left <= 0:
            break
        search.round(left, done)
    return search.found
