"""The sequence problem: micro-batches, groups of ranks, and who computes which sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray

FloatArray = NDArray[np.float64]

ULYSSES, RING = "ulysses", "ring"
"""How a group shares its sequences: all-to-all over heads, or key-value blocks passed on."""


@dataclass(frozen=True, eq=False)
class GroupCost:
    """What groups of ranks cost, one entry for each *mode*: a degree and a kind of sharing.

    A group of mode j with sequences of padded lengths s takes
    ``fixed[j] + sum(quadratic[j] * s**2 + linear[j] * s)`` milliseconds. FlexSP's model is
    ``quadratic = a1 / d``, ``linear = a2 / d + bytes per token / (d * bandwidth[d])``,
    ``fixed = b1``; Megatron's is ``quadratic = 1 / d`` alone.

    Attributes
    ----------
    degree : int64[D]
        Ranks of a group, powers of two, increasing; a degree may stand twice with two kinds.
    kind : tuple of str, D long
        ``ULYSSES`` or ``RING``; of degree 1 either.
    quadratic, linear, fixed : float64[D]
        ms per token squared, ms per token, ms per group; finite, >= 0.
    tokens : int64[D]
        Most padded tokens a group can hold in memory: ranks times tokens per rank.
    """

    degree: IntArray
    kind: tuple[str, ...]
    quadratic: FloatArray
    linear: FloatArray
    fixed: FloatArray
    tokens: IntArray


@dataclass(frozen=True, eq=False)
class SequenceProblem:
    """Compute K sequences on N ranks in one training step, in as many micro-batches as it takes.

    Rules: every sequence in exactly one group; the degrees of a micro-batch's groups sum to at most
    N; groups are ranges of ranks that start at a multiple of their degree, so that none straddles a
    node it fits in; a group's tokens fit its memory; the number of micro-batches is allowed. A
    step takes the sum over micro-batches of the slowest group's time.

    Attributes
    ----------
    name : str
    lengths : int64[K]
        Tokens of each sequence, > 0.
    n_ranks, node_ranks : int
        N, and how many of them share a node; ``node_ranks`` divides N and is a power of two, or N.
    cost : GroupCost
    padding : int
        Lengths are rounded up to a multiple of this.
    least, most : int, int or None
        Micro-batches: at least, at most (None: as many as there are sequences).
    provenance : mapping

    Raises
    ------
    InstanceError
        For all of the above that does not hold, and for a sequence that fits no group: it names the
        sequence, the tokens it has and the most that fit.
    """

    name: str
    lengths: IntArray
    n_ranks: int
    node_ranks: int
    cost: GroupCost
    padding: int = 1
    least: int = 1
    most: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        from mapc.models.sequence.validation import validate

        validate(self)
        self.lengths.setflags(write=False)

    @property
    def n_sequences(self) -> int:
        """K."""
        return len(self.lengths)

    @property
    def n_modes(self) -> int:
        """D."""
        return len(self.cost.degree)

    @cached_property
    def padded(self) -> IntArray:
        """int64[K]: lengths rounded up to whole multiples of the padding."""
        return -(-self.lengths // self.padding) * self.padding

    # -- exact arithmetic ----------------------------------------------------------------------

    @cached_property
    def tick(self) -> float:
        """Milliseconds in whose multiples times are counted: a power of two.

        The longest step of all, every sequence alone in the slowest mode one after another, stays
        below 2**52 ticks, so that sums are exact in float64 and int64, and "optimal" means equal
        integers.
        """
        cost, s = self.cost, self.padded.astype(np.float64)
        slowest = (
            float(cost.quadratic.max()) * float((s * s).sum())
            + float(cost.linear.max()) * float(s.sum())
            + float(cost.fixed.max()) * self.n_sequences
        )
        return math.ldexp(1.0, math.frexp(slowest)[1] - 51) if slowest > 0 else 1.0

    @cached_property
    def fixed_ticks(self) -> IntArray:
        """int64[D]: ticks of a group without its sequences."""
        return np.rint(self.cost.fixed / self.tick).astype(np.int64)

    @cached_property
    def ticks(self) -> IntArray:
        """int64[D, K]: ticks of every sequence in a group of every mode."""
        s = self.padded.astype(np.float64)
        time = np.multiply.outer(self.cost.quadratic, s * s)
        time += np.multiply.outer(self.cost.linear, s)
        return np.rint(time / self.tick).astype(np.int64)

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """bool[D, K]: whether a sequence alone fits the memory of a group of every mode."""
        return self.padded <= self.cost.tokens[:, None]
