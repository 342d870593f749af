"""Small sequence problems, and the best plan of each by complete enumeration.

The enumeration reads only the fields of `SequenceProblem`, counts ticks in Python's integers and
shares nothing with the methods. A step is the sum of its micro-batches, so it finds the best groups
of every subset of the sequences first, then the best partition into subsets: some thousand choices
for five or six sequences on four ranks. `every_plan` walks all plans one by one instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import RING, ULYSSES, GroupCost, SequenceProblem
from mapc.models.sequence.verify import verify

# -- problems --------------------------------------------------------------------------------------

Mode = tuple[int, str, float, float, float, int]
"""Degree, kind, quadratic, linear, fixed, tokens."""


def problem_of(
    lengths: Sequence[int],
    modes: Sequence[Mode] = (
        (1, ULYSSES, 0.25, 1.0, 4.0, 8),
        (2, ULYSSES, 0.125, 0.75, 4.0, 16),
        (4, ULYSSES, 0.0625, 0.5, 4.0, 32),
    ),
    *,
    n_ranks: int = 4,
    node_ranks: int | None = None,
    **fields: Any,
) -> SequenceProblem:
    """Problem of plain rows; a node is the whole cluster unless said otherwise."""
    degree, kind, quadratic, linear, fixed, tokens = zip(*modes, strict=True)
    return SequenceProblem(
        name="case",
        lengths=np.array(lengths, dtype=np.int64),
        n_ranks=n_ranks,
        node_ranks=node_ranks or n_ranks,
        cost=GroupCost(
            np.array(degree, dtype=np.int64),
            tuple(kind),
            np.array(quadratic, dtype=np.float64),
            np.array(linear, dtype=np.float64),
            np.array(fixed, dtype=np.float64),
            np.array(tokens, dtype=np.int64),
        ),
        **fields,
    )


EIGHTHS = st.integers(0, 64).map(lambda eighths: eighths / 8)
"""Few different values, all exact in binary: equal times are frequent."""


@st.composite
def small_sequence_problems(
    draw: st.DrawFn,
    *,
    max_sequences: int = 5,
    max_ranks: int = 4,
    exact: bool | None = None,
    rings: bool = True,
    one_micro_batch: bool = False,
    limits: bool = True,
) -> SequenceProblem:
    """Valid problems with every combination of what may be asked for.

    Some have no plan: few micro-batches may be too few for the memory.

    Keywords
    --------
    exact : bool
        Whether coefficients are eighths; otherwise any floats. None: both.
    rings : bool
        Whether a degree may stand twice with two kinds.
    one_micro_batch : bool
        Exactly one is allowed.
    limits : bool
        Whether numbers of micro-batches may be limited otherwise.
    """
    ranks = draw(st.integers(1, max_ranks))
    powers = [d for d in (1, 2, 4, 8) if d <= ranks]
    kinds = st.sampled_from([(ULYSSES,), (ULYSSES,), (RING,), (ULYSSES, RING)][: 4 if rings else 2])
    degrees = sorted(draw(st.lists(st.sampled_from(powers), min_size=1, unique=True)))
    padding = draw(st.sampled_from((1, 1, 2, 8)))
    per_rank = draw(st.integers(1, 6))
    value = EIGHTHS if draw(st.booleans() if exact is None else st.just(exact)) else FLOATS
    modes: list[Mode] = []
    for degree in degrees:
        for kind in draw(kinds):
            room = padding * degree * per_rank + draw(st.integers(0, padding))
            quadratic, linear, fixed = draw(value), draw(value), draw(value)
            modes.append((degree, kind, quadratic / degree, linear / degree, fixed, room))
    longest = max(mode[-1] for mode in modes) // padding * padding
    lengths = draw(st.lists(st.integers(1, longest), min_size=1, max_size=max_sequences))
    least, most = 1, None
    if one_micro_batch:
        most = 1
    elif limits:
        least = draw(st.sampled_from((1, 1, 1, min(2, len(lengths)))))
        most = draw(st.none() | st.integers(least, len(lengths)))
    nodes = [d for d in (1, 2, 4, 8) if ranks % d == 0] + [ranks]
    return problem_of(
        lengths,
        modes,
        n_ranks=ranks,
        node_ranks=draw(st.sampled_from(nodes)),
        padding=padding,
        least=least,
        most=most,
    )


FLOATS = st.floats(0, 100, allow_subnormal=False).map(lambda x: x if x > 1e-6 else 0.0)

# -- all plans -------------------------------------------------------------------------------------

Groups = list[tuple[int, tuple[int, ...]]]
"""Groups of a micro-batch: mode and sequences."""


@dataclass(frozen=True)
class Best:
    """The least step, in ticks and ms, and a plan that takes it."""

    ticks: int
    step_ms: float
    plan: SequencePlan


def brute_force(problem: SequenceProblem) -> Best | None:
    """Least step time over all plans; None where there is no plan."""
    micro_batch = {
        part: best
        for size in range(1, problem.n_sequences + 1)
        for part in itertools.combinations(range(problem.n_sequences), size)
        if (best := best_micro_batch(problem, part)) is not None
    }
    most = problem.n_sequences if problem.most is None else problem.most
    found: tuple[int, list[tuple[int, ...]]] | None = None
    for parts in partitions(range(problem.n_sequences)):
        if problem.least <= len(parts) <= most and all(part in micro_batch for part in parts):
            ticks = sum(micro_batch[part][0] for part in parts)
            if found is None or ticks < found[0]:
                found = ticks, parts
    if found is None:
        return None
    plan = plan_of(problem, [micro_batch[part][1] for part in found[1]])
    verdict = verify(problem, plan)
    assert verdict.violations == ()
    assert verdict.objective == found[0] * problem.tick
    return Best(found[0], found[0] * problem.tick, plan)


def best_micro_batch(problem: SequenceProblem, part: Sequence[int]) -> tuple[int, Groups] | None:
    """Least ticks of a micro-batch with these sequences, and its groups; None where none fits."""
    choices = groupings(problem, part)
    return min(((ticks_of(problem, groups), groups) for groups in choices), default=None)


def groupings(problem: SequenceProblem, part: Sequence[int]) -> Iterator[Groups]:
    """All groups of one micro-batch with these sequences that fit ranks and memory."""
    degree = problem.cost.degree.tolist()
    for sets in partitions(part):
        if len(sets) * min(degree) > problem.n_ranks:
            continue
        fitting = [
            [j for j in range(len(degree)) if tokens_of(problem, s) <= problem.cost.tokens[j]]
            for s in sets
        ]
        for modes in itertools.product(*fitting):
            if sum(degree[j] for j in modes) <= problem.n_ranks:
                yield list(zip(modes, sets, strict=True))


def ticks_of(problem: SequenceProblem, groups: Groups) -> int:
    """Ticks of the slowest group; every sequence and fixed part is rounded by itself."""
    cost = problem.cost
    times = []
    for j, members in groups:
        ticks = round(float(cost.fixed[j]) / problem.tick)
        for k in members:
            s = float(tokens_of(problem, (k,)))
            time = float(cost.quadratic[j]) * (s * s) + float(cost.linear[j]) * s
            ticks += round(time / problem.tick)
        times.append(ticks)
    return max(times)


def tokens_of(problem: SequenceProblem, members: Sequence[int]) -> int:
    """Padded tokens."""
    pad = problem.padding
    return sum((int(problem.lengths[k]) + pad - 1) // pad * pad for k in members)


def plan_of(problem: SequenceProblem, micro_batches: Sequence[Groups]) -> SequencePlan:
    """Plan with the groups of every micro-batch laid out from rank 0 on, widest first."""
    batch, mode, first = [], [], []
    group = np.full(problem.n_sequences, -1, dtype=np.int64)
    for number, groups in enumerate(micro_batches):
        rank = 0
        for j, members in sorted(groups, key=lambda g: -int(problem.cost.degree[g[0]])):
            group[list(members)] = len(mode)
            batch.append(number)
            mode.append(j)
            first.append(rank)
            rank += int(problem.cost.degree[j])
    columns = (np.array(column, dtype=np.int64) for column in (batch, mode, first))
    return SequencePlan(*columns, group)


def every_plan(problem: SequenceProblem) -> Iterator[SequencePlan]:
    """All plans but for the order of micro-batches and the ranks of equal groups."""
    most = problem.n_sequences if problem.most is None else problem.most
    for parts in partitions(range(problem.n_sequences)):
        if problem.least <= len(parts) <= most:
            for chosen in itertools.product(*(list(groupings(problem, p)) for p in parts)):
                yield plan_of(problem, chosen)


def partitions(items: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
    """All partitions into sets that are not empty; members and sets in increasing order."""
    *rest, last = items
    if not rest:
        yield [(last,)]
        return
    for parts in partitions(rest):
        for i, part in enumerate(parts):
            yield [*parts[:i], (*part, last), *parts[i + 1 :]]
        yield [*parts, (last,)]
