"""Replay a plan of groups by the rules alone. Shares nothing with what computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.graph.operators import BoolArray, IntArray
from mapc.models.base import Verdict
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem

MAX_LINES = 20
"""Violations of one kind that are spelled out; the rest is counted."""


def verify(problem: SequenceProblem, plan: SequencePlan) -> Verdict:
    """Recompute rules, step time and figures from problem and plan.

    Times are counted in the problem's ticks, so that equal plans take equal times whatever order
    they are added in.

    Returns
    -------
    Verdict
        The objective is the step time in ms; None where a plan is too broken to be replayed (no
        whole numbers, wrong shapes, unknown modes, sequences in no group or an unknown one).
        Facts:

        ``step_ms``
            The objective.
        ``micro_batches``, ``groups`` : int
        ``micro_batch_ms`` : list of float
            Of each micro-batch in turn.
        ``degrees`` : dict
            Groups of each degree that is used, by increasing degree.
        ``tokens``, ``padded_tokens`` : int
        ``padding_share``
            Padding / padded tokens.
        ``idle_rank_share``
            Time that ranks have no group or wait for a slower one / (step time * ranks).
        ``memory_share``
            Tokens / most tokens, of the group that comes closest to its limit.
    """
    columns, broken = _read(problem, plan)
    if columns is None:
        return Verdict(tuple(broken), None, {})
    seen = _replay(problem, columns)
    violations = (
        _counts(problem, seen)
        + _empty(seen)
        + _memory(problem, seen)
        + _sums(problem, seen)
        + _ranges(problem, seen)
        + _overlaps(problem, seen)
    )
    facts = _facts(problem, seen)
    return Verdict(tuple(violations), facts["step_ms"], facts)


# -- what is in the plan ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Columns:
    """A plan whose modes and groups exist."""

    micro_batch: IntArray
    mode: IntArray
    first_rank: IntArray
    group: IntArray


def _read(problem: SequenceProblem, plan: Any) -> tuple[_Columns | None, list[str]]:
    """Return the columns of a plan, or what keeps it from being replayed."""
    found = {name: _whole(getattr(plan, name, None)) for name in _Columns.__annotations__}
    lines = [f"{name}: no row of whole numbers" for name, row in found.items() if row is None]
    columns = {name: row for name, row in found.items() if row is not None}
    if lines:
        return None, lines
    groups = len(columns["mode"])
    right = dict.fromkeys(columns, groups) | {"group": problem.n_sequences}
    lines = [
        f"{name}: {len(row)} entries; expected {right[name]}"
        for name, row in columns.items()
        if len(row) != right[name]
    ]
    if lines:
        return None, lines
    read = _Columns(**columns)
    mode, group = read.mode, read.group
    lines = _lines(
        (mode < 0) | (mode >= problem.n_modes),
        lambda g: f"group {g}: unknown mode {mode[g]}; expected 0 to {problem.n_modes - 1}",
    )
    lines += _lines(
        (group < 0) | (group >= groups),
        lambda k: f"sequence {k}: in no group of the plan, {group[k]} is none of its {groups}",
    )
    return (None if lines else read), lines


def _whole(values: Any) -> IntArray | None:
    """Return values as a row of int64, or None where they are none."""
    try:
        array = np.asarray(values)
    except Exception:  # an array-like may raise anything
        return None
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        return None
    row = array.astype(np.int64)
    return row if np.array_equal(row, array) else None


# -- what happens ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Replay:
    """Columns of groups unless said otherwise."""

    number: IntArray
    """[n_micro_batches]: the numbers in the plan, increasing."""
    batch: IntArray
    """Index into them."""
    mode: IntArray
    degree: IntArray
    first: IntArray
    members: IntArray
    tokens: IntArray
    ticks: IntArray
    slowest: IntArray
    """[n_micro_batches]: ticks."""


def _replay(problem: SequenceProblem, plan: _Columns) -> _Replay:
    cost, groups = problem.cost, len(plan.mode)
    padded = -(-problem.lengths // problem.padding) * problem.padding
    s, mode = padded.astype(np.float64), plan.mode[plan.group]
    time = cost.quadratic[mode] * (s * s) + cost.linear[mode] * s
    ticks = np.rint(cost.fixed[plan.mode] / problem.tick).astype(np.int64)
    np.add.at(ticks, plan.group, np.rint(time / problem.tick).astype(np.int64))
    tokens = np.zeros(groups, dtype=np.int64)
    np.add.at(tokens, plan.group, padded)
    number, batch = np.unique(plan.micro_batch, return_inverse=True)
    slowest = np.zeros(len(number), dtype=np.int64)
    np.maximum.at(slowest, batch, ticks)
    return _Replay(
        number=number,
        batch=batch.astype(np.int64),
        mode=plan.mode,
        degree=cost.degree[plan.mode],
        first=plan.first_rank,
        members=np.bincount(plan.group, minlength=groups).astype(np.int64),
        tokens=tokens,
        ticks=ticks,
        slowest=slowest,
    )


def _facts(problem: SequenceProblem, seen: _Replay) -> dict[str, Any]:
    # Python's integers: groups without end of a broken plan overflow no sum
    step = sum(seen.slowest.tolist())
    busy = sum(d * t for d, t in zip(seen.degree.tolist(), seen.ticks.tolist(), strict=True))
    paid = step * problem.n_ranks
    tokens, padded = int(problem.lengths.sum()), int(seen.tokens.sum())
    degree, count = np.unique(seen.degree, return_counts=True)
    return {
        "step_ms": float(step * problem.tick),
        "micro_batches": len(seen.number),
        "groups": len(seen.mode),
        "micro_batch_ms": (seen.slowest * problem.tick).tolist(),
        "degrees": dict(zip(degree.tolist(), count.tolist(), strict=True)),
        "tokens": tokens,
        "padded_tokens": padded,
        "padding_share": (padded - tokens) / padded,
        "idle_rank_share": (paid - busy) / paid if paid else 0.0,
        "memory_share": float((seen.tokens / problem.cost.tokens[seen.mode]).max()),
    }


# -- rules -----------------------------------------------------------------------------------------


def _counts(problem: SequenceProblem, seen: _Replay) -> list[str]:
    """Micro-batches are numbered 0, 1, ..., and as many as allowed."""
    n = len(seen.number)
    lines = []
    if not np.array_equal(seen.number, np.arange(n)):
        at = int((seen.number != np.arange(n)).argmax())
        lines.append(
            f"micro-batch {seen.number[at]}: comes where {at} should; expected 0 to {n - 1}, "
            "without gaps"
        )
    most = problem.n_sequences if problem.most is None else problem.most
    if not problem.least <= n <= most:
        lines.append(f"{n} micro-batches; expected {problem.least} to {most}")
    return lines


def _empty(seen: _Replay) -> list[str]:
    return _lines(seen.members == 0, lambda g: f"group {g}: has no sequence")


def _memory(problem: SequenceProblem, seen: _Replay) -> list[str]:
    limit = problem.cost.tokens[seen.mode]
    return _lines(
        seen.tokens > limit,
        lambda g: (
            f"group {g}: {seen.tokens[g]} padded tokens, above the {limit[g]} that fit the memory "
            f"of {seen.degree[g]} ranks"
        ),
    )


def _sums(problem: SequenceProblem, seen: _Replay) -> list[str]:
    ranks = np.zeros(len(seen.number), dtype=np.int64)
    np.add.at(ranks, seen.batch, seen.degree)
    return _lines(
        ranks > problem.n_ranks,
        lambda b: (
            f"micro-batch {seen.number[b]}: groups of {ranks[b]} ranks together, above "
            f"{problem.n_ranks}"
        ),
    )


def _ranges(problem: SequenceProblem, seen: _Replay) -> list[str]:
    """Ranges lie in the cluster, start at a multiple of their degree and keep to their node."""
    first, degree, node = seen.first, seen.degree, problem.node_ranks
    outside = (first < 0) | (first > problem.n_ranks - degree)
    astray = ~outside & (degree <= node) & (first // node != (first + degree - 1) // node)
    return (
        _lines(
            outside,
            lambda g: (
                f"group {g}: ranks from {first[g]} on, {degree[g]} of them, leave the cluster; "
                f"expected 0 to {problem.n_ranks - 1}"
            ),
        )
        + _lines(
            ~outside & (first % degree != 0),
            lambda g: f"group {g}: starts at rank {first[g]}, no multiple of its {degree[g]} ranks",
        )
        + _lines(
            astray,
            lambda g: (
                f"group {g}: ranks {first[g]} to {first[g] + degree[g] - 1} straddle nodes of "
                f"{node}, though it fits in one"
            ),
        )
    )


def _overlaps(problem: SequenceProblem, seen: _Replay) -> list[str]:
    """Compare every range of a micro-batch with the one before it that reaches furthest."""
    inside = (seen.first >= 0) & (seen.first <= problem.n_ranks - seen.degree)
    groups = np.flatnonzero(inside)
    # micro-batches side by side: ranges inside the cluster cannot meet those of another one
    start = seen.batch[groups] * problem.n_ranks + seen.first[groups]
    order = np.argsort(start, kind="stable")
    groups, start = groups[order], start[order]
    stop = start + seen.degree[groups]
    reach = np.maximum.accumulate(stop)
    furthest = np.maximum.accumulate(np.where(stop == reach, np.arange(len(stop)), 0))
    return _lines(
        start[1:] < reach[:-1],
        lambda i: (
            f"groups {groups[furthest[i]]} and {groups[i + 1]} of micro-batch "
            f"{seen.number[seen.batch[groups[i + 1]]]}: both have rank {seen.first[groups[i + 1]]}"
        ),
    )


def _lines(wrong: BoolArray, say: Callable[[int], str]) -> list[str]:
    more = int(wrong.sum()) - MAX_LINES
    return [say(int(at)) for at in np.flatnonzero(wrong)[:MAX_LINES]] + (
        [f"and {more} more"] if more > 0 else []
    )
