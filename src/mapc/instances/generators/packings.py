"""Perfect packings: a rectangle of time and memory cut into buffers, with nothing left over.

The buffers fill the capacity at all times, so they fit it exactly, and any other placement that
does leaves no gap either: hard for what places greedily. Cuts are guillotine cuts, through a whole
piece, in time or in memory; or pinwheels, four pieces around a fifth, which those cannot give.
"""

from __future__ import annotations

import numpy as np

from mapc.errors import UsageError
from mapc.models.allocation.problem import AllocationProblem

Piece = tuple[int, int, int, int]
"""Half-open ranges of time and of addresses: begin, end, base, top."""
LEAST = 3
"""Length of a side from which a piece can be cut by a pinwheel."""


def perfect_packing(
    buffers: int,
    capacity: int = 1024,
    steps: int = 1024,
    pinwheels: float = 0.0,
    slack: float = 0.0,
    seed: int = 0,
) -> AllocationProblem:
    """Cut a rectangle of ``steps`` by ``capacity`` into buffers; equal arguments, equal problems.

    Parameters
    ----------
    buffers : int
        How many.
    capacity, steps : int
        Bytes, and units of time.
    pinwheels : float
        Part of the cuts that are pinwheels, 0 to 1, where pieces allow.
    slack : float
        What the capacity of the problem is above that of the rectangle, as a part of it.
    seed : int

    Returns
    -------
    AllocationProblem
        Its capacity is the rectangle's, and slack; buffers come in random order.

    Raises
    ------
    UsageError
        For an argument out of range, and for more buffers than the rectangle can be cut into.
    """
    for name, value, least, most in (
        ("buffers", buffers, 1, 100_000),
        ("capacity", capacity, 1, 2**40),
        ("steps", steps, 1, 2**40),
        ("pinwheels", pinwheels, 0, 1),
        ("slack", slack, 0, 100),
    ):
        if not least <= value <= most:
            raise UsageError(f"{name} {value}: expected {least} to {most}")
    if buffers > capacity * steps // 4 and buffers > 1:
        raise UsageError(
            f"buffers {buffers}: too many to cut {steps} steps by {capacity} bytes into; "
            f"expected at most {max(1, capacity * steps // 4)}"
        )
    rng = np.random.default_rng([seed, buffers, capacity, steps])
    pieces = _cut((0, steps, 0, capacity), buffers, pinwheels, rng)
    rng.shuffle(pieces)
    begin, end, base, top = np.array(pieces, dtype=np.int64).T
    return AllocationProblem(
        name=f"packing-{buffers}-{seed}",
        names=tuple(f"b{i}" for i in range(len(pieces))),
        lower=begin,
        upper=end,
        size=top - base,
        capacity=capacity + int(slack * capacity),
        provenance={
            "generator": "allocation",
            "buffers": buffers,
            "capacity": capacity,
            "steps": steps,
            "pinwheels": pinwheels,
            "slack": slack,
            "seed": seed,
        },
    )


def _cut(whole: Piece, count: int, pinwheels: float, rng: np.random.Generator) -> list[Piece]:
    """Cut pieces drawn by their area, relative to the whole, until there are ``count``."""
    pieces = [whole]
    while len(pieces) < count:
        area = np.array([float(b - a) * float(d - c) for a, b, c, d in pieces])
        area[area <= 1.0] = 0.0
        at = int(rng.choice(len(pieces), p=area / area.sum()))
        a, b, c, d = pieces.pop(at)
        wheel = min(b - a, d - c) >= LEAST and len(pieces) + 5 <= count
        if wheel and rng.random() < pinwheels:
            pieces += _pinwheel((a, b, c, d), rng)
        else:
            pieces += _guillotine((a, b, c, d), whole, rng)
    return pieces


def _guillotine(piece: Piece, whole: Piece, rng: np.random.Generator) -> list[Piece]:
    """Cut a piece in two across its longer side, relative to the whole, or now and then not."""
    a, b, c, d = piece
    longer = (b - a) * (whole[3] - whole[2]) >= (d - c) * (whole[1] - whole[0])
    in_time = longer != (rng.random() < 0.25)
    if (in_time and b - a > 1) or d - c == 1:
        x = int(rng.integers(a + 1, b))
        return [(a, x, c, d), (x, b, c, d)]
    y = int(rng.integers(c + 1, d))
    return [(a, b, c, y), (a, b, y, d)]


def _pinwheel(piece: Piece, rng: np.random.Generator) -> list[Piece]:
    """Cut a piece into four around a fifth."""
    a, b, c, d = piece
    x, z = _two(a, b, rng)
    y, w = _two(c, d, rng)
    return [(a, z, c, y), (z, b, c, w), (x, b, w, d), (a, x, y, d), (x, z, y, w)]


def _two(first: int, last: int, rng: np.random.Generator) -> tuple[int, int]:
    """Draw two different places strictly between two others, in order."""
    one, other = int(rng.integers(first + 1, last)), int(rng.integers(first + 1, last - 1))
    other += other >= one
    return min(one, other), max(one, other)
