"""Consecutive cuts of sorted sequences into micro-batches."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import IntArray


def consecutive(tokens: IntArray, count: int) -> IntArray:
    """Cut a list into non-empty consecutive parts whose largest total is least.

    This is FlexSP's micro-batch "blaster" when the list descends. The least total is found by
    bisection over whole tokens: parts filled one after the other up to a limit are as few as
    any parts within it.

    Parameters
    ----------
    tokens : int64[K]
        Padded tokens, > 0.
    count : int
        Parts, from 1 to K.

    Returns
    -------
    int64[count + 1]
        Part p is ``tokens[cut[p]:cut[p + 1]]``.
    """
    end = np.concatenate(([0], np.cumsum(tokens)))
    low, high = max(int(tokens.max()), -(-int(end[-1]) // count)), int(end[-1])
    while low < high:
        middle = (low + high) // 2
        if _filled(end, middle, count)[-1] == len(tokens):
            high = middle
        else:
            low = middle + 1
    return _filled(end, low, count)


def _filled(end: IntArray, limit: int, count: int) -> IntArray:
    """Fill parts up to a limit, each leaving one entry at least for every later part."""
    cut = np.zeros(count + 1, dtype=np.int64)
    for part in range(count):
        reach = int(np.searchsorted(end, end[cut[part]] + limit, side="right")) - 1
        cut[part + 1] = min(reach, len(end) - count + part)
    return cut
