"""Moves within one layer's table: what may be drawn, and how the table changes.

A table and its index, in the order in which kernels take them:

table : int64[H, C]
    Expert of every slot.
at : int64[E, H]
    Slot of an expert on a rank, -1 where it has none.
copies : int64[E]
    Replicas of every expert.
holders : int64[E, H]
    In the first ``copies`` entries: the ranks that hold an expert, in any order.

A move swaps two slots of different ranks, or puts another expert in the place of a replica.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel
from mapc.models.placement.problem import FloatArray
from mapc.random import below, uniform

_I1, _I2, _F2 = "int64[::1]", "int64[:, ::1]", "float64[:, ::1]"
_B2, _RANDOM, _PRICE = "boolean[:, ::1]", "uint64[::1]", "int8[:, ::1]"
PriceArray = NDArray[np.int8]

TRIES = 8
"""Swaps drawn until one takes work off the hot rank."""
SWAPS = 0.6
"""Part of the steps that swap where experts have replicas to move."""
HOT = 0.8
"""Part of the steps that start from the hottest rank of some row."""
NOWHERE = -1
"""In place of a rank: the expert goes."""
NEVER = 4
"""Price of a pair that must not come, above that of two that may."""


@kernel(f"void({_I2}, {_I2}, {_I1}, {_I2})")
def index(table: IntArray, at: IntArray, copies: IntArray, holders: IntArray) -> None:
    """Fill ``at``, ``copies`` and ``holders`` from the table."""
    at[:] = -1
    copies[:] = 0
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            e = table[g, i]
            at[e, g] = i
            holders[e, copies[e]] = g
            copies[e] += 1


@kernel(f"void({_I2}, {_I2})")
def keep(table: IntArray, kept: IntArray) -> None:
    """Copy a table into ``kept``.

    Entry by entry: the assignment of whole arrays brings in the text of numba's message about
    shapes, which takes five seconds to compile in every module.
    """
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            kept[g, i] = table[g, i]


@kernel(f"void({_I2}, {_I2}, {_I1}, {_I2}, int64, int64, int64)")
def put(
    table: IntArray, at: IntArray, copies: IntArray, holders: IntArray, g: int, i: int, f: int
) -> None:
    """Give slot i of rank g to f, which is not on g."""
    e = table[g, i]
    j = 0
    while holders[e, j] != g:
        j += 1
    copies[e] -= 1
    holders[e, j] = holders[e, copies[e]]
    at[e, g] = -1
    table[g, i] = f
    at[f, g] = i
    holders[f, copies[f]] = g
    copies[f] += 1


@kernel(f"int64({_I2}, {_B2}, {_B2}, {_PRICE})")
def price_moves(table: IntArray, allowed: BoolArray, old: BoolArray, price: PriceArray) -> int:
    """Set the price of every pair: 0 if old, 1 if new, `NEVER`; return that of the table."""
    for e in range(price.shape[0]):
        for g in range(price.shape[1]):
            price[e, g] = (0 if old[e, g] else 1) if allowed[e, g] else NEVER
    new = 0
    for g in range(table.shape[0]):
        for i in range(table.shape[1]):
            new += 0 if old[table[g, i], g] else 1
    return new


@kernel(f"boolean({_I2}, {_I2}, {_I1}, {_F2}, {_B2}, {_PRICE}, int64, {_I1}, {_I1}, {_RANDOM})")
def draw(
    table: IntArray,
    at: IntArray,
    copies: IntArray,
    share: FloatArray,
    locked: BoolArray,
    price: PriceArray,
    room: int,
    hottest: IntArray,
    move: IntArray,
    random: NDArray[np.uint64],
) -> bool:
    """Draw a move; return whether it is one that may be made.

    A swap from the hottest rank takes something heavier from there than it brings. A replacement
    there puts anything in the place of a replica, or one of its experts on some other rank.

    Parameters
    ----------
    share : float64[E, K]
        What a replica of each expert weighs, about.
    room : int
        How many more new pairs there may be.
    hottest : int64[K]
    move : int64[6]
        Set to rank, slot and the expert that comes there; rank and slot that take what was there,
        `NOWHERE` if it goes; and how many new pairs there are more.
    """
    n_ranks, n_slots = table.shape
    k = below(random, len(hottest))
    hot = uniform(random) < HOT
    g = hottest[k] if hot else below(random, n_ranks)
    i = below(random, n_slots)
    e = table[g, i]
    if table.size == len(copies) or uniform(random) < SWAPS:
        h, j = below(random, n_ranks), below(random, n_slots)
        f = table[h, j]
        if hot:
            for _ in range(TRIES):
                if share[e, k] > share[f, k]:
                    break
                i, j = below(random, n_slots), below(random, n_slots)
                e, f = table[g, i], table[h, j]
        if at[f, g] >= 0 or at[e, h] >= 0 or locked[g, i] or locked[h, j]:
            return False
        more = price[f, g] + price[e, h]
        if more >= NEVER:
            return False
        more -= price[e, g] % NEVER + price[f, h] % NEVER
    else:
        h, j = NOWHERE, NOWHERE
        if hot and uniform(random) < 0.5:
            f = e
            g, i = below(random, n_ranks), below(random, n_slots)
            e = table[g, i]
        else:
            f = below(random, len(copies))
        if copies[e] < 2 or at[f, g] >= 0 or locked[g, i] or price[f, g] == NEVER:
            return False
        more = price[f, g] - price[e, g] % NEVER
    move[0], move[1], move[2], move[3], move[4], move[5] = g, i, f, h, j, more
    return bool(more <= max(room, 0))


@kernel(f"void({_I2}, {_I2}, {_I1}, {_I2}, {_I1})")
def make(
    table: IntArray, at: IntArray, copies: IntArray, holders: IntArray, move: IntArray
) -> None:
    """Make a drawn move and turn it into the one that undoes it."""
    g, i, f, h, j = move[0], move[1], move[2], move[3], move[4]
    e = table[g, i]
    put(table, at, copies, holders, g, i, f)
    if h != NOWHERE:
        put(table, at, copies, holders, h, j, e)
    move[2] = e
