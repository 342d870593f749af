"""The cheapest ranks for every expert by itself: a relaxation that bounds what budgets can do."""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.kernels import kernel
from mapc.models.placement.problem import FloatArray

_I1 = "int64[::1]"
_F1, _F2, _F3 = "float64[::1]", "float64[:, ::1]", "float64[:, :, ::1]"
_B2 = "boolean[:, ::1]"


@kernel(
    f"float64({_F3}, {_F2}, {_F1}, float64, {_B2}, {_B2}, {_B2}, {_I1}, {_F2}, {_I1})",
)
def relax(
    item: FloatArray,
    price: FloatArray,
    rent: FloatArray,
    fee: float,
    pinned: BoolArray,
    allowed: BoolArray,
    old: BoolArray,
    used: IntArray,
    load: FloatArray,
    new: IntArray,
) -> float:
    """Place every expert by itself at least cost, with prices on load, slots and new pairs.

    An expert with r replicas on the ranks R costs the sum over R of ``item[e, r - 1] @ price[h] +
    rent[h]``, and ``fee`` for every new pair. For each r the cheapest R are the pinned ranks and
    the r cheapest others. No r whose rents and fees alone cost more than what is found is tried.

    Parameters
    ----------
    item : float64[E, most, K]
    price : float64[H, K]
        >= 0.
    rent : float64[H]
    fee : float
        >= 0.
    pinned, allowed, old : bool[E, H]
    used : int64[H]
        Output: experts on every rank.
    load : float64[H, K]
        Output: sums of their items.
    new : int64[1]
        Output: new pairs.

    Returns
    -------
    float
        The sum of the least costs; inf if an expert fits nowhere.
    """
    n_experts, n_ranks, n_rows = item.shape[0], len(rent), item.shape[2]
    used[:] = 0
    load[:] = 0.0
    new[0] = 0
    total = 0.0
    cost, flat = np.empty(n_ranks), np.empty(n_ranks)
    rest = np.empty(n_ranks + 2)
    chosen, ranks = np.empty(n_ranks, dtype=np.int64), np.empty(n_ranks, dtype=np.int64)
    order = np.empty(n_ranks, dtype=np.int64)
    for e in range(n_experts):
        n, forced, always = 0, 0, 0.0
        for h in range(n_ranks):
            base = rent[h] + (0.0 if old[e, h] else fee)
            if pinned[e, h]:
                forced += 1
                always += base
                ranks[n_ranks - forced] = h
            elif allowed[e, h]:
                flat[n] = base
                ranks[n] = h
                n += 1
        most = min(n + forced, item.shape[1])
        ordered = np.sort(flat[:n])
        # rest[r]: least sum of rents and fees with r or more replicas
        sums = always
        for r in range(forced, most + 1):
            rest[r] = sums
            if r - forced < n:
                sums += ordered[r - forced]
        for r in range(most - 1, forced - 1, -1):
            rest[r] = min(rest[r], rest[r + 1])
        best, copies = np.inf, 0
        for r in range(max(forced, 1), most + 1):
            if rest[r] >= best:
                break
            value, kept = always, 0
            for t in range(n + forced):
                h = ranks[t] if t < n else ranks[n_ranks - 1 - (t - n)]
                work = 0.0
                for k in range(n_rows):
                    work += item[e, r - 1, k] * price[h, k]
                if t >= n:
                    value += work
                    continue
                work += flat[t]
                if kept == r - forced and (kept == 0 or work >= cost[kept - 1]):
                    continue
                kept = min(kept + 1, r - forced)
                j = kept - 1  # the cheapest so far, in order
                while j > 0 and cost[j - 1] > work:
                    cost[j], order[j] = cost[j - 1], order[j - 1]
                    j -= 1
                cost[j], order[j] = work, t
            for t in range(kept):
                value += cost[t]
            if value < best:
                best, copies = value, r
                for t in range(kept):
                    chosen[t] = order[t]
        total += best
        for t in range(copies):
            h = ranks[chosen[t]] if t < copies - forced else ranks[n_ranks - 1 - (copies - 1 - t)]
            used[h] += 1
            if not old[e, h]:
                new[0] += 1
            for k in range(n_rows):
                load[h, k] += item[e, copies - 1, k]
    return total
