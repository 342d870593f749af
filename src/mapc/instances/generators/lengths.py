"""Synthetic batches of sequences with long tails, log-normal or Pareto.

Log-normal: the logarithm of a length is normal with mean ``ln 900`` and standard deviation 1.75, so
that half of the sequences are below 900 tokens, and 1 in 100 is above 52,000. Pareto: a part
``(300 / s)**1.2`` of the lengths is above s, from 300 on, hence 1 in 100 above 14,000 and far more
above 100,000 than recorded corpora have (the tail of Wikipedia's falls as ``s**-1.9``).

Both are cut at the longest length: what is longer is drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mapc.errors import UsageError
from mapc.graph.operators import IntArray
from mapc.instances.importers.lengths import parse_tokens
from mapc.models.sequence.costs.models import NODE_RANKS, flexsp_cost
from mapc.models.sequence.problem import FloatArray, SequenceProblem

LOGNORMAL, PARETO = "lognormal", "pareto"
MEDIAN, SIGMA = 900.0, 1.75
"""Of log-normal lengths: the median in tokens, the standard deviation of the logarithm."""
SHORTEST, ALPHA = 300.0, 1.2
"""Of Pareto lengths: the shortest in tokens, the exponent of the tail."""
_PADDING = 128


def lognormal_lengths(
    n: int, max_length: int, seed: int = 0, median: float = MEDIAN, sigma: float = SIGMA
) -> IntArray:
    """Return int64[n]: log-normal lengths, 1 to ``max_length`` tokens, equal for equal arguments.

    Raises
    ------
    UsageError
        For an argument out of range.
    """
    _check(n, max_length, ("median", median, 1.0, 1e9), ("sigma", sigma, 0.0, 10.0))
    mean = np.log(median)
    return _cut(n, max_length, seed, median, lambda rng, k: rng.lognormal(mean, sigma, k))


def pareto_lengths(
    n: int, max_length: int, seed: int = 0, shortest: float = SHORTEST, alpha: float = ALPHA
) -> IntArray:
    """Return int64[n]: Pareto lengths, ``shortest`` to ``max_length`` tokens.

    Raises
    ------
    UsageError
        For an argument out of range.
    """
    _check(n, max_length, ("shortest", shortest, 1.0, 1e9), ("alpha", alpha, 0.1, 100.0))
    median = shortest * 2.0 ** (1.0 / alpha)
    return _cut(n, max_length, seed, median, lambda rng, k: shortest * (1.0 + rng.pareto(alpha, k)))


def _cut(
    n: int,
    max_length: int,
    seed: int,
    median: float,
    sample: Callable[[np.random.Generator, int], FloatArray],
) -> IntArray:
    # half of the draws or more are within the limit, hence the loop is short
    if max_length < median:
        right = f"{math.ceil(median)} or more, where half of the lengths are shorter"
        raise UsageError(f"max length {max_length}: expected {right}")
    if seed < 0:
        raise UsageError(f"seed {seed}: expected 0 or more")
    rng = np.random.default_rng([seed, n])
    found = np.zeros(0)
    while len(found) < n:
        # a draw may be infinite; it is too long like any other
        drawn = np.maximum(np.rint(sample(rng, max(n, 16))), 1.0)
        found = np.concatenate([found, drawn[drawn <= max_length]])
    return found[:n].astype(np.int64)


def _check(n: int, max_length: int, *shape: tuple[str, float, float, float]) -> None:
    for name, value, top in (("sequences", n, 10**7), ("max length", max_length, 2**40)):
        if not 1 <= value <= top:
            raise UsageError(f"{name} {value}: expected 1 to {top}")
    for name, size, low, high in shape:
        if not low <= size <= high:
            raise UsageError(f"{name} {size}: expected {low:g} to {high:g}")


def generate(
    sequences: int = 512,
    ranks: int = 64,
    ranks_per_node: int = NODE_RANKS,
    model: str = "gpt-7b",
    max_length: str | int = "384K",
    distribution: str = LOGNORMAL,
    seed: int = 0,
) -> SequenceProblem:
    """Return a batch of random lengths under FlexSP's costs; equal arguments give equal problems.

    Parameters
    ----------
    sequences : int
    ranks, ranks_per_node : int
        Fewer ranks than fill a node are one node.
    model : str
        A name in `mapc.models.sequence.costs.models.FLEXSP_MODELS`.
    max_length : str or int
        Tokens, at least the median; ``"384K"`` is 384,000.
    distribution : str
        ``"lognormal"`` or ``"pareto"``.
    seed : int

    Raises
    ------
    UsageError
        For an argument out of range.
    InstanceError
        Where `flexsp_cost` or `SequenceProblem` refuses the cluster.
    """
    if distribution not in (LOGNORMAL, PARETO):
        raise UsageError(f"distribution {distribution!r}: expected {LOGNORMAL} or {PARETO}")
    draw = lognormal_lengths if distribution == LOGNORMAL else pareto_lengths
    limit, per_node = parse_tokens(max_length), min(ranks_per_node, ranks)
    return SequenceProblem(
        name=f"lengths-{sequences}-{ranks}-{distribution}-{seed}",
        lengths=draw(sequences, limit, seed),
        n_ranks=ranks,
        node_ranks=per_node,
        cost=flexsp_cost(model, ranks, per_node, limit),
        padding=_PADDING,
        provenance={"generator": "sequence", "seed": seed, "distribution": distribution},
    )
