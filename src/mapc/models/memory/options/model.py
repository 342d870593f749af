"""What a memory problem may allow, or ask for, beyond order, residency and addresses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import IntArray, OperatorGraph
from mapc.models.allocation.banks.check import check_banks

MAX_COST = 1_000
"""Largest cost of a byte, in whatever unit."""
MAX_PAIRS = 8
"""In-place pairs of one operator."""
MAX_PREFETCH = 1_000
"""Largest prefetch distance, in steps."""
MAX_RERUN = 2**40
"""Largest cost of one more run of an operator."""
MAX_TOTAL = 2**60
"""Bytes times cost of everything an order could move; beyond it sums leave 64 bits."""

Pair = tuple[int, int]
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Options:
    """Options of a memory problem; without any it is the plain one.

    Attributes
    ----------
    read_cost, write_cost : int
        Cost of loading and of writing a byte, 0 to `MAX_COST`; any unit, the same for both.
    stream_cost : int or None
        Cost of a byte that an operator reads directly from off-chip; None: as for a load.
    pinned : tuple of int
        Tensors without a producer that stay resident over the whole run, sorted. They take their
        bytes at every step; their load is compulsory.
    streamable : tuple of (operator, tensor)
        Inputs that an operator may read directly from off-chip: then they need no room at its
        step, but a copy off-chip. Sorted.
    in_place : tuple of (operator, input, output)
        The output may take over the bytes of the input, if that leaves the scratchpad at this
        step: then the two share an address and take the larger of their sizes there. Sorted.
    prefetch : int
        A residency that begins with a load begins at least so many steps before the first operator
        that reads it, or at step 0.
    keep_order : bool
        Operators run in the graph's ``given_order``; those that run again, the first time.
    recompute : tuple of (operator, cost)
        Operators that may run more than once, and what each run after the first costs, in the unit
        of the other costs times bytes. Sorted.
    banks : tuple of (name, bytes)
        Scratchpads instead of one; a residency and a workspace lie in one of them. None: one.
    confined : tuple of (tensor, bank)
        Banks that take a tensor which is named here; all take the others, and workspaces. Sorted.
    """

    read_cost: int = 1
    write_cost: int = 1
    stream_cost: int | None = None
    pinned: tuple[int, ...] = ()
    streamable: tuple[Pair, ...] = ()
    in_place: tuple[Triple, ...] = ()
    prefetch: int = 0
    keep_order: bool = False
    recompute: tuple[Pair, ...] = ()
    banks: tuple[tuple[str, int], ...] = ()
    confined: tuple[Pair, ...] = ()

    def __post_init__(self) -> None:
        for name in ("pinned", "streamable", "in_place", "recompute", "confined"):
            object.__setattr__(self, name, tuple(sorted(getattr(self, name))))

    @property
    def plain(self) -> bool:
        """Whether no option has any effect."""
        costs = self.read_cost == self.write_cost == 1
        used = self.pinned or self.streamable or self.in_place or self.prefetch or self.keep_order
        return costs and not (used or self.recompute or self.banks)

    @property
    def streaming_cost(self) -> int:
        """Cost of a streamed byte."""
        return self.read_cost if self.stream_cost is None else self.stream_cost

    def check(self, graph: OperatorGraph) -> None:
        """Refuse what does not fit the graph.

        Raises
        ------
        InstanceError
            For numbers out of range, indices that name nothing, repeats, tensors that cannot be
            pinned, pairs that are no input or output of their operator, a pinned tensor in a
            pair, banks that are malformed or not there, or costs whose sums would leave 64 bits.
        """
        self._check_numbers(graph)
        self._check_pinned(graph)
        self._check_streamable(graph)
        self._check_in_place(graph)
        self._check_recompute(graph)
        self._check_banks(graph)

    def _check_numbers(self, graph: OperatorGraph) -> None:
        costs = [("read_cost", self.read_cost), ("write_cost", self.write_cost)]
        for name, value in [*costs, ("stream_cost", self.streaming_cost)]:
            if not 0 <= value <= MAX_COST:
                raise InstanceError(f"{name} {value}", "options", f"0 to {MAX_COST} per byte")
        if not 0 <= self.prefetch <= MAX_PREFETCH:
            raise InstanceError(
                f"prefetch {self.prefetch}", "options", f"0 to {MAX_PREFETCH} steps"
            )
        most = max(self.read_cost, self.write_cost, self.streaming_cost)
        touched = graph.tensor_bytes.astype(np.float64) @ (graph.consumers.lengths + 2.0)
        if most > 1 and touched * most > MAX_TOTAL:
            raise InstanceError(
                f"{most} per byte for up to {touched:.3g} bytes",
                "options",
                f"costs whose sum stays below {MAX_TOTAL:.2g}",
            )

    def _check_pinned(self, graph: OperatorGraph) -> None:
        _check_indices(self.pinned, graph.n_tensors, "pinned")
        _check_distinct(self.pinned, "pinned")
        for t in self.pinned:
            if graph.producer[t] >= 0 or not len(graph.consumers[t]):
                raise InstanceError(
                    f"tensor {graph.tensor_names[t]!r}",
                    "options: pinned",
                    "tensors without a producer that some operator reads",
                )

    def _check_streamable(self, graph: OperatorGraph) -> None:
        where = "options: streamable"
        _check_distinct(self.streamable, "streamable")
        for o, t in self.streamable:
            _check_indices((o,), graph.n_operators, "streamable")
            _check_indices((t,), graph.n_tensors, "streamable")
            if t not in graph.inputs[o]:
                raise InstanceError(_names(graph, o, t), where, "an operator and one of its inputs")
            if t in self.pinned:
                raise InstanceError(
                    f"pinned tensor {graph.tensor_names[t]!r}", where, "tensors that are not pinned"
                )

    def _check_in_place(self, graph: OperatorGraph) -> None:
        where = "options: in_place"
        _check_distinct(self.in_place, "in_place")
        for o, a, b in self.in_place:
            _check_indices((o,), graph.n_operators, "in_place")
            _check_indices((a, b), graph.n_tensors, "in_place")
            if a not in graph.inputs[o] or b not in graph.outputs[o]:
                raise InstanceError(
                    _names(graph, o, a, b), where, "an operator, one input and one output of it"
                )
            if a in self.pinned:
                raise InstanceError(
                    f"pinned tensor {graph.tensor_names[a]!r}", where, "tensors that are not pinned"
                )
        for o, pairs in Counter(o for o, _, _ in self.in_place).items():
            if pairs > MAX_PAIRS:
                raise InstanceError(
                    f"{pairs} pairs of operator {graph.operator_names[o]!r}",
                    where,
                    f"at most {MAX_PAIRS} of one operator",
                )

    def _check_banks(self, graph: OperatorGraph) -> None:
        check_banks(self.banks, "options: banks")
        _check_distinct(self.confined, "confined")
        for t, bank in self.confined:
            _check_indices((t,), graph.n_tensors, "confined")
            if not 0 <= bank < len(self.banks):
                raise InstanceError(
                    f"bank {bank} of tensor {graph.tensor_names[t]!r}",
                    "options: confined",
                    f"0 to {len(self.banks) - 1}" if self.banks else "no entry without banks",
                )

    def _check_recompute(self, graph: OperatorGraph) -> None:
        operators = [o for o, _ in self.recompute]
        _check_indices(operators, graph.n_operators, "recompute")
        _check_distinct(operators, "recompute")
        for o, cost in self.recompute:
            if not 0 <= cost <= MAX_RERUN:
                raise InstanceError(
                    f"cost {cost} of operator {graph.operator_names[o]!r}",
                    "options: recompute",
                    f"0 to {MAX_RERUN} for each further run",
                )


PLAIN = Options()
"""No option in use."""


def _names(graph: OperatorGraph, o: int, *tensors: int) -> str:
    named = ", ".join(repr(graph.tensor_names[t]) for t in tensors)
    return f"operator {graph.operator_names[o]!r} with {named}"


def _check_indices(indices: Iterable[int], n: int, what: str) -> None:
    for i in indices:
        if not 0 <= i < n:
            raise InstanceError(f"index {i}", f"options: {what}", f"0 to {n - 1}")


def _check_distinct(entries: Sequence[Hashable], what: str) -> None:
    if len(set(entries)) < len(entries):
        twice = next(entry for entry, times in Counter(entries).items() if times > 1)
        raise InstanceError(f"{twice} twice", f"options: {what}", "each once")


def best_matching(pairs: Sequence[tuple[Triple, int]]) -> tuple[int, tuple[Triple, ...]]:
    """Choose in-place pairs of one operator that together save most.

    No two of them share an input or an output, since tensors at one address would overlap. Tries
    all subsets: there are at most `MAX_PAIRS` pairs.

    Parameters
    ----------
    pairs : sequence of ((operator, input, output), bytes saved)

    Returns
    -------
    saved : int
    chosen : tuple of triples
    """
    if not pairs:
        return 0, ()
    (pair, saves), rest = pairs[0], pairs[1:]
    without = best_matching(rest)
    apart = [(p, s) for p, s in rest if p[1] != pair[1] and p[2] != pair[2]]
    saved, chosen = best_matching(apart)
    return max(without, (saved + saves, (pair, *chosen)), key=lambda found: found[0])


def as_rows(entries: Sequence[tuple[int, ...]], width: int) -> IntArray:
    """Return tuples as int64[k, width], also where there are none."""
    return np.asarray(entries, dtype=np.int64).reshape(len(entries), width)
