"""The bits problem: one number format for every group of a network, within budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray, Ragged

FloatArray = NDArray[np.float64]

SUM, MAX = "sum", "max"
"""Objectives: total loss, or the largest loss of one group."""
MAX_COST = 2**50
"""Largest cost of one option in one resource."""
MAX_TOTAL = 2**62
"""Largest cost of a whole choice in one resource, and largest budget: sums fit int64."""


@dataclass(frozen=True, eq=False)
class Pairwise:
    """Interaction terms: what two groups lose together, beside what each loses alone.

    Attributes
    ----------
    first, second : int64[p]
        Groups, ``first < second``, each pair once.
    table : tuple of p float64[options of first, options of second]
        Added to the total loss; may be negative. Sum objective only.
    """

    first: IntArray
    second: IntArray
    table: tuple[FloatArray, ...]


@dataclass(frozen=True, eq=False)
class BitsProblem:
    """Choose one option per group; options of group ``i`` are ``start[i]`` to ``start[i + 1] - 1``.

    A group is whatever is decided at once: the weights of a layer, its activations, its KV cache.
    Everything that is limited - bytes, bit operations, latency, the memory of one device, the
    bytes of active experts - is a resource with whole-number costs and an optional budget.

    Attributes
    ----------
    name : str
    groups : tuple of str, n long
    formats : tuple of str
        Names of the number formats in use.
    start : int64[n + 1]
    format_of : int64[m]
        Index into ``formats`` of every option; distinct within a group.
    loss : float64[m]
        Finite, >= 0, any additive sensitivity.
    resources : tuple of str, k long
        E.g. ``("size",)``; by convention ``size`` is in bits.
    units : tuple of str, k long
    cost : int64[k, m]
        0 to ``MAX_COST``; the costliest choice of all at most ``MAX_TOTAL``.
    budget : tuple of (int or None), k long
        0 to ``MAX_TOTAL``. None: unlimited, only reported.
    weights : int64[n]
        Parameters of each group, to speak of bits per weight; 0 where that has no meaning.
    allowed : bool[m]
        False forbids an option; a group with one allowed option is pinned.
    ties : Ragged
        Sets of groups that must agree on the format; sets that share a group are one.
    edges : int64[e, 2]
        Neighbours between which a change of format costs something; a pair that stands there
        twice pays twice.
    switch_loss : float64[e]
        Finite, >= 0; added to the total loss where the two formats of an edge differ.
    pairwise : Pairwise or None
    objective : str
        ``SUM`` or ``MAX``; edges and pairwise terms need ``SUM``.
    provenance : mapping

    Raises
    ------
    InstanceError
        For columns of the wrong length or type, no groups, names twice, a group without allowed
        options, a loss that is negative or not finite, costs, budgets or weights out of range, a
        format twice in a group, indices out of range, an edge from a group to itself, ties
        without a common allowed format, interactions under the max objective.
    """

    name: str
    groups: tuple[str, ...]
    formats: tuple[str, ...]
    start: IntArray
    format_of: IntArray
    loss: FloatArray
    resources: tuple[str, ...]
    units: tuple[str, ...]
    cost: IntArray
    budget: tuple[int | None, ...]
    weights: IntArray
    allowed: BoolArray
    ties: Ragged = field(default_factory=lambda: Ragged.of([]))
    edges: IntArray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    switch_loss: FloatArray = field(default_factory=lambda: np.zeros(0))
    pairwise: Pairwise | None = None
    objective: str = SUM
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        from mapc.models.bits.validation import validate

        validate(self)
        for array in (self.start, self.format_of, self.loss, self.cost, self.weights, self.allowed):
            array.setflags(write=False)

    def with_budget(self, budget: Sequence[int | None]) -> BitsProblem:
        """Return the same problem under other budgets; cheap, nothing else is checked again."""
        from mapc.models.bits.validation import check_budgets

        check_budgets(self.resources, tuple(budget))
        other = object.__new__(BitsProblem)
        # cached figures come along: none of them may depend on a budget
        other.__dict__.update(self.__dict__, budget=tuple(budget))
        return other

    # -- shape -------------------------------------------------------------------------------

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.groups)

    @property
    def n_options(self) -> int:
        """Number of options of all groups."""
        return len(self.loss)

    @cached_property
    def group_of(self) -> IntArray:
        """int64[m]: the group of every option."""
        return np.repeat(np.arange(self.n_groups, dtype=np.int64), np.diff(self.start))

    @cached_property
    def root_of(self) -> IntArray:
        """int64[n]: the first of all groups tied to each group, directly or through others."""
        root = np.arange(self.n_groups, dtype=np.int64)
        if not len(self.ties.values):
            return root
        members, row_of = self.ties.values, self.ties.row_of
        while True:
            least = np.full(len(self.ties), self.n_groups, dtype=np.int64)
            np.minimum.at(least, row_of, root[members])
            before = root.copy()
            # roots are hooked to roots, then paths halved: rounds grow with the logarithm
            np.minimum.at(root, root[members], least[row_of])
            while not np.array_equal(root, root[root]):
                root = root[root]
            if np.array_equal(root, before):
                return root

    def option_name(self, option: int) -> str:
        """Return e.g. ``"layer1.conv2 as int4"``."""
        group = self.groups[int(self.group_of[option])]
        return f"{group} as {self.formats[int(self.format_of[option])]}"

    # -- exact arithmetic --------------------------------------------------------------------

    @cached_property
    def quantum(self) -> float:
        """The power of two in whose multiples losses are counted.

        The largest total a choice can reach stays below 2**53 quanta, so sums of losses are exact
        in float64 and int64 alike, and "optimal" means equal integers.
        """
        top = np.maximum.reduceat(np.where(self.allowed, self.loss, 0.0), self.start[:-1])
        total = float(top.sum()) + float(self.switch_loss.sum())
        if self.pairwise is not None:
            total += sum(float(np.abs(table).max(initial=0.0)) for table in self.pairwise.table)
        # below the smallest float there is nothing to count in
        return max(math.ldexp(1.0, math.frexp(total)[1] - 52), 5e-324) if total > 0 else 1.0

    @cached_property
    def quanta(self) -> IntArray:
        """int64[m]: the losses in quanta; those of forbidden options may be cut to 2**53."""
        return np.rint(np.minimum(self.loss / self.quantum, 2.0**53)).astype(np.int64)

    @cached_property
    def switch_quanta(self) -> IntArray:
        """int64[e]: the switch losses in quanta."""
        return np.rint(self.switch_loss / self.quantum).astype(np.int64)

    @cached_property
    def pairwise_quanta(self) -> tuple[IntArray, ...]:
        """The pairwise tables in quanta."""
        tables = () if self.pairwise is None else self.pairwise.table
        return tuple(np.rint(table / self.quantum).astype(np.int64) for table in tables)

    @cached_property
    def cost_range(self) -> tuple[IntArray, IntArray]:
        """int64[k] twice: least and largest cost of a choice, each resource on its own.

        Ties and forbidden options count, budgets do not.
        """
        from mapc.models.bits.reduction import merge

        return merge(self).cost_range

    @property
    def limited(self) -> IntArray:
        """int64: the resources that have a budget."""
        return np.flatnonzero([b is not None for b in self.budget]).astype(np.int64)

    @cached_property
    def separable(self) -> bool:
        """Whether the objective is a plain sum over groups."""
        return self.objective == SUM and not len(self.edges) and self.pairwise is None
