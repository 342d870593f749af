"""Synthetic bits problems: log-normal sensitivities over layers of realistic or random size.

The loss of a group at ``b`` bits is ``sensitivity * 4**-b * noise``: halving the step of a
quantizer quarters its squared error, the sensitivity of layers varies by orders of magnitude, and
measured losses scatter around both.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.models.bits.problem import BitsProblem

LLM, CONTINUOUS = "llm", "continuous"
"""Sizes of groups: matrices of transformer shapes, or any whole number of weights."""

WIDTHS = tuple(Fraction(eighths, 8) for eighths in (36, 66, 20, 28, 128, 52, 44, 24, 40, 32, 48))
"""Bits per weight, scales included; a problem of ``f`` formats takes the first ``f``."""

_SHAPES = ((4096, 4096), (4096, 1024), (14336, 4096), (2048, 1408), (2048, 2048), (5120, 1536))
_SIGMA, _NOISE = 2.0, 0.3
"""Standard deviations of the logarithms of sensitivity and of noise."""
_BITS_PER_WEIGHT = Fraction(19, 4)
_RESOURCES, _UNITS = ("size", "bops", "latency"), ("bits", "bit operations", "ns")


def generate(
    groups: int, formats: int = 5, budgets: int = 1, seed: int = 0, sizes: str = LLM
) -> BitsProblem:
    """Return a random problem; equal arguments give equal problems.

    Parameters
    ----------
    groups : int
        At least 1.
    formats : int
        1 to ``len(WIDTHS)``; every group has them all. Five are 2.5, 3.5, 4.5, 8.25 and 16 bits.
    budgets : int
        1: size. 2: bit operations as well. 3: the latency of a table, too.
    seed : int
    sizes : str
        ``"llm"`` or ``"continuous"``.

    Raises
    ------
    UsageError
        For an argument out of range.
    """
    _check(groups, formats, budgets, sizes)
    rng = np.random.default_rng([seed, groups, formats])
    widths = sorted(WIDTHS[:formats])
    weights = _weights(rng, groups, sizes)
    sensitivity = np.exp(rng.normal(0.0, _SIGMA, groups)) * np.sqrt(weights)
    noise = np.exp(rng.normal(0.0, _NOISE, (groups, formats)))
    loss = sensitivity[:, None] * 4.0 ** -np.array([float(w) for w in widths]) * noise
    costs = [_size(weights, widths), *_others(rng, weights, widths)][:budgets]
    options = groups * formats
    return BitsProblem(
        name=f"bits-{groups}x{formats}-{sizes}-{seed}",
        groups=tuple(f"layer{i}" for i in range(groups)),
        formats=tuple(f"w{float(width):g}" for width in widths),
        start=np.arange(0, options + 1, formats, dtype=np.int64),
        format_of=np.tile(np.arange(formats, dtype=np.int64), groups),
        loss=loss.ravel(),
        resources=_RESOURCES[:budgets],
        units=_UNITS[:budgets],
        cost=np.stack([cost.ravel() for cost in costs]),
        budget=tuple(_budget(cost, widths) for cost in costs),
        weights=weights,
        allowed=np.ones(options, dtype=np.bool_),
        provenance={"generator": "bits", "seed": seed, "sizes": sizes},
    )


def _check(groups: int, formats: int, budgets: int, sizes: str) -> None:
    for name, value, top in (
        ("groups", groups, 10**7),
        ("formats", formats, len(WIDTHS)),
        ("budgets", budgets, len(_RESOURCES)),
    ):
        if not 1 <= value <= top:
            raise UsageError(f"{name} {value}: expected 1 to {top}")
    if sizes not in (LLM, CONTINUOUS):
        raise UsageError(f"sizes {sizes!r}: expected {LLM} or {CONTINUOUS}")


def _weights(rng: np.random.Generator, groups: int, sizes: str) -> IntArray:
    if sizes == CONTINUOUS:
        return np.exp(rng.uniform(np.log(1e5), np.log(1e8), groups)).astype(np.int64)
    shapes = np.array([rows * columns for rows, columns in _SHAPES], dtype=np.int64)
    blocks = rng.choice(np.array([1, 2, 4], dtype=np.int64), groups)
    return np.asarray(rng.choice(shapes, groups) * blocks)


def _size(weights: IntArray, widths: list[Fraction]) -> IntArray:
    """Bits of every group in every format, rounded up to whole bits."""
    eighths = np.array([int(width * 8) for width in widths], dtype=np.int64)
    return np.asarray(-(-weights[:, None] * eighths // 8))


def _others(rng: np.random.Generator, weights: IntArray, widths: list[Fraction]) -> list[IntArray]:
    """Bit operations (quadratic in bits, by reuse of the weights) and a latency table.

    Latency is the larger of moving the weights and of computing, scattered as tables are.
    """
    bits = np.array([float(width) for width in widths])
    reuse = np.exp(rng.normal(3.0, 1.0, len(weights)))
    operations = (weights * reuse)[:, None] * bits**2 / 64
    seconds = np.maximum(weights[:, None] * bits * 1e-3, operations * 2e-4)
    scatter = np.exp(rng.normal(0.0, 0.15, seconds.shape))
    return [np.rint(operations).astype(np.int64), np.rint(seconds * scatter).astype(np.int64) + 1]


def _budget(cost: IntArray, widths: list[Fraction]) -> int:
    """Return what 4.75 bits per weight would cost, between the two uniform formats around it."""
    totals = [int(column.sum()) for column in cost.T]
    for (low, below), (high, above) in itertools.pairwise(zip(widths, totals, strict=True)):
        if low <= _BITS_PER_WEIGHT <= high:
            return int(below + (above - below) * (_BITS_PER_WEIGHT - low) / (high - low))
    return max(totals) if widths[-1] < _BITS_PER_WEIGHT else min(totals)
