"""The allocation problem: addresses for buffers whose lifetimes are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.graph.operators import BoolArray, IntArray
from mapc.models.allocation.banks import check
from mapc.models.allocation.banks.domain import Domain
from mapc.models.allocation.banks.line import Line
from mapc.models.allocation.held import NONE, disjoint, first_clash, meeting
from mapc.models.allocation.plan import AllocationPlan
from mapc.units import MAX_BYTES

FARTHEST = 2**53
"""Highest address that can be fixed or reserved."""


@dataclass(frozen=True, eq=False)
class AllocationProblem:
    """Place buffers so that those alive at one time do not overlap.

    With a capacity the question is whether they fit, and the objective is the number of bytes
    above it (0 when they do); without one it is the smallest peak.

    Attributes
    ----------
    name : str
    names : tuple of str, n long
    lower, upper : int64[n]
        Half-open lifetime ``[lower, upper)``.
    size : int64[n]
        Bytes.
    capacity : int or None
        Bytes.
    alignment : int
        Addresses are multiples of it.
    fixed : int64[n], optional
        Addresses that are given, -1 where there is none.
    reserved : int64[r, 4], optional
        Ranges of addresses that stay free: ``lower, upper, base, top``, in ``[base, top)`` during
        ``[lower, upper)``. They do not count towards the peak, and may lie above the capacity.
    provenance : mapping
        Where the problem was read from and with which options; files carry it along.
    alignments : int64[n], optional
        Alignments of single buffers, multiples of ``alignment``: for addresses only, sizes are
        rounded up to ``alignment``.
    banks : tuple of (name, bytes)
        Memories, each with addresses from 0 on; a buffer lies in one of them. The capacity is what
        they have together. Empty: one memory of ``capacity`` bytes.
    allowed : bool[n, b], optional
        Banks that take a buffer; default: all.
    reserved_bank : int64[r], optional
        The bank of each reserved range; default: the first.

    Raises
    ------
    InstanceError
        For an empty or reversed lifetime, a size outside ``0 .. 2**50``, names used twice, a
        negative capacity; fixed addresses that are no multiples of the alignment, overlap each
        other or a reserved range; what `mapc.models.allocation.banks.check` refuses.

    Notes
    -----
    `room`, `held`, `obstacles`, `walls` and `unit` are those of the *line*, on which banks lie one
    after another (`mapc.models.allocation.banks.line`). Without banks it is the memory itself.
    """

    name: str
    names: tuple[str, ...]
    lower: IntArray
    upper: IntArray
    size: IntArray
    capacity: int | None = None
    alignment: int = 1
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    fixed: IntArray | None = None
    reserved: IntArray | None = None
    alignments: IntArray | None = None
    banks: tuple[tuple[str, int], ...] = ()
    allowed: BoolArray | None = None
    reserved_bank: IntArray | None = None

    def __post_init__(self) -> None:
        n = len(self.names)
        for column in ("lower", "upper", "size"):
            if len(getattr(self, column)) != n:
                raise InstanceError(f"{len(getattr(self, column))} entries", column, f"{n}")
        if len(set(self.names)) != n:
            twice = Counter(self.names).most_common(1)[0][0]
            raise InstanceError("id used twice", f"buffer {twice!r}", "unique ids")
        self._refuse(self.lower >= self.upper, "lifetime is empty or reversed", "lower < upper")
        self._refuse(
            (self.size < 0) | (self.size > MAX_BYTES), "size out of range", f"0 to {MAX_BYTES}"
        )
        if float(self.size.sum(dtype=np.float64)) > 8 * MAX_BYTES:
            raise InstanceError("sizes add up to more than 8 PiB", self.name, "at most 2**53")
        if self.capacity is not None and self.capacity < 0:
            raise InstanceError(f"capacity {self.capacity}", self.name, ">= 0 bytes")
        if self.alignment < 1 or self.alignment > 2**30:
            raise InstanceError(f"alignment {self.alignment}", self.name, "1 to 2**30 bytes")
        check.alignments(self.alignments, self.alignment, self.names)
        check.banks(self.banks, self.allowed, self.names)
        check.reserved_banks(self.reserved_bank, self.reserved, len(self.banks))
        if self.banks:
            total = sum(capacity for _, capacity in self.banks)
            if self.capacity not in (None, total):
                raise InstanceError(
                    f"capacity {self.capacity} beside banks", self.name, f"none, or {total} bytes"
                )
            object.__setattr__(self, "capacity", total)
        if self.reserved is not None:
            self._check_reserved(self.reserved)
        if self.fixed is not None:
            self._check_fixed(self.fixed)

    def _check_reserved(self, rows: IntArray) -> None:
        if rows.ndim != 2 or rows.shape[1] != 4:
            raise InstanceError(f"shape {rows.shape}", "reserved", "lower, upper, base, top each")
        lower, upper, base, top = rows.T
        wrong = (lower >= upper) | (base < 0) | (base >= top) | (top > FARTHEST)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InstanceError(
                f"range {rows[at].tolist()}",
                f"reserved[{at}]",
                "lower < upper and 0 <= base < top <= 2**53",
            )

    def _check_fixed(self, fixed: IntArray) -> None:
        if fixed.shape != (self.n_buffers,):
            raise InstanceError(f"{len(fixed)} entries", "fixed", f"{self.n_buffers}")
        wrong = (fixed < -1) | (fixed > FARTHEST) | ((fixed >= 0) & (fixed % self.grain != 0))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InstanceError(
                f"fixed address {fixed[at]}",
                f"buffer {self.names[at]!r}",
                f"-1 or a multiple of {self.grain[at]} up to 2**53",
            )
        held = np.flatnonzero((fixed >= 0) & (self.padded > 0))
        check.one_bank_each(self.allowed, held, len(self.banks), self.names)
        for bank in np.unique(self._bank_of(held)).tolist():
            self._check_apart(held[self._bank_of(held) == bank], fixed, bank)

    def _check_apart(self, held: IntArray, fixed: IntArray, bank: int) -> None:
        """Refuse fixed addresses in one bank that overlap each other or a reserved range."""
        rows = self._rectangles(held, fixed[held])
        clash = first_clash(rows)
        if clash is not None:
            one, other = (self.names[held[i]] for i in clash)
            raise InstanceError(
                f"fixed addresses of buffers {one!r} and {other!r} overlap",
                self.name,
                "fixed addresses that leave them apart",
            )
        obstacles = self.reserved_in(bank)
        for i, row in enumerate(rows if len(obstacles) else ()):
            if len(meeting(row, obstacles)):
                raise InstanceError(
                    f"fixed address {fixed[held[i]]} is in a reserved range",
                    f"buffer {self.names[held[i]]!r}",
                    "an address outside of it",
                )

    def _bank_of(self, members: IntArray) -> IntArray:
        """int64[k]: the first bank that takes each of some buffers."""
        if self.allowed is None:
            return np.zeros(len(members), dtype=np.int64)
        return np.asarray(self.allowed[members].argmax(axis=1), dtype=np.int64)

    def reserved_in(self, bank: int) -> IntArray:
        """int64[k, 4]: disjoint ranges that cover what is reserved in a bank, by its addresses."""
        if self.reserved is None:
            return NONE
        rows = self.reserved
        if self.banks:
            of = np.zeros(len(rows)) if self.reserved_bank is None else self.reserved_bank
            rows = rows[of == bank]
        return disjoint(rows, self.alignment)

    def _rectangles(self, members: IntArray, address: IntArray) -> IntArray:
        """Rows ``lower, upper, base, top`` of some buffers at some addresses."""
        top = address + self.padded[members]
        return np.stack([self.lower[members], self.upper[members], address, top], axis=1)

    def _refuse(self, wrong: np.ndarray, what: str, right: str) -> None:
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InstanceError(
                f"{what} (lower {self.lower[at]}, upper {self.upper[at]}, size {self.size[at]})",
                f"buffer {self.names[at]!r}",
                right,
            )

    @property
    def n_buffers(self) -> int:
        """Number of buffers."""
        return len(self.names)

    @cached_property
    def padded(self) -> IntArray:
        """int64[n]: sizes rounded up to the alignment."""
        return -(-self.size // self.alignment) * self.alignment

    @cached_property
    def grain(self) -> IntArray:
        """int64[n]: addresses of each buffer are multiples of it."""
        if self.alignments is None:
            return np.full(self.n_buffers, self.alignment, dtype=np.int64)
        return self.alignments

    @cached_property
    def line(self) -> Line:
        """The banks one after another; empty without banks."""
        capacity = np.array([size for _, size in self.banks], dtype=np.int64)
        given = np.zeros(self.n_buffers, np.bool_) if self.fixed is None else self.fixed >= 0
        return Line.of(capacity, self.alignment, self.grain[(self.padded > 0) & ~given])

    @cached_property
    def domain(self) -> Domain | None:
        """Which addresses on the line each buffer may have; None where all multiples of the unit.

        It says nothing about buffers whose address is fixed.
        """
        barred = np.zeros((self.n_buffers, len(self.banks)), dtype=np.bool_)
        if self.allowed is not None and self.banks:
            barred = ~self.allowed & (self.held < 0)[:, None]
        if self.alignments is None and not barred.any():
            return None
        return Domain(self.grain, np.stack([self.line.base, self.line.end], axis=1), barred)

    @cached_property
    def held(self) -> IntArray:
        """int64[n]: fixed addresses on the line, -1 where there is none."""
        if self.fixed is None:
            return np.full(self.n_buffers, -1, dtype=np.int64)
        if not self.banks:
            return self.fixed
        base = self.line.base[self._bank_of(np.arange(self.n_buffers))]
        return np.where(self.fixed < 0, -1, self.fixed + base)

    @cached_property
    def obstacles(self) -> IntArray:
        """int64[k, 4]: disjoint ranges on the line that cover what is reserved, and bank ends."""
        if not self.banks:
            return self.reserved_in(0)
        always = (int(self.lower.min()), int(self.upper.max())) if self.n_buffers else (0, 1)
        found = [self.line.separators(*always)]
        for bank, (base, end) in enumerate(zip(self.line.base, self.line.end, strict=True)):
            rows = self.reserved_in(bank) + np.array([0, 0, base, base])
            rows[:, 3] = np.minimum(rows[:, 3], end)
            found.append(rows[rows[:, 2] < rows[:, 3]])
        return np.concatenate(found)

    @cached_property
    def walls(self) -> IntArray:
        """int64[k, 4]: the rectangles of buffers with fixed addresses, and the obstacles."""
        members = np.flatnonzero((self.held >= 0) & (self.padded > 0))
        return np.concatenate([self._rectangles(members, self.held[members]), self.obstacles])

    @cached_property
    def unit(self) -> int:
        """Bytes in whose multiples addresses may be counted without losing a placement.

        As for `structure.address_unit`; a buffer may also rest on what does not move, so bases
        and tops of that are in the greatest common divisor, too. One with an alignment of its own
        lies at the first multiple of that above what it rests on, so alignments are in it as well.
        """
        found = int(np.gcd.reduce(np.append(self.padded, self.walls[:, 2:])))
        if self.alignments is not None:
            found = int(np.gcd.reduce(np.append(self.alignments, found)))
        return found or self.alignment

    @cached_property
    def load(self) -> tuple[IntArray, IntArray]:
        """Points where the set of live buffers changes (int64[p]) and the bytes live from there."""
        points, index = np.unique(np.concatenate([self.lower, self.upper]), return_inverse=True)
        change = np.zeros(len(points), dtype=np.int64)
        np.add.at(change, index, np.concatenate([self.padded, -self.padded]))
        return points, np.cumsum(change)

    @property
    def max_load(self) -> int:
        """Largest number of bytes live at one time: a lower bound on the peak."""
        load = self.load[1]
        return int(load.max()) if len(load) else 0

    @property
    def room(self) -> int | None:
        """Capacity rounded down to the alignment; with banks, where the last one ends."""
        if self.banks:
            return int(self.line.end[-1])
        return None if self.capacity is None else self.capacity // self.alignment * self.alignment

    @property
    def bank_names(self) -> tuple[str, ...]:
        """Names of the banks."""
        return tuple(name for name, _ in self.banks)

    def plan(self, offset: IntArray) -> AllocationPlan:
        """Return the plan with these addresses on the line, int64[n].

        Empty buffers come to address 0 of the first bank that takes them.
        """
        if not self.banks:
            return AllocationPlan(offset)
        bank = self.line.bank_of(offset)
        solid = self.padded > 0
        bank = np.where(solid, bank, self._bank_of(np.arange(self.n_buffers)))
        fixed = np.maximum(0 if self.fixed is None else self.fixed, 0)
        return AllocationPlan(np.where(solid, offset - self.line.base[bank], fixed), bank)

    def on_line(self, plan: AllocationPlan) -> IntArray:
        """int64[n]: the addresses of a plan on the line."""
        return plan.offset + self.line.base[plan.bank] if self.banks else plan.offset
