"""Lower bounds on the work of a layer, whatever the placement.

Throughout: H live ranks of C slots, S = H * C, E experts; rank g takes a_g ticks per token; w_e are
the tokens of an expert, r_e its replicas. A table puts C different experts on every rank and every
expert somewhere. Pins, forbidden pairs, a budget of moves and a load limit leave fewer tables, so
that bounds stay bounds.

Replicas share the tokens of their expert. Equal dispatch gives each of them w_e / r_e. Of the other
rules only the sum is used: the shares of an expert add up to w_e.

Activated experts make rows of the same kind: what `activation_bounds.least_active` says of each is
shared by its replicas, or more than shared, which makes loads larger only.
"""

from __future__ import annotations

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Search
from mapc.models.placement.problem import EQUAL, WORST, FloatArray, PlacementProblem
from mapc.models.placement.work.activation_bounds import least_active, least_extra
from mapc.models.placement.work.joint_bounds import joint_extra

Numbers = IntArray | FloatArray
SOURCE = "floor"
BISECTIONS = 50
EPSILON = float(np.finfo(np.float64).eps)


def run(problem: PlacementProblem, search: Search) -> None:
    """Prove that no step takes less than its layers' fixed parts and least work."""
    work = layer_bounds(problem)
    step = (problem.layer_ticks[:, None] + work).sum(axis=1)
    ticks = float(step.max() if problem.cost.profiles == WORST else step.sum())
    search.prove(ticks * problem.tick, SOURCE)
    extra = 0.0 if search.done() else joint_extra(problem, work, search.done)
    if extra > 0:
        search.prove((ticks + extra) * problem.tick, SOURCE)


def layer_bounds(problem: PlacementProblem) -> FloatArray:
    """Return whole ticks that the busiest rank works at least, float64[P, L].

    The largest of the bounds below that hold for the problem, for its tokens and for its activated
    experts. Where every expert has one slot, tokens are counted in whole numbers throughout and the
    result is exact; elsewhere it is rounded as `verify` rounds work, after taking off what
    floating-point sums may be wrong by.
    """
    found = np.zeros(problem.counts.shape[:2])
    for p in range(problem.n_profiles):
        if problem.cost.token:
            slow = problem.token_ticks[p, problem.live].astype(np.int64)
            found[p] = _rows(problem, problem.counts[p], slow)
        if problem.cost.expert:
            ticks = problem.expert_ticks[p, problem.live]
            active = least_active(problem)[p]
            found[p] = np.maximum(found[p], _rows(problem, active, ticks))
            if problem.dispatch == EQUAL and problem.n_slots > problem.n_experts:
                mean = mean_bound(active.sum(axis=1) + least_extra(problem, p), ticks)
                found[p] = np.maximum(found[p], _whole(problem, mean))
    return found


def _rows(problem: PlacementProblem, work: Numbers, slow: Numbers) -> FloatArray:
    """Return the best bound for each row of work, float64[L], in whole ticks."""
    ranks, slots = len(problem.live), problem.slots
    if slow.min() <= 0:
        return np.zeros(len(work))
    if problem.n_slots == problem.n_experts:
        found = hot_bound(work, slow, slots)
        if work.dtype.kind == "i":  # loads are whole: so is what a rank can take in a time
            return np.maximum(found, whole_mean_bound(work.sum(axis=1), slow))
        return _whole(problem, np.maximum(found, mean_bound(work.sum(axis=1), slow)))
    load = work.astype(np.float64)
    if problem.dispatch == EQUAL:
        return _whole(problem, row_bounds(load, slow.astype(np.float64), slots))
    share = slow.min() * share_bound(load, ranks, problem.n_slots)
    return _whole(problem, np.maximum(mean_bound(load.sum(axis=1), slow), share))


def row_bounds(work: FloatArray, slow: FloatArray, slots: int) -> FloatArray:
    """Return times that some rank needs at least where replicas share equally, not rounded.

    Parameters
    ----------
    work : float64[n, E]
    slow : float64[H]
        Time per unit of work, > 0.
    slots : int
        C.

    Returns
    -------
    float64[n]
    """
    ranks = len(slow)
    found = mean_bound(work.sum(axis=1), slow)
    if ranks * slots == work.shape[1]:
        return np.maximum(found, hot_bound(work, slow, slots))
    fastest = slow.min()
    return np.asarray(
        np.maximum(found, fastest * companion_bound(work, ranks, slots, found / fastest))
    )


def _whole(problem: PlacementProblem, bound: FloatArray) -> FloatArray:
    """Round ticks as a sum over the slots of a rank is rounded that is no less than ``bound``."""
    margin = (problem.slots + problem.n_experts + problem.n_ranks + 32) * EPSILON
    return np.asarray(np.rint(bound * (1 - margin)))


def mean_bound(total: Numbers, slow: Numbers) -> FloatArray:
    """Return the time that ranks need for a total, shared in proportion to their speeds.

    Proof: in time M rank g does M / a_g, all together M * sum(1 / a_g), and all has to be done.
    Holds for every dispatch rule.

    Parameters
    ----------
    total : float64[n]
    slow : float64[H]
        Time per unit of work, > 0.
    """
    return np.asarray(total / (1.0 / slow).sum())


def whole_mean_bound(total: Numbers, slow: Numbers) -> FloatArray:
    """Return the least whole M with ``sum(M // a_g) >= total``, float64[n].

    Proof: as for `mean_bound`; a rank whose load is whole does at most ``M // a_g`` in time M. For
    one slot per expert.
    """
    low = np.asarray(total * (mean_bound(np.ones(1), slow)[0] * (1 - 1e-9)), dtype=np.int64)
    high = low + int(slow.max()) + np.asarray(2e-9 * low, dtype=np.int64) + 1
    while (high - low > 0).any():
        middle = (low + high) // 2
        enough = (middle[:, None] // slow).sum(axis=1) >= total
        high = np.where(enough, middle, high)
        low = np.where(enough, low, middle + 1)
    return high.astype(np.float64)


def hot_bound(work: Numbers, slow: Numbers, slots: int) -> FloatArray:
    """Return a time that some rank needs because hot experts need ranks; one slot per expert.

    For the j hottest experts and any t: either some rank holds more than t of them. Then it works
    for the t + 1 coldest of the j and for C - t - 1 others, which weigh at least as much as the
    coldest of all. Or no rank holds more than t. Then the ranks that hold any of them are m, with
    ``j / t <= m <= min(j, H)``; together they hold the j and m * C - j others, so the slowest of
    the m works at least as long as the m fastest ranks would for these and for the coldest others.
    The smaller of both times, the second for the best m, is a bound, and the largest over j and t
    the best of them. j = t = 1 is the hottest expert with the coldest companions; j = E the mean.

    And, for ranks of different speeds: the m slowest ranks hold m * C experts, no less than the
    coldest, for every m.

    Holds for every dispatch rule, as long as every expert has one slot.

    Parameters
    ----------
    work : int64 or float64[n, E]
        Whole numbers give exact results where all ranks are equally fast.
    slow : int64 or float64[H]
        Time per unit of work, > 0.
    slots : int
        C, with H * C = E.

    Returns
    -------
    float64[n]
        Whole for whole numbers.
    """
    n_rows, n_experts = work.shape
    zero = np.zeros((n_rows, 1), dtype=work.dtype)
    rising = np.sort(work, axis=1)
    hot = np.hstack([zero, np.cumsum(rising[:, ::-1], axis=1)])
    cold = np.hstack([zero, np.cumsum(rising, axis=1)])
    m = np.arange(1, len(slow) + 1)
    slowest = np.cumsum(1.0 / np.sort(slow)[::-1])
    found: FloatArray = (cold[:, m * slots] / slowest).max(axis=1)
    if work.dtype.kind == slow.dtype.kind == "i":
        found = _up(found, n_experts)
    for j in range(1, n_experts + 1):
        together = _ranks_of(hot[:, j], cold, j, slow, slots)
        t = np.arange(1, min(slots, j) + 1)
        apart = together[:, -(-j // t) - 1]
        crowded = np.full((n_rows, len(t)), np.inf)
        some = t[t < min(slots, j)]
        crowded[:, : len(some)] = slow.min() * (
            hot[:, [j]] - hot[:, j - some - 1] + cold[:, slots - some - 1]
        )
        found = np.maximum(found, np.minimum(apart, crowded).max(axis=1))
    return found


def _ranks_of(
    hot: Numbers,
    cold: Numbers,
    j: int,
    slow: Numbers,
    slots: int,
) -> FloatArray:
    """float64[n, j]: times if m or more ranks hold the j hottest, m = 1, 2, ... j."""
    n_rows, n_experts = len(cold), cold.shape[1] - 1
    m = np.arange(max(1, -(-j // slots)), min(j, len(slow)) + 1)
    total = hot[:, None] + cold[:, m * slots - j]
    if work_is_whole := total.dtype.kind == "i" and slow.dtype.kind == "i":
        total = -(-total // m) if slow.min() == slow.max() else total
    if work_is_whole and slow.min() == slow.max():
        least = (total * slow[0]).astype(np.float64)
    else:
        speed = np.cumsum(1.0 / np.sort(slow))[m - 1]
        least = total / speed
        if work_is_whole:
            least = _up(least, n_experts)
    times = np.full((n_rows, j), np.inf)
    times[:, m - 1] = least
    return np.asarray(np.minimum.accumulate(times[:, ::-1], axis=1)[:, ::-1])


def _up(bound: FloatArray, n_experts: int) -> FloatArray:
    """Round up what is a bound on whole loads times whole ticks, but for errors of floats."""
    return np.asarray(np.ceil(bound * (1 - (n_experts + 8) * EPSILON)))


def share_bound(work: FloatArray, ranks: int, total_slots: int) -> FloatArray:
    """Return what some replica of some expert weighs at least, float64[n].

    Proof: if every replica weighs at most M, expert e has at least w_e / M of them, and one; but
    no more than H, nor than S - E + 1, for others need a slot each. To get from one replica each
    to none above M, every number w_e / k > M has to be passed, k = 1, 2, ...; there are S - E
    replicas to pass them with. Holds for every dispatch rule.

    Parameters
    ----------
    work : float64[n, E]
    ranks, total_slots : int
        H and S.
    """
    spare = total_slots - work.shape[1]
    most = min(ranks, spare + 1)
    found = work.max(axis=1) / most
    shares = (work[:, :, None] / np.arange(1, most)).reshape(len(work), -1)
    if shares.shape[1] > spare:
        found = np.maximum(found, np.partition(shares, -spare - 1, axis=1)[:, -spare - 1])
    return np.asarray(found)


def companion_bound(
    work: FloatArray, ranks: int, slots: int, start: FloatArray | None = None
) -> FloatArray:
    """Return a load that some rank has at least where replicas share equally, float64[n].

    Proof: let every load be at most M, and let c be a number such that any C - 1 different experts
    on a rank weigh at least c; c = 0 is one. Then each replica weighs at most M - c, so r_e is at
    least ``need_e = max(1, ceil(w_e / (M - c)))``; that is impossible where it is above
    ``most = min(H, S - E + 1)`` or these sum to more than S. As all replicas sum to S, none has
    more than ``min(most, need_e + S - sum(need))``. The C - 1 smallest quotients of w_e by that
    many are a c as well; when c no longer grows, M is not refuted. Bisection returns an M that is.

    Parameters
    ----------
    work : float64[n, E]
    ranks, slots : int
        H and C.
    start : float64[n], optional
        Loads below which nothing has to be refuted.
    """
    low: FloatArray = work.sum(axis=1) / ranks
    if start is not None:
        low = np.maximum(low, start)
    open_ = np.flatnonzero(~_may_hold(work, low, ranks, slots))
    if not len(open_):
        return low
    work = work[open_]
    refuted, high = low[open_], work.sum(axis=1)  # everything on one rank refutes nothing
    for _ in range(BISECTIONS):
        middle = (refuted + high) / 2
        held = _may_hold(work, middle, ranks, slots)
        high, refuted = np.where(held, middle, high), np.where(held, refuted, middle)
    low[open_] = refuted
    return low


def _may_hold(work: FloatArray, load: FloatArray, ranks: int, slots: int) -> BoolArray:
    """bool[n]: whether `companion_bound` fails to refute a load."""
    n_rows, n_experts = work.shape
    total = ranks * slots
    most = min(ranks, total - n_experts + 1)
    cold, held = np.zeros(n_rows), np.ones(n_rows, dtype=np.bool_)
    growing = np.flatnonzero(held)
    while len(growing):
        rows = work[growing]
        room = load[growing] - cold[growing]
        # a little too much room refutes less, never more
        with np.errstate(divide="ignore", invalid="ignore"):
            need = np.ceil(rows / room[:, None] - 1e-9)
        need = np.where(rows > 0, np.maximum(need, 1.0), 1.0)
        broken = (room < 0) | (need > most).any(axis=1) | (need.sum(axis=1) > total)
        held[growing[broken]] = False
        growing, rows, need = growing[~broken], rows[~broken], need[~broken]
        if slots == 1:
            break
        spare = total - need.sum(axis=1, keepdims=True)
        share = rows / np.minimum(most, need + spare)
        now = np.partition(share, slots - 2, axis=1)[:, : slots - 1].sum(axis=1)
        more = now > cold[growing] * (1 + 1e-9)
        growing, now = growing[more], now[more]
        cold[growing] = now
    return held
