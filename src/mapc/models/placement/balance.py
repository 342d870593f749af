"""Balance of one row of work: replica counts, packing, steepest descent, short annealing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.graph.operators import IntArray
from mapc.kernels import load
from mapc.models.placement.problem import FloatArray

KERNELS = "mapc.models.placement.balance_kernels"


def balance_layer(
    work: FloatArray,
    ranks: int,
    slots: int,
    *,
    slowness: FloatArray | None = None,
    tolerance: float = 1e-3,
    rounds: int = 20,
    seed: int = 0,
    done: Callable[[], bool] | None = None,
) -> IntArray:
    """Fill the slots of one layer so that the slowest rank has little to do.

    Parameters
    ----------
    work : float64[E]
        What each expert weighs; its replicas share it equally.
    ranks, slots : int
        G ranks of C slots; ``C <= E <= G * C``.
    slowness : float64[G], optional
        Time of a rank per unit of weight; 1 for all if left out.
    tolerance : float
        Excess over the layer's bound at which to stop, as a part of it.
    rounds : int
        Most rounds of annealing.
    seed : int
    done : callable, optional
        Whether to stop; what there is then is returned.

    Returns
    -------
    int64[G, C]
        No rank holds an expert twice, every expert is somewhere.
    """
    table = balance_tables(
        np.asarray(work, dtype=np.float64)[None],
        ranks,
        slots,
        slowness=slowness,
        tolerance=tolerance,
        rounds=rounds,
        seed=seed,
        done=done,
    )
    return table[0]


def balance_tables(
    work: FloatArray,
    ranks: int,
    slots: int,
    *,
    slowness: FloatArray | None = None,
    tolerance: float = 1e-3,
    rounds: int = 20,
    seed: int = 0,
    done: Callable[[], bool] | None = None,
) -> IntArray:
    """Balance layers one by one, see `balance_layer`.

    Parameters
    ----------
    work : float64[L, E]

    Returns
    -------
    int64[L, G, C]
    """
    n_experts = work.shape[1]
    tables = np.tile(in_order(n_experts, ranks, slots), (len(work), 1, 1))
    kernels = load(KERNELS, done)
    if kernels is None:
        return tables
    slow = np.ones(ranks) if slowness is None else np.ascontiguousarray(slowness, dtype=np.float64)
    most = min(ranks, ranks * slots - n_experts + 1)
    for layer, row in enumerate(work):
        if done is not None and done():
            break
        item = np.ascontiguousarray(row[:, None] / np.arange(1, most + 1))
        copies = np.empty(n_experts, dtype=np.int64)
        kernels.replicate(item, ranks * slots, copies)
        kernels.pack(copies, item, slow, tables[layer])
        bound = float(row.sum() / (1 / slow).sum())
        kernels.descend(tables[layer], item, slow, bound, 100_000)
    return tables


def in_order(n_experts: int, ranks: int, slots: int) -> IntArray:
    """int64[G, C]: experts in order, from the first again after the last."""
    return (np.arange(ranks * slots, dtype=np.int64) % n_experts).reshape(ranks, slots)
