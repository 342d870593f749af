"""Rows and objectives with whole-number coefficients, for solvers that know no others.

A row whose coefficients are whole or short decimals becomes whole exactly: the numbers meant are
the decimals (a coefficient 0.1 is one tenth, not the double beside it), multiplied by a power of
ten and divided by their greatest common divisor, and sides in between whole numbers move to the
next one inside. Any other row is multiplied by a power of two, its coefficients are rounded, and
its sides are moved outwards by the most that this can matter: no feasible point is lost, and how
far the sides moved is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mapc.program.arrays import BoolArray, FloatArray, IntArray
from mapc.program.model import Matrix

_Number = TypeVar("_Number", np.float64, np.int64)

MAX_DIGITS = 9
"""Decimals a coefficient may have and still be taken at its word."""
MAX_ACTIVITY = 2.0**60
"""No sum of a scaled row leaves plus or minus this range."""
WIDEST, NARROWEST = 2.0**40, 2.0**20
"""Unbounded columns are cut at plus or minus a power of two between these."""
NO_LOWER, NO_UPPER = np.iinfo(np.int64).min, np.iinfo(np.int64).max
"""Sides that do not bind."""

_ROUNDED_ACTIVITY = 2.0**52
_ROUNDED_COEFFICIENT = 2.0**40
_FAR = 2.0**61


@dataclass(frozen=True, eq=False)
class ScaledRows:
    """Whole-number rows: ``coefficients * divisor = multiplier * original + rounding``.

    Attributes
    ----------
    coefficients : int64[nnz]
    multiplier : float64[r]
        A power of ten or of two.
    divisor : int64[r]
    above, below : float64[r]
        How far, before the division, rounding can lift or lower a row's sum; 0 where exact.
    """

    coefficients: IntArray
    multiplier: FloatArray
    divisor: IntArray
    above: FloatArray
    below: FloatArray

    @property
    def exact(self) -> BoolArray:
        """bool[r]: whether nothing was rounded."""
        return np.asarray((self.above == 0) & (self.below == 0), dtype=np.bool_)

    def factor(self, row: int) -> Fraction:
        """Return the exact quotient of a scaled row and its original."""
        return Fraction(float(self.multiplier[row])) / int(self.divisor[row])

    def sides(self, lower: FloatArray, upper: FloatArray) -> tuple[IntArray, IntArray]:
        """Return whole sides (int64[r] each) that keep every feasible point of the originals.

        They cross where a row has no feasible point: no whole number lies between its sides.
        """
        up = _floored(upper, self.multiplier) + np.ceil(self.above)
        low = -(_floored(-lower, self.multiplier) + np.ceil(self.below))
        high = np.clip(up, -_FAR, _FAR).astype(np.int64) // self.divisor
        deep = -(-np.clip(low, -_FAR, _FAR).astype(np.int64) // self.divisor)
        return np.where(low <= -_FAR, NO_LOWER, deep), np.where(up >= _FAR, NO_UPPER, high)

    def errors(self, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """float64[r]: how far rounding moved the sides, relative to ``max(1, |side|)``."""
        moved = np.zeros(len(self.multiplier))
        for side, slack in ((lower, self.below), (upper, self.above)):
            size = np.where(np.isfinite(side), np.maximum(1.0, np.abs(side)), np.inf)
            moved = np.maximum(moved, slack / self.multiplier / size)
        return moved


def whole_bounds(lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Round the bounds of integer columns inwards; bounds from 2**60 on count as infinite."""
    low, up = np.ceil(lower), np.floor(upper)
    return np.where(low <= -MAX_ACTIVITY, -np.inf, low), np.where(up >= MAX_ACTIVITY, np.inf, up)


def implied_bounds(
    matrix: Matrix, lower: FloatArray, upper: FloatArray, passes: int = 4
) -> tuple[FloatArray, FloatArray]:
    """Give columns without finite bounds those that the rows imply; others keep theirs.

    A row ``a x + rest <= side`` bounds ``x`` where the rest is bounded below. The bounds are a
    little wider than implied, so that no feasible whole number is lost to rounding.
    """
    lower, upper = lower.copy(), upper.copy()
    row = np.repeat(np.arange(matrix.n_rows), np.diff(matrix.indptr))
    column, factor = matrix.indices, matrix.coefficients
    for _ in range(passes):
        open_up, open_low = ~np.isfinite(upper), ~np.isfinite(lower)
        if not (open_up | open_low).any():
            break
        before = int(open_up.sum() + open_low.sum())
        for sign, side in ((1.0, matrix.row_upper), (-1.0, -matrix.row_lower)):
            a = sign * factor
            with np.errstate(invalid="ignore"):
                least = np.where(a > 0, a * lower[column], a * upper[column])
            least[a == 0] = 0.0
            endless = ~np.isfinite(least)
            finite = np.where(endless, 0.0, least)
            others = np.bincount(row, weights=endless, minlength=matrix.n_rows)[row] - endless
            rest = np.bincount(row, weights=finite, minlength=matrix.n_rows)[row] - finite
            usable = (others == 0) & np.isfinite(side[row]) & (a != 0)
            at, value = column[usable], (side[row] - rest)[usable] / a[usable]
            size = np.bincount(row, weights=np.abs(finite), minlength=matrix.n_rows)[row][usable]
            margin = 1e-6 + 1e-9 * np.abs(value) + 2.0**-48 * size / np.abs(a[usable])
            rising = a[usable] > 0
            high, low = np.full(len(upper), np.inf), np.full(len(lower), -np.inf)
            np.minimum.at(high, at[rising], np.floor(value + margin)[rising])
            np.maximum.at(low, at[~rising], np.ceil(value - margin)[~rising])
            upper = np.where(open_up, np.minimum(upper, high), upper)
            lower = np.where(open_low, np.maximum(lower, low), lower)
            lower, upper = whole_bounds(lower, upper)
        if int((~np.isfinite(upper)).sum() + (~np.isfinite(lower)).sum()) == before:
            break
    return lower, upper


def clip_range(
    indptr: IntArray, indices: NDArray[np.int32], values: FloatArray, unbounded: BoolArray
) -> float:
    """Return where to cut unbounded columns: as far out as sums allow, see `WIDEST`.

    ``unbounded``: bool[n_columns].
    """
    if not unbounded.any():
        return WIDEST
    digits = np.minimum(_row_digits(indptr, values), MAX_DIGITS)
    weight = np.where(unbounded[indices], np.abs(values), 0.0)
    heaviest = float(np.max(_row_sums(indptr, weight) * 10.0**digits, initial=1.0))
    room = 2.0 ** np.floor(np.log2(MAX_ACTIVITY / 2 / heaviest))
    return float(np.clip(room, NARROWEST, WIDEST))


def scale_rows(
    indptr: IntArray,
    indices: NDArray[np.int32],
    values: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
) -> ScaledRows:
    """Make the coefficients of rows whole.

    Parameters
    ----------
    indptr, indices, values : int64[r + 1], int32[nnz], float64[nnz]
        The rows.
    lower, upper : float64[n_columns]
        Finite bounds of the columns, which must be whole-numbered.
    """
    rows = len(indptr) - 1
    row = np.repeat(np.arange(rows), np.diff(indptr))
    reach = np.maximum(np.abs(lower), np.abs(upper))[indices]
    activity = _row_sums(indptr, np.abs(values) * reach)
    digits = _row_digits(indptr, values)
    multiplier = 10.0 ** np.minimum(digits, MAX_DIGITS)
    largest = _reduce(np.maximum, indptr, np.abs(values), 0.0)
    decimal = (digits <= MAX_DIGITS) & (activity * multiplier <= MAX_ACTIVITY)
    decimal &= largest * multiplier < 2.0**51
    whole = np.zeros(len(values), dtype=np.int64)
    above, below = np.zeros(rows), np.zeros(rows)

    other = np.flatnonzero(~decimal)
    if len(other):
        multiplier[other] = _binary_multiplier(indptr, values, activity)[other]
    scaled = values * multiplier[row]
    whole[:] = np.rint(scaled)
    if len(other):
        error = np.where(decimal[row], 0.0, whole - scaled)
        lift = np.maximum(error * lower[indices], error * upper[indices])
        drop = np.maximum(-error * lower[indices], -error * upper[indices])
        # a whole unit more covers the rounding of these sums and of the coefficients as decimals
        rounded = _row_sums(indptr, np.abs(error)) > 0
        above = np.where(rounded, _row_sums(indptr, lift) * (1 + 1e-9) + 1.0, 0.0)
        below = np.where(rounded, _row_sums(indptr, drop) * (1 + 1e-9) + 1.0, 0.0)
    divisor = _row_gcd(indptr, whole)
    return ScaledRows(whole // divisor[row], multiplier, divisor, above, below)


def _floored(sides: FloatArray, multiplier: FloatArray) -> FloatArray:
    """Return ``floor(side * multiplier)``, taking a side that is a decimal at its word.

    A side within a few units in the last place below a whole number counts as that number: it
    came out of a sum of decimals.
    """
    value = sides * multiplier
    nearest = np.rint(value)
    meant = (nearest / multiplier == sides) & (np.abs(value) < 2.0**53)
    slack = np.minimum(2.0**-48 * np.maximum(1.0, np.abs(value)), 0.25)
    # a product too large for a double's fraction is known to its last bit only
    coarse = (np.abs(value) >= 2.0**53) & (multiplier != 1) & np.isfinite(value)
    slack = np.where(coarse, np.abs(np.where(coarse, value, 0.0)) * 2.0**-52, slack)
    return np.where(meant, nearest, np.floor(value + slack))


def _digits(values: FloatArray) -> IntArray:
    """Decimals of each value: the least k with value = n / 10**k to the last bit."""
    result = np.full(len(values), MAX_DIGITS + 1, dtype=np.int64)
    todo = np.arange(len(values))
    for k in range(MAX_DIGITS + 1):
        value = values[todo]
        shifted = np.rint(value * 10.0**k)
        done = (shifted / 10.0**k == value) & (np.abs(shifted) < 2.0**50)
        result[todo[done]] = k
        todo = todo[~done]
        if not len(todo):
            break
    return result


def _row_digits(indptr: IntArray, values: FloatArray) -> IntArray:
    return _reduce(np.maximum, indptr, _digits(values), 0)


def _binary_multiplier(indptr: IntArray, values: FloatArray, activity: FloatArray) -> FloatArray:
    """Return a power of two per row: one that makes it whole if there is room, else a large one."""
    mantissa, exponent = np.frexp(values)
    odd = np.abs(mantissa * 2.0**53).astype(np.int64)
    trailing = np.where(odd == 0, 53, np.log2(np.maximum(odd & -odd, 1)).astype(np.int64))
    bits = np.where(odd == 0, 0, 53 - exponent - trailing)
    needed = _reduce(np.maximum, indptr, bits.astype(np.int64), 0).astype(np.float64)
    largest = _reduce(np.maximum, indptr, np.abs(values), 0.0)
    tiny = np.finfo(np.float64).tiny
    room = np.minimum(
        np.log2(_ROUNDED_ACTIVITY) - np.log2(np.maximum(activity, tiny)),
        np.log2(_ROUNDED_COEFFICIENT) - np.log2(np.maximum(largest, tiny)),
    )
    room = np.clip(np.floor(room), -1000, 1000)
    # a third is a double with 54 fractional bits: exact, and no help to a solver
    fits = np.where(needed <= 0, activity <= MAX_ACTIVITY, needed <= room)
    return 2.0 ** np.where(fits, np.minimum(needed, 1000), room)


def _row_gcd(indptr: IntArray, whole: IntArray) -> IntArray:
    return np.asarray(np.maximum(_reduce(np.gcd, indptr, np.abs(whole), 0), 1), dtype=np.int64)


def _row_sums(indptr: IntArray, values: FloatArray) -> FloatArray:
    return _reduce(np.add, indptr, values, 0.0)


def _reduce(
    operation: np.ufunc, indptr: IntArray, values: NDArray[_Number], empty: float
) -> NDArray[_Number]:
    """Reduce the entries of every row; ``empty`` for rows without any."""
    result = np.full(len(indptr) - 1, empty, dtype=values.dtype)
    filled = np.diff(indptr) > 0
    if filled.any():
        result[filled] = operation.reduceat(values, indptr[:-1][filled])
    return result
