"""Random numbers for kernels: small, fast, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel, stream

__all__ = ["below", "draw", "stream", "uniform"]

_13, _7, _17, _11 = np.uint64(13), np.uint64(7), np.uint64(17), np.uint64(11)


@kernel("uint64(uint64[::1])")
def draw(state: NDArray[np.uint64]) -> np.uint64:
    """Return the next 64 bits, xorshift (Marsaglia 2003); ``state`` moves on."""
    x = state[0]
    x ^= x << _13
    x ^= x >> _7
    x ^= x << _17
    state[0] = x
    return np.uint64(x)


@kernel("float64(uint64[::1])")
def uniform(state: NDArray[np.uint64]) -> float:
    """Return a number in [0, 1)."""
    return float(np.float64(draw(state) >> _11) * 2.0**-53)


@kernel("int64(uint64[::1], int64)")
def below(state: NDArray[np.uint64], n: int) -> int:
    """Return a whole number in [0, n)."""
    return int(np.int64(uniform(state) * np.float64(n)))
