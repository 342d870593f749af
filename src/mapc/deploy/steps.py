"""A step of sequences as trainers see it: micro-batches, their groups, what every rank is given.

All exporters of sequence plans, and `mapc.planner`, show plans through this view.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import IntArray
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem


@dataclass(frozen=True, eq=False)
class Group:
    """Ranks that compute some sequences together, packed into one row of tokens.

    Attributes
    ----------
    first_rank, degree : int
        The ranks are ``first_rank`` to ``first_rank + degree - 1``.
    kind : str
        ``"ulysses"`` or ``"ring"``.
    members : int64[n]
        Sequences of the problem, in the order in which they are packed: increasing.
    lengths, padded : int64[n]
        Tokens of each, without and with padding.
    cu_seqlens : int64[n + 1]
        Padded tokens before each sequence, and of all.
    ms : float
        Modelled time.
    max_tokens : int
        Padded tokens that the memory of the group holds.
    """

    first_rank: int
    degree: int
    kind: str
    members: IntArray
    lengths: IntArray
    padded: IntArray
    cu_seqlens: IntArray
    ms: float
    max_tokens: int

    @property
    def ranks(self) -> range:
        """The ranks of the group."""
        return range(self.first_rank, self.first_rank + self.degree)

    @property
    def tokens(self) -> int:
        """Padded tokens of all its sequences."""
        return int(self.cu_seqlens[-1])


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Groups that compute at the same time.

    Attributes
    ----------
    groups : tuple of Group
        By first rank.
    idle_ranks : tuple of int
        Ranks without a group. They still take part in what all ranks do together, such as gathering
        the parameters of a layer.
    ms : float
        Modelled time of the slowest group.
    """

    groups: tuple[Group, ...]
    idle_ranks: tuple[int, ...]
    ms: float

    def of_rank(self, rank: int) -> Group | None:
        """Return the group a rank is in; None for an idle one."""
        return next((group for group in self.groups if rank in group.ranks), None)


def micro_batches(problem: SequenceProblem, plan: SequencePlan) -> tuple[MicroBatch, ...]:
    """Return the micro-batches of a plan, each with its groups.

    Raises
    ------
    InstanceError
        For a plan that does not belong to the problem.
    """
    _check(problem, plan)
    order = np.argsort(plan.group, kind="stable")  # members stay increasing
    size = np.bincount(plan.group, minlength=len(plan.mode))
    ticks = problem.fixed_ticks[plan.mode]
    time = problem.ticks[plan.mode[plan.group], np.arange(problem.n_sequences)]
    np.add.at(ticks, plan.group, time)
    found: list[list[Group]] = [[] for _ in range(int(plan.micro_batch.max(initial=-1)) + 1)]
    stop = np.cumsum(size)
    for g in np.lexsort((plan.first_rank, plan.micro_batch)).tolist():
        members = order[stop[g] - size[g] : stop[g]]
        mode, padded = int(plan.mode[g]), problem.padded[members]
        found[int(plan.micro_batch[g])].append(
            Group(
                first_rank=int(plan.first_rank[g]),
                degree=int(problem.cost.degree[mode]),
                kind=problem.cost.kind[mode],
                members=members,
                lengths=problem.lengths[members],
                padded=padded,
                cu_seqlens=np.concatenate([[0], np.cumsum(padded)]),
                ms=float(ticks[g] * problem.tick),
                max_tokens=int(problem.cost.tokens[mode]),
            )
        )
    return tuple(_micro_batch(problem.n_ranks, groups) for groups in found)


def _micro_batch(n_ranks: int, groups: list[Group]) -> MicroBatch:
    busy = np.zeros(n_ranks, dtype=np.bool_)
    for group in groups:
        busy[group.first_rank : group.first_rank + group.degree] = True
    return MicroBatch(
        groups=tuple(groups),
        idle_ranks=tuple(np.flatnonzero(~busy).tolist()),
        ms=max((group.ms for group in groups), default=0.0),
    )


def _check(problem: SequenceProblem, plan: SequencePlan) -> None:
    if len(plan.group) != problem.n_sequences:
        raise InstanceError(
            f"groups of {len(plan.group)} sequences", "plan", f"{problem.n_sequences}"
        )
    for name, values, right in (
        ("mode", plan.mode, problem.n_modes),
        ("group", plan.group, len(plan.mode)),
    ):
        wrong = (values < 0) | (values >= right)
        if wrong.any():
            at = int(wrong.argmax())
            raise InstanceError(f"{name} {values[at]}", f"plan, {name}[{at}]", f"0 to {right - 1}")


def ranges_of(batches: Sequence[MicroBatch]) -> list[tuple[int, int]]:
    """Return first rank and degree of all groups, each range once, in order."""
    return sorted({(g.first_rank, g.degree) for batch in batches for g in batch.groups})


def every_range(problem: SequenceProblem) -> list[tuple[int, int]]:
    """Return first rank and degree of every group that some plan may have.

    A group starts at a multiple of its degree, a power of two, so of N ranks there are at most
    N + N / 2 + ... + 1 <= 2 N - 1.
    """
    return sorted(
        (first, degree)
        for degree in set(problem.cost.degree.tolist())
        for first in range(0, problem.n_ranks - degree + 1, degree)
    )


def check_divides(batches: Sequence[MicroBatch], multiple: Callable[[Group], int]) -> None:
    """Refuse sequences whose padded tokens do not split evenly over their group.

    Parameters
    ----------
    batches : sequence of MicroBatch
    multiple : callable
        What padded lengths in a group have to be a multiple of.

    Raises
    ------
    UsageError
    """
    wanted = max((multiple(g) for batch in batches for g in batch.groups), default=1)
    for number, batch in enumerate(batches):
        for group in batch.groups:
            odd = group.padded % multiple(group) != 0
            if odd.any():
                at = int(odd.argmax())
                raise UsageError(
                    f"sequence {group.members[at]}: {group.padded[at]} padded tokens on the "
                    f"{group.degree} ranks of its group in micro-batch {number}; expected a "
                    f"multiple of {multiple(group)}: plan with a padding of {wanted}"
                )


def sample_names(problem: SequenceProblem, sample_ids: Sequence[int] | None) -> list[int]:
    """Return the trainer's numbers of the sequences, by default 0, 1, ...

    Raises
    ------
    UsageError
        For what are no whole numbers, for more or fewer than there are sequences, and for one that
        stands twice.
    """
    if sample_ids is None:
        return list(range(problem.n_sequences))
    try:
        names = [operator.index(one) for one in sample_ids]
    except TypeError as error:
        raise UsageError(f"sample ids: {error}; expected whole numbers") from None
    if len(names) != problem.n_sequences:
        raise UsageError(f"{len(names)} sample ids; expected {problem.n_sequences}")
    most, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise UsageError(f"sample id {most}: stands {times} times; expected every id once")
    return names


def cost_hash(problem: SequenceProblem) -> str:
    """Return a hash of what groups cost: equal for equal times and memory of all groups."""
    cost = problem.cost
    columns = [cost.degree, cost.quadratic, cost.linear, cost.fixed, cost.tokens]
    document = [list(cost.kind), *(column.tolist() for column in columns)]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def lines_of(document: dict[str, Any]) -> str:
    """Return JSON with a line for every entry of the lists in it that hold mappings."""
    return _lines(document, "") + "\n"


def _lines(value: Any, pad: str) -> str:
    deeper = pad + "  "
    if isinstance(value, dict) and any(_is_long(item) for item in value.values()):
        rows = [f"{deeper}{json.dumps(key)}: {_lines(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{pad}}}"
    if _is_long(value):
        return "[\n" + ",\n".join(deeper + _lines(item, deeper) for item in value) + f"\n{pad}]"
    return json.dumps(value, allow_nan=False)


def _is_long(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict | list)
