"""Handing a program to CP-SAT: whole numbers, native records.

Rows over binaries that say "at most one", "exactly one" or "at least one" are written as such:
three calls less each, and what the solver's own presolve would make of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mapc.program.arrays import BoolArray, IntArray
from mapc.program.cprecords import add_records
from mapc.program.model import Matrix, Program
from mapc.program.scaling import (
    NO_LOWER,
    NO_UPPER,
    ScaledRows,
    clip_range,
    implied_bounds,
    scale_rows,
    whole_bounds,
)
from mapc.program.text import StrPath, column_names, replacing

_LINEAR, _AT_MOST_ONE, _EXACTLY_ONE, _AT_LEAST_ONE, _HOLDS = range(5)
_CLAUSES = (
    ("at_most_one", _AT_MOST_ONE),
    ("exactly_one", _EXACTLY_ONE),
    ("bool_or", _AT_LEAST_ONE),
)


@dataclass(frozen=True, eq=False)
class CpModelForm:
    """A program as a CP-SAT model, and the way back.

    Attributes
    ----------
    model : ortools.sat.python.cp_model.CpModel
        Variable ``i`` is the program's column ``i``; there are no others.
    factor : Fraction
        The model's objective is ``factor * (program's objective - offset)``, up to rounding.
    offset : float
    slack : float
        By how much, in the model's objective, rounded costs can exceed the true ones.
    worst_error : float
        How far rounding moved the side of a row, relative to ``max(1, |side|)``: such a point
        may be refused by a check of the program itself.
    clipped : int64[n]
        Columns without a finite bound that were cut at ``limit``. Where there are any, a bound
        or an "infeasible" holds for the cut program only.
    limit : float
    """

    model: Any
    factor: Fraction
    offset: float
    slack: float
    worst_error: float
    clipped: IntArray
    limit: float

    @property
    def exact(self) -> bool:
        """Whether the model has the program's solutions and objective to the last digit."""
        return self.worst_error == 0 and self.slack == 0 and not len(self.clipped)

    def objective(self, raw: float) -> float:
        """Return the program's objective for one of the model's, up to ``slack``."""
        if not math.isfinite(raw):
            return raw
        return float(Fraction(raw) / self.factor + Fraction(self.offset))

    def bound(self, raw: float) -> float:
        """Return a lower bound of the program's objective, rounded the safe way."""
        if not math.isfinite(raw):
            return raw
        if abs(raw) >= 2.0**53:  # given as a double, it may have been rounded up
            raw = math.nextafter(raw, -math.inf)
        exact = (Fraction(raw) - Fraction(self.slack)) / self.factor + Fraction(self.offset)
        value = float(exact)
        return math.nextafter(value, -math.inf) if Fraction(value) > exact else value


def to_cp_model(program: Program, *, names: bool = False) -> CpModelForm:
    """Build the CP-SAT model of a program.

    Integer columns without a finite bound get one that the rows imply. Where there is none they
    are cut at plus or minus the largest power of two up to 2**40 (never below 2**20) that keeps
    sums within 2**60.

    Parameters
    ----------
    program : Program
    names : bool
        Whether the model's variables carry the columns' names; costs time and memory.

    Raises
    ------
    ValueError
        For a continuous column; the message names it.
    """
    from ortools.sat.python import cp_model

    matrix = program.matrix
    if not matrix.integer.all():
        column = int(np.argmin(matrix.integer))
        raise ValueError(
            f"column {program.column_name(column)} is continuous: CP-SAT takes integers only"
        )
    lower, upper, clipped, limit = _domains(matrix)
    model = cp_model.CpModel()
    proto = model.proto
    proto.name = program.name
    crossed = lower > upper
    _add_variables(proto, lower, np.where(crossed, lower, upper), program if names else None)
    if crossed.any():  # an integer column whose bounds hold no whole number
        _add_linear(proto, [], [], [1, 1])
    error = _add_rows(proto, matrix, lower, upper)
    add_records(proto, program)
    cost = _add_objective(proto, matrix, lower, upper)
    _add_hint(proto, program, lower, upper)
    return CpModelForm(
        model=model,
        factor=cost.factor(0),
        offset=float(matrix.offset),
        slack=float(cost.above[0]) / int(cost.divisor[0]),
        worst_error=error,
        clipped=clipped,
        limit=limit,
    )


def write_proto(program: Program, path: StrPath) -> None:
    """Write the CP-SAT model: binary for ``.pb``, text for ``.pb.txt``; whole or not at all.

    The objective carries its scaling and offset, so that a solver that reads the file prints it
    in the program's units.

    Raises
    ------
    ValueError
        For a continuous column.
    OSError
        Where the file cannot be written.
    """
    form = to_cp_model(program, names=True)
    objective = form.model.proto.objective
    if len(objective.vars):
        objective.scaling_factor = float(1 / form.factor)
        objective.offset = float(Fraction(form.offset) * form.factor)
    suffix = ".pb.txt" if str(path).endswith(".txt") else ".pb"
    with replacing(path, suffix) as temporary:
        if not form.model.export_to_file(str(temporary)):
            raise OSError(f"cannot write {path}")


def _domains(matrix: Matrix) -> tuple[IntArray, IntArray, IntArray, float]:
    """Return whole, finite bounds, the columns that were cut, and where."""
    low, up = implied_bounds(matrix, *whole_bounds(matrix.lower, matrix.upper))
    unbounded = ~np.isfinite(low) | ~np.isfinite(up)
    limit = clip_range(matrix.indptr, matrix.indices, matrix.coefficients, unbounded)
    cut_up = np.where(np.isfinite(low), np.maximum(limit, low + limit), limit)
    cut_low = np.where(np.isfinite(up), np.minimum(-limit, up - limit), -limit)
    low = np.where(np.isfinite(low), low, cut_low)
    up = np.where(np.isfinite(up), up, cut_up)
    return low.astype(np.int64), up.astype(np.int64), np.flatnonzero(unbounded), limit


def _add_variables(proto: Any, lower: IntArray, upper: IntArray, named: Program | None) -> None:
    add = proto.variables.add
    for low, up in zip(lower.tolist(), upper.tolist(), strict=True):
        add().domain.extend((low, up))
    if named is not None:
        for variable, name in zip(proto.variables, column_names(named), strict=True):
            variable.name = name


def _add_linear(
    proto: Any, columns: Sequence[int], coefficients: Sequence[int], domain: Sequence[int]
) -> None:
    linear = proto.constraints.add().linear
    linear.vars.extend(columns)
    linear.coeffs.extend(coefficients)
    linear.domain.extend(domain)


def _add_rows(proto: Any, matrix: Matrix, lower: IntArray, upper: IntArray) -> float:
    """Append the rows; return the worst error."""
    scaled = scale_rows(
        matrix.indptr,
        matrix.indices,
        matrix.coefficients,
        lower.astype(np.float64),
        upper.astype(np.float64),
    )
    low, up = scaled.sides(matrix.row_lower, matrix.row_upper)
    kind, literals = _clauses(matrix, scaled.coefficients, low, up, (lower >= 0) & (upper <= 1))
    impossible = low > up  # no whole number in between
    if impossible.any():
        _add_linear(proto, [], [], [1, 1])
        kind[impossible] = _HOLDS
    start, stop = matrix.indptr[:-1], matrix.indptr[1:]
    add = proto.constraints.add
    flat = literals.tolist()
    for word, code in _CLAUSES:
        at = np.flatnonzero(kind == code)
        for a, b in zip(start[at].tolist(), stop[at].tolist(), strict=True):
            getattr(add(), word).literals.extend(flat[a:b])
    columns, coefficients = matrix.indices.tolist(), scaled.coefficients.tolist()
    at = np.flatnonzero(kind == _LINEAR)
    domains = np.stack([low[at], up[at]], axis=1).tolist()
    for a, b, domain in zip(start[at].tolist(), stop[at].tolist(), domains, strict=True):
        linear = add().linear
        linear.vars.extend(columns[a:b])
        linear.coeffs.extend(coefficients[a:b])
        linear.domain.extend(domain)
    errors = scaled.errors(matrix.row_lower, matrix.row_upper)
    return float(errors.max(initial=0.0))


def _clauses(
    matrix: Matrix, coefficients: IntArray, low: IntArray, up: IntArray, binary: BoolArray
) -> tuple[IntArray, IntArray]:
    """Tell which rows are clauses in disguise.

    Returns
    -------
    kind : int64[r]
        ``_LINEAR``, ``_AT_MOST_ONE``, ``_EXACTLY_ONE``, ``_AT_LEAST_ONE`` or ``_HOLDS``
        (whatever the values).
    literals : int64[nnz]
        For the clauses, the literals that take part.
    """
    lengths = np.diff(matrix.indptr)
    kind = np.zeros(len(lengths), dtype=np.int64)
    literals = np.where(coefficients < 0, ~matrix.indices.astype(np.int64), matrix.indices)
    plain = binary[matrix.indices] & (np.abs(coefficients) == 1)
    filled = lengths > 0
    starts = matrix.indptr[:-1][filled]
    if not len(starts):
        return kind, literals
    eligible, negative = np.zeros_like(filled), np.zeros_like(kind)
    eligible[filled] = np.logical_and.reduceat(plain, starts)
    negative[filled] = np.add.reduceat((coefficients < 0).astype(np.int64), starts)
    # literals that hold: at least ``least``, at most ``most``
    least = np.where(low == NO_LOWER, 0, np.clip(low, -lengths - 1, lengths + 1) + negative)
    most = np.where(up == NO_UPPER, lengths, np.clip(up, -lengths - 1, lengths + 1) + negative)
    least, most = np.maximum(least, 0), np.minimum(most, lengths)
    # all but one at least, or all but one at most: a clause of the negations
    flip = (least == lengths - 1) & (most == lengths) & (lengths > 2)
    flip |= (least == 0) & (most == lengths - 1) & (lengths > 2)
    kind[(least == 1) & (most == lengths)] = _AT_LEAST_ONE
    kind[((least == 0) & (most == 1)) | (flip & (least > 0))] = _AT_MOST_ONE
    kind[flip & (least == 0)] = _AT_LEAST_ONE
    kind[(least == 1) & (most == 1)] = _EXACTLY_ONE
    kind[(least == 0) & (most == lengths)] = _HOLDS
    kind[~eligible] = _LINEAR
    return kind, np.where(np.repeat(flip, lengths), ~literals, literals)


def _add_objective(proto: Any, matrix: Matrix, lower: IntArray, upper: IntArray) -> ScaledRows:
    """Set the objective; return its scaling as that of a single row."""
    at = np.flatnonzero(matrix.cost).astype(np.int32)
    scaled = scale_rows(
        np.array([0, len(at)]),
        at,
        matrix.cost[at],
        lower.astype(np.float64),
        upper.astype(np.float64),
    )
    if len(at):
        proto.objective.vars.extend(at.tolist())
        proto.objective.coeffs.extend(scaled.coefficients.tolist())
    return scaled


def _add_hint(proto: Any, program: Program, lower: IntArray, upper: IntArray) -> None:
    columns, values = program.start_values
    if len(columns):
        whole = np.clip(np.rint(values), lower[columns], upper[columns]).astype(np.int64)
        proto.solution_hint.vars.extend(columns.tolist())
        proto.solution_hint.values.extend(whole.tolist())
