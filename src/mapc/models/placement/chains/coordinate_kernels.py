"""Descent by swaps of two experts of one layer while all other layers stay, compiled.

K rows of work, P profiles, E experts, H live ranks; no replicas. ``side[0]`` and ``side[1]`` are
what leaves the ranks before and comes to the ranks of the layer, ``side[2]`` and ``side[3]`` what
leaves these and comes to the ranks after; ``now[p]`` holds work, transfers in and transfers out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapc.kernels import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WORK, IN, OUT = 0, 1, 2
BUSIEST, OVERLAP, SLOWEST = 0, 1, 2
"""Positions in ``flags``."""


@kernel("void(float64[:, ::1], float64[:, ::1], int64[:, ::1])")
def hottest(load: Floats, unit: Floats, top: Ints) -> None:
    """Fill ``top``, int64[K, 3], with the three busiest ranks of every row; -1 for none."""
    n_rows, n_ranks = load.shape
    for k in range(n_rows):
        for place in range(3):
            best = -1
            for g in range(n_ranks):
                if (place > 0 and top[k, 0] == g) or (place > 1 and top[k, 1] == g):
                    continue
                if best < 0 or load[k, g] * unit[k, g] > load[k, best] * unit[k, best]:
                    best = g
            top[k, place] = best


@kernel("float64(float64[:, ::1], float64[:, ::1], float64[:, ::1], boolean[::1])")
def combine(now: Floats, base: Floats, after: Floats, flags: NDArray[np.bool_]) -> float:
    """Return the objective: ``base`` of the other layers, this one and what it does to the next.

    Parameters
    ----------
    now : float64[P, 3]
    base : float64[P, 1]
    after : float64[P, 1]
        Work of the next layer.
    flags : bool[3]
    """
    total, slowest = 0.0, -np.inf
    for p in range(len(now)):
        if flags[OVERLAP]:
            own = max(now[p, WORK], now[p, IN]) + max(after[p, 0], now[p, OUT])
        else:
            own = now[p, WORK] + now[p, IN] + after[p, 0] + now[p, OUT]
        total += own + base[p, 0]
        slowest = max(slowest, own + base[p, 0])
    return slowest if flags[SLOWEST] else total


@kernel(
    "float64(float64[:, ::1], float64[:, ::1], int64[::1], float64[:, ::1], int64[:, ::1],"
    "float64[:, ::1], float64[:, ::1], int64, int64, int64, int64)"
)
def swapped_work(
    weight: Floats,
    unit: Floats,
    profile: Ints,
    load: Floats,
    top: Ints,
    limit: Floats,
    trial: Floats,
    e: int,
    f: int,
    g: int,
    h: int,
) -> float:
    """Fill ``trial[:, WORK]`` for a swap of e on g with f on h; -1 where it breaks a limit."""
    trial[:, WORK] = 0.0
    for k in range(len(load)):
        change = weight[k, f] - weight[k, e]
        on_g = (load[k, g] + change) * unit[k, g]
        on_h = (load[k, h] - change) * unit[k, h]
        before = max(load[k, g] * unit[k, g] - limit[k, g], load[k, h] * unit[k, h] - limit[k, h])
        if max(on_g - limit[k, g], on_h - limit[k, h]) > max(before, 0.0):
            return -1.0
        most = max(on_g, on_h)
        for place in range(3):
            r = top[k, place]
            if r >= 0 and r != g and r != h:
                most = max(most, load[k, r] * unit[k, r])
                break
        trial[profile[k], WORK] = max(trial[profile[k], WORK], most)
    return 0.0


@kernel(
    "void(float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1],"
    "float64[:, :, ::1], float64[:, :, ::1], float64[:, ::1], int64, int64, int64, int64)"
)
def swapped_busiest(
    price_in: Floats,
    price_out: Floats,
    mass_in: Floats,
    mass_out: Floats,
    pair: Floats,
    side: Floats,
    trial: Floats,
    e: int,
    f: int,
    g: int,
    h: int,
) -> None:
    """Fill transfers of ``trial`` with those of the busiest rank after a swap."""
    for p in range(len(trial)):
        into = max(
            side[1, p, g] + price_in[p, f, g] - price_in[p, e, g],
            side[1, p, h] + price_in[p, e, h] - price_in[p, f, h],
        )
        out = max(
            side[2, p, g] + price_out[p, f, g] - price_out[p, e, g],
            side[2, p, h] + price_out[p, e, h] - price_out[p, f, h],
        )
        for r in range(pair.shape[1]):
            moved = mass_in[p, r, e] - mass_in[p, r, f]
            into = max(into, side[0, p, r] + moved * (pair[p, r, h] - pair[p, r, g]))
            moved = mass_out[p, r, e] - mass_out[p, r, f]
            out = max(out, side[3, p, r] + moved * (pair[p, h, r] - pair[p, g, r]))
            if r != g and r != h:
                into = max(into, side[1, p, r])
                out = max(out, side[2, p, r])
        trial[p, IN] = into
        trial[p, OUT] = out


@kernel(
    "void(int64[::1], float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1],"
    "float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1], float64[:, ::1], boolean[::1])"
)
def transfers(
    rank: Ints,
    price_in: Floats,
    price_out: Floats,
    mass_in: Floats,
    mass_out: Floats,
    pair: Floats,
    side: Floats,
    now: Floats,
    flags: NDArray[np.bool_],
) -> None:
    """Fill ``side`` and the transfers of ``now`` from scratch."""
    side[:] = 0.0
    now[:, IN:] = 0.0
    for p in range(len(now)):
        for e in range(len(rank)):
            g = rank[e]
            side[1, p, g] += price_in[p, e, g]
            side[2, p, g] += price_out[p, e, g]
            for r in range(pair.shape[1]):
                side[0, p, r] += mass_in[p, r, e] * pair[p, r, g]
                side[3, p, r] += mass_out[p, r, e] * pair[p, g, r]
        for r in range(pair.shape[1]):
            if flags[BUSIEST]:
                now[p, IN] = max(now[p, IN], max(side[0, p, r], side[1, p, r]))
                now[p, OUT] = max(now[p, OUT], max(side[2, p, r], side[3, p, r]))
            else:
                now[p, IN] += side[1, p, r]
                now[p, OUT] += side[2, p, r]


@kernel(
    "void(int64[::1], float64[:, ::1], float64[:, ::1], int64[::1], float64[:, ::1],"
    "float64[:, ::1])"
)
def works(
    rank: Ints, weight: Floats, unit: Floats, profile: Ints, load: Floats, now: Floats
) -> None:
    """Fill ``load`` and the work of ``now`` from scratch."""
    load[:] = 0.0
    now[:, WORK] = 0.0
    for k in range(len(load)):
        for e in range(len(rank)):
            load[k, rank[e]] += weight[k, e]
        for g in range(load.shape[1]):
            p = profile[k]
            now[p, WORK] = max(now[p, WORK], load[k, g] * unit[k, g])


@kernel(
    "int64(int64[::1], int64[::1], boolean[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1],"
    "float64[:, ::1], float64[:, :, ::1], float64[:, :, ::1], float64[:, :, ::1],"
    "float64[:, :, ::1], float64[:, :, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1],"
    "boolean[::1], int64)"
)
def descend(
    rank: Ints,
    order: Ints,
    allowed: NDArray[np.bool_],
    weight: Floats,
    unit: Floats,
    profile: Ints,
    limit: Floats,
    price_in: Floats,
    price_out: Floats,
    mass_in: Floats,
    mass_out: Floats,
    pair: Floats,
    base: Floats,
    after: Floats,
    now: Floats,
    flags: NDArray[np.bool_],
    rounds: int,
) -> int:
    """Swap experts of one layer as long as the objective falls by more than half a tick.

    Parameters
    ----------
    rank : int64[E]
        Changed in place.
    order : int64[E]
        In which experts are looked at.
    allowed : bool[E, H]
    weight, unit, limit : float64[K, E], float64[K, H], float64[K, H]
        Of rows of work: load of an expert, ticks per load, most ticks of a rank.
    profile : int64[K]
    price_in, price_out : float64[P, E, H]
        Ticks of transfers to and from the neighbours, by where an expert sits.
    mass_in, mass_out : float64[P, H, E]
        Tokens by the rank they come from and go to.
    pair : float64[P, H, H]
    base, after : float64[P, 1]
        As in `combine`.
    now : float64[P, 3]
        Filled.
    flags : bool[3]
    rounds : int
        Most passes over all pairs.

    Returns
    -------
    int
        Swaps made.
    """
    n_rows, n_ranks, n_profiles = len(weight), unit.shape[1], len(now)
    load, top = np.empty((n_rows, n_ranks)), np.empty((n_rows, 3), np.int64)
    side, trial = np.empty((4, n_profiles, n_ranks)), np.empty((n_profiles, 3))
    works(rank, weight, unit, profile, load, now)
    transfers(rank, price_in, price_out, mass_in, mass_out, pair, side, now, flags)
    hottest(load, unit, top)
    best = combine(now, base, after, flags)
    swaps = 0
    for _ in range(rounds):
        before = swaps
        for a in range(len(rank)):
            e = order[a]
            for b in range(a + 1, len(rank)):
                f = order[b]
                g, h = rank[e], rank[f]
                if g == h or not allowed[e, h] or not allowed[f, g]:
                    continue
                if not flags[BUSIEST]:
                    useful = False
                    for p in range(n_profiles):
                        into = price_in[p, e, h] - price_in[p, e, g]
                        into += price_in[p, f, g] - price_in[p, f, h]
                        out = price_out[p, e, h] - price_out[p, e, g]
                        out += price_out[p, f, g] - price_out[p, f, h]
                        trial[p, IN] = now[p, IN] + into
                        trial[p, OUT] = now[p, OUT] + out
                        useful = useful or into < 0 or out < 0
                    for k in range(n_rows):
                        useful = useful or top[k, 0] == g or top[k, 0] == h
                    if not useful:
                        continue
                if swapped_work(weight, unit, profile, load, top, limit, trial, e, f, g, h) < 0:
                    continue
                if flags[BUSIEST]:
                    swapped_busiest(
                        price_in, price_out, mass_in, mass_out, pair, side, trial, e, f, g, h
                    )
                found = combine(trial, base, after, flags)
                if found >= best - 0.5:
                    continue
                rank[e], rank[f] = h, g
                works(rank, weight, unit, profile, load, now)
                hottest(load, unit, top)
                if flags[BUSIEST]:
                    transfers(rank, price_in, price_out, mass_in, mass_out, pair, side, now, flags)
                else:
                    for p in range(n_profiles):
                        now[p, IN], now[p, OUT] = trial[p, IN], trial[p, OUT]
                best = combine(now, base, after, flags)
                swaps += 1
        if swaps == before:
            break
    return swaps
