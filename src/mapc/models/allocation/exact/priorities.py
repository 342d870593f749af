"""In which order equals are tried, and how long: what changes from restart to restart."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import IntArray

LIFE, SIZE, LOAD = (0.5, 1.0, 2.0, 4.0), (0.0, 0.25, 0.5, 1.0), (0.0, 3.0, 10.0, 1000.0)
"""Weights of the logarithms of a buffer's life, its size, and the largest load it meets."""
PLAIN = 8
"""Restarts without noise."""
NOISE = (0.03, 0.3)
"""Standard deviation over the weight of life, least and most."""


def luby(index: int) -> int:
    """Return a term of 1, 1, 2, 1, 1, 2, 4, 1, ..., from index 0 on (Luby, Sinclair, Zuckerman).

    Restarting after multiples of it is within a logarithmic factor of the best fixed limit.
    """
    index += 1
    while index & (index + 1):
        index -= (1 << (index.bit_length() - 1)) - 1
    return (index + 1) >> 1


class Priorities:
    """Ranks of buffers, new ones for every restart; equal seeds give equal ranks."""

    def __init__(self, life: IntArray, spans: IntArray, size: IntArray, load: IntArray, seed: int):
        traits = np.stack([life, spans, size, load]).astype(np.float64)
        self.life, self.spans, self.size, self.load = np.log(np.maximum(traits, 1.0))
        self.random = np.random.default_rng([seed, len(size)])
        self.weights = list(product(LIFE, SIZE, LOAD))
        self.random.shuffle(self.weights)
        self.made = 0

    def next(self) -> IntArray:
        """int64[n]: a permutation of 0 .. n - 1; lower ranks are tried first."""
        if self.made < PLAIN:
            life, size, load = self.weights[self.made]
            score = self._score(life, size, load)
        else:
            life, size, load = self.weights[int(self.random.integers(len(self.weights)))]
            score = self._score(life, size, load)
            score += self.random.normal(size=len(score)) * life * self.random.uniform(*NOISE)
        self.made += 1
        rank = np.empty(len(score), dtype=np.int64)
        rank[np.argsort(-score, kind="stable")] = np.arange(len(score))
        return rank

    def _score(self, life: float, size: float, load: float) -> NDArray[np.float64]:
        duration = self.spans if self.random.random() < 0.5 else self.life
        return np.asarray(life * duration + size * self.size + load * self.load)
