"""The core of a bits problem: tied groups summed, useless options gone.

What is left are groups with independent options, whole losses and whole costs of the budgeted
resources alone; `Reduced.lift` turns a choice there into a plan of the problem. Switch losses and
pairwise terms are carried over, between groups that are not tied.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mapc.errors import InfeasibleError
from mapc.graph.operators import BoolArray, IntArray, Ragged
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import MAX, MAX_TOTAL, SUM, BitsProblem


def _none() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def _no_pairs() -> IntArray:
    return np.zeros((0, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Reduced:
    """A multiple-choice knapsack: one option per group, costs within budgets, least quanta.

    Attributes
    ----------
    start : int64[n + 1]
        Options of group ``i`` are ``start[i]`` to ``start[i + 1] - 1``; at least one each.
    quanta : int64[m]
        Loss of each option: of tied groups the sum, the largest under the max objective.
        Negative only where a pairwise term within a tied set is.
    cost : int64[k, m]
        Budgeted resources only; divided by their greatest common divisor.
    budget : int64[k]
    members : Ragged
        Options of the problem that each option here stands for (one per tied group).
    format_of : int64[m]
        Format of each option, as an index into the problem's formats.
    home : int64[groups of the problem]
        The group here that each group of the problem is part of.
    resources : int64[k]
        The problem's resource behind each row of ``cost``.
    scale : int64[k]
        What costs and budgets have been divided by.
    edges : int64[e, 2]
        Groups here, first < second, each pair once; edges within a tied set are gone.
    switch_quanta : int64[e]
        Summed over the edges of the problem between the two; > 0. Paid where formats differ.
    pairs : int64[p, 2]
        Groups here with a pairwise term, first < second, each pair once.
    tables : tuple of p int64[options of first, options of second]
        In quanta, summed over the terms between the two.
    objective : str
        ``SUM`` or ``MAX``: whether quanta of the groups are added or the largest one counts.
    """

    start: IntArray
    quanta: IntArray
    cost: IntArray
    budget: IntArray
    members: Ragged
    format_of: IntArray = field(default_factory=_none)
    home: IntArray = field(default_factory=_none)
    resources: IntArray = field(default_factory=_none)
    scale: IntArray = field(default_factory=_none)
    edges: IntArray = field(default_factory=_no_pairs)
    switch_quanta: IntArray = field(default_factory=_none)
    pairs: IntArray = field(default_factory=_no_pairs)
    tables: tuple[IntArray, ...] = ()
    objective: str = SUM

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.start) - 1

    @cached_property
    def group_of(self) -> IntArray:
        """int64[m]: the group of every option."""
        return np.repeat(np.arange(self.n_groups, dtype=np.int64), np.diff(self.start))

    @property
    def cost_range(self) -> tuple[IntArray, IntArray]:
        """int64[k] twice: cost of the cheapest and of the costliest choice, per resource."""
        low = np.minimum.reduceat(self.cost, self.start[:-1], axis=1)
        high = np.maximum.reduceat(self.cost, self.start[:-1], axis=1)
        return low.sum(axis=1), high.sum(axis=1)

    def lift(self, problem: BitsProblem, choice: IntArray) -> BitsPlan:
        """Return the plan that takes option ``choice[i]`` (0 to m - 1) in every group ``i``."""
        length = self.members.lengths[choice]
        end = np.cumsum(length)
        within = np.arange(int(end[-1]), dtype=np.int64) - np.repeat(end - length, length)
        chosen = self.members.values[np.repeat(self.members.start[choice], length) + within]
        option = np.empty(problem.n_groups, dtype=np.int64)
        option[problem.group_of[chosen]] = chosen
        return BitsPlan(option)

    def choice_of(self, problem: BitsProblem, plan: BitsPlan) -> IntArray:
        """Return int64[n]: the option here that a valid plan takes, -1 where it was dropped."""
        here = np.full(problem.n_options, -1, dtype=np.int64)
        here[self.members.values] = self.members.row_of
        choice = np.empty(self.n_groups, dtype=np.int64)
        choice[self.home] = here[plan.option]
        return choice


def reduce(problem: BitsProblem, *, dominance: bool = True) -> Reduced:
    """Return the core of a problem; it has the same optimum.

    Tied groups become one; options that are forbidden, that no budget leaves room for, or that
    another option of the group beats in everything are gone.

    Parameters
    ----------
    problem : BitsProblem
    dominance : bool
        Drop options that are no better in loss and in every budgeted cost than another one of
        their group. Never done for groups with switch or pairwise losses, where it would be wrong.

    Raises
    ------
    InfeasibleError
        If the cheapest choice exceeds a budget; the smallest feasible budget is named.
    """
    check_feasible(problem)
    reduced = _budgeted(problem, merge(problem))
    reduced = _drop_unaffordable(problem, reduced)
    if dominance:
        reduced = _drop_dominated(reduced)
    return _divided(reduced)


def check_feasible(problem: BitsProblem) -> None:
    """Raise ``InfeasibleError`` if some budget is below what the cheapest choice takes.

    Every budget is looked at on its own: several may each be met and still exclude each other.
    """
    low, _ = problem.cost_range
    for r in problem.limited:
        budget = problem.budget[r]
        assert budget is not None
        if low[r] > budget:
            name, unit = problem.resources[r], problem.units[r]
            raise InfeasibleError(
                f"budget {name!r}: {budget} {unit}, but the cheapest choice takes {low[r]}; "
                f"give at least {low[r]}"
            )


# -- tied groups ---------------------------------------------------------------------------------


def merge(problem: BitsProblem) -> Reduced:
    """Return the problem with tied groups merged and forbidden options gone, nothing else.

    All resources are kept, those without a budget with one that never binds.
    """
    root = problem.root_of
    is_root = root == np.arange(problem.n_groups)
    home = (np.cumsum(is_root) - 1)[root]
    n = int(is_root.sum())
    quanta, cost, members = _summed(problem, home, n)
    first = members.values[members.start[:-1]]
    start = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(home[problem.group_of[first]], minlength=n), out=start[1:])
    k = len(problem.resources)
    reduced = Reduced(
        start=start,
        quanta=quanta,
        cost=cost,
        budget=np.array([MAX_TOTAL if b is None else b for b in problem.budget], dtype=np.int64),
        members=members,
        format_of=problem.format_of[first],
        home=home,
        resources=np.arange(k, dtype=np.int64),
        scale=np.ones(k, dtype=np.int64),
        objective=problem.objective,
    )
    edges, switch_quanta = _merged_edges(problem, home)
    reduced = replace(reduced, edges=edges, switch_quanta=switch_quanta)
    return reduced if problem.pairwise is None else _with_pairs(problem, reduced)


def _summed(problem: BitsProblem, home: IntArray, n: int) -> tuple[IntArray, IntArray, Ragged]:
    """Return losses and costs of the options common to all members of each group, and those."""
    option = np.flatnonzero(problem.allowed)
    if n == problem.n_groups:
        members = Ragged(np.arange(len(option) + 1, dtype=np.int64), option)
        if len(option) == problem.n_options:
            return problem.quanta, problem.cost, members
        return problem.quanta[option], problem.cost[:, option], members
    key = home[problem.group_of[option]] * len(problem.formats) + problem.format_of[option]
    order = np.argsort(key, kind="stable")
    option, key = option[order], key[order]
    at = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    count = np.diff(np.append(at, len(key)))
    # a format that not all members have, or that is forbidden to one, is nobody's
    common = count == np.bincount(home, minlength=n)[home[problem.group_of[option[at]]]]
    option = option[np.repeat(common, count)]
    start = np.zeros(int(common.sum()) + 1, dtype=np.int64)
    np.cumsum(count[common], out=start[1:])
    gather = np.maximum if problem.objective == MAX else np.add
    quanta = gather.reduceat(problem.quanta[option], start[:-1])
    cost = np.add.reduceat(problem.cost[:, option], start[:-1], axis=1)
    return quanta, cost, Ragged(start, option)


def _merged_edges(problem: BitsProblem, home: IntArray) -> tuple[IntArray, IntArray]:
    ends = np.sort(home[problem.edges], axis=1)
    quanta = problem.switch_quanta
    real = (ends[:, 0] < ends[:, 1]) & (quanta > 0)
    if not real.any():
        return _no_pairs(), _none()
    ends, quanta = ends[real], quanta[real]
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, quanta = ends[order], quanta[order]
    new = np.concatenate([[True], (ends[1:] != ends[:-1]).any(axis=1)])
    return ends[new], np.add.reduceat(quanta, np.flatnonzero(new))


def _with_pairs(problem: BitsProblem, reduced: Reduced) -> Reduced:
    """Carry the pairwise tables over to the options that are left, summing where groups merged."""
    terms = problem.pairwise
    assert terms is not None
    quanta = reduced.quanta.copy()
    summed: dict[tuple[int, int], IntArray] = {}
    for a, b, full in zip(terms.first, terms.second, problem.pairwise_quanta, strict=True):
        one, two = int(reduced.home[a]), int(reduced.home[b])
        table = full[np.ix_(_places(problem, reduced, a), _places(problem, reduced, b))]
        if one == two:
            quanta[reduced.start[one] : reduced.start[one + 1]] += np.diagonal(table)
            continue
        if one > two:
            one, two, table = two, one, table.T
        known = summed.get((one, two))
        summed[one, two] = table.copy() if known is None else known + table
    pairs = np.array(sorted(summed), dtype=np.int64).reshape(-1, 2)
    tables = tuple(summed[one, two] for one, two in pairs.tolist())
    return replace(reduced, quanta=quanta, pairs=pairs, tables=tables)


def _places(problem: BitsProblem, reduced: Reduced, group: int) -> IntArray:
    """Return, for every option here of a problem's group, its place among the options there."""
    home = int(reduced.home[group])
    wanted = reduced.format_of[reduced.start[home] : reduced.start[home + 1]]
    own = problem.format_of[problem.start[group] : problem.start[group + 1]]
    order = np.argsort(own)
    return order[np.searchsorted(own, wanted, sorter=order)]


# -- useless options -----------------------------------------------------------------------------


def _budgeted(problem: BitsProblem, reduced: Reduced) -> Reduced:
    """Keep the resources that have a budget."""
    rows = problem.limited
    if len(rows) == len(problem.resources):
        return reduced
    return replace(
        reduced,
        cost=reduced.cost[rows],
        budget=reduced.budget[rows],
        resources=reduced.resources[rows],
        scale=reduced.scale[rows],
    )


def _drop_unaffordable(problem: BitsProblem, reduced: Reduced) -> Reduced:
    """Drop options that exceed a budget even with every other group at its cheapest.

    Doing so may raise what the cheapest choice takes of another resource, so it is repeated.
    """
    while True:
        low = np.minimum.reduceat(reduced.cost, reduced.start[:-1], axis=1)
        slack = reduced.budget - low.sum(axis=1)
        if (slack < 0).any():
            r = int(np.argmax(slack < 0))
            needed = int(low[r].sum() * reduced.scale[r])
            at = int(reduced.resources[r])
            raise InfeasibleError(
                f"budget {problem.resources[at]!r}: {problem.budget[at]} {problem.units[at]}, but "
                f"under the other budgets the cheapest choice takes {needed}; give at least "
                f"{needed}, or relax the others"
            )
        room = low + slack[:, None]
        fits = np.ones(len(reduced.quanta), dtype=np.bool_)
        for cost, most in zip(reduced.cost, room, strict=True):
            fits &= cost <= np.repeat(most, np.diff(reduced.start))
        if fits.all():
            return reduced
        some = np.logical_or.reduceat(fits, reduced.start[:-1])
        if not some.all():
            group = problem.groups[int(np.argmax(reduced.home == int(np.argmin(some))))]
            raise InfeasibleError(
                f"group {group!r}: each of its options exceeds some budget, even with all other "
                "groups at their cheapest; relax a budget"
            )
        reduced = _keep(reduced, fits)


def _drop_dominated(reduced: Reduced) -> Reduced:
    """Drop options that another one of the group equals or beats in loss and every cost."""
    alone = np.ones(reduced.n_groups, dtype=np.bool_)
    alone[reduced.edges] = False
    alone[reduced.pairs] = False
    gone = np.zeros(len(reduced.quanta), dtype=np.bool_)
    lengths = np.diff(reduced.start)
    for length in np.unique(lengths[alone]).tolist():
        first = reduced.start[:-1][alone & (lengths == length)]
        index = np.arange(length, dtype=np.int64)[:, None] + first
        measures = [reduced.quanta[index], *(cost[index] for cost in reduced.cost)]
        beaten = np.zeros(index.shape, dtype=np.bool_)
        for i in range(length):
            # what a beaten option would beat, the one that beat it beats: equal ones keep one
            worse = np.repeat(~beaten[i : i + 1], length, axis=0)
            worse[i] = False
            for measure in measures:
                worse &= measure >= measure[i]
            beaten |= worse
        gone[index] = beaten
    return _keep(reduced, ~gone)


def _keep(reduced: Reduced, keep: BoolArray) -> Reduced:
    """Return the core with these options only; every group keeps at least one."""
    if keep.all():
        return reduced
    start = np.zeros_like(reduced.start)
    np.cumsum(np.add.reduceat(keep.astype(np.int64), reduced.start[:-1]), out=start[1:])
    lengths = reduced.members.lengths
    inner = np.zeros(int(keep.sum()) + 1, dtype=np.int64)
    np.cumsum(lengths[keep], out=inner[1:])
    old = (
        [slice(a, b) for a, b in zip(reduced.start[:-1], reduced.start[1:], strict=True)]
        if (reduced.tables)
        else []
    )
    return replace(
        reduced,
        start=start,
        quanta=reduced.quanta[keep],
        cost=reduced.cost[:, keep],
        members=Ragged(inner, reduced.members.values[np.repeat(keep, lengths)]),
        format_of=reduced.format_of[keep],
        tables=tuple(
            table[np.ix_(keep[old[a]], keep[old[b]])]
            for (a, b), table in zip(reduced.pairs.tolist(), reduced.tables, strict=True)
        ),
    )


def _divided(reduced: Reduced) -> Reduced:
    """Divide costs by their greatest common divisor; budgets are floored, nothing is lost."""
    scale = np.array([_gcd(cost) for cost in reduced.cost], dtype=np.int64)
    if (scale == 1).all():
        return reduced
    return replace(
        reduced,
        cost=reduced.cost // scale[:, None],
        budget=reduced.budget // scale,
        scale=reduced.scale * scale,
    )


def _gcd(cost: IntArray, block: int = 4096) -> int:
    divisor = 0
    for at in range(0, len(cost), block):
        divisor = int(np.gcd(divisor, np.gcd.reduce(cost[at : at + block])))
        if divisor == 1:
            break
    return divisor or 1
