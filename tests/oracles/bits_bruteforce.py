"""Complete enumeration for the bits family, and random small instances.

The oracle reads only the columns of `BitsProblem` and shares nothing with the code under test. It
tries every combination of options: use it up to some ten thousand of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from mapc.graph.operators import Ragged
from mapc.models.bits.problem import BitsProblem, Pairwise

Row = tuple[int, float, tuple[int, ...]]
"""An option: format, loss, one cost per resource."""


def problem_of(
    groups: Sequence[Sequence[Row]],
    budget: Sequence[int | None] = (None,),
    *,
    ties: Sequence[Sequence[int]] = (),
    edges: Sequence[tuple[int, int, float]] = (),
    forbidden: Sequence[int] = (),
    terms: Sequence[tuple[int, int, Sequence[Sequence[float]]]] = (),
    objective: str = "sum",
    weights: Sequence[int] | None = None,
    resources: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    formats: Sequence[str] = ("int4", "int8", "fp16", "fp32", "f4", "f5"),
) -> BitsProblem:
    """Problem of rows of options for each group, named g0, g1, ...; resources r0, r1, ..."""
    rows = [row for group in groups for row in group]
    allowed = np.ones(len(rows), dtype=np.bool_)
    allowed[list(forbidden)] = False
    k = len(budget)
    return BitsProblem(
        name="case",
        groups=tuple(f"g{i}" for i in range(len(groups))),
        formats=tuple(formats),
        start=np.cumsum([0, *map(len, groups)]).astype(np.int64),
        format_of=np.array([row[0] for row in rows], dtype=np.int64),
        loss=np.array([row[1] for row in rows], dtype=np.float64),
        resources=tuple(resources or (f"r{i}" for i in range(k))),
        units=tuple(units or ("bits",) * k),
        cost=np.array([row[2] for row in rows], dtype=np.int64).reshape(len(rows), k).T.copy(),
        budget=tuple(budget),
        weights=np.array(weights or [1] * len(groups), dtype=np.int64),
        allowed=allowed,
        ties=Ragged.of(ties),
        edges=np.array([edge[:2] for edge in edges], dtype=np.int64).reshape(-1, 2),
        switch_loss=np.array([edge[2] for edge in edges], dtype=np.float64),
        pairwise=Pairwise(
            np.array([term[0] for term in terms], dtype=np.int64),
            np.array([term[1] for term in terms], dtype=np.int64),
            tuple(np.array(term[2], dtype=np.float64) for term in terms),
        )
        if terms
        else None,
        objective=objective,
    )


def objective_of(problem: BitsProblem, choice: Sequence[int]) -> Fraction:
    """Loss of a choice of one option per group, exactly; losses count as they are, unrounded."""
    loss = [Fraction(float(problem.loss[option])) for option in choice]
    if problem.objective == "max":
        return max(loss)
    form = [int(problem.format_of[option]) for option in choice]
    total = sum(loss, Fraction(0))
    for (a, b), switch in zip(problem.edges.tolist(), problem.switch_loss.tolist(), strict=True):
        total += Fraction(switch) if form[a] != form[b] else 0
    if problem.pairwise is not None:
        terms = problem.pairwise
        for a, b, table in zip(terms.first, terms.second, terms.table, strict=True):
            at = choice[a] - problem.start[a], choice[b] - problem.start[b]
            total += Fraction(float(table[at]))
    return total


def costs_of(problem: BitsProblem, choice: Sequence[int]) -> list[int]:
    """Cost of a choice in every resource."""
    return [sum(int(cost[option]) for option in choice) for cost in problem.cost]


def feasible(problem: BitsProblem, choice: Sequence[int]) -> bool:
    """Whether a choice keeps ties, forbidden options and budgets."""
    if not all(problem.allowed[option] for option in choice):
        return False
    form = [int(problem.format_of[option]) for option in choice]
    for i in range(len(problem.ties)):
        if len({form[group] for group in problem.ties[i]}) > 1:
            return False
    return all(
        limit is None or cost <= limit
        for cost, limit in zip(costs_of(problem, choice), problem.budget, strict=True)
    )


def choices(problem: BitsProblem) -> Iterator[tuple[int, ...]]:
    """All feasible choices."""
    ranges = [range(a, b) for a, b in itertools.pairwise(problem.start.tolist())]
    return (choice for choice in itertools.product(*ranges) if feasible(problem, choice))


def brute_force(problem: BitsProblem) -> tuple[Fraction, tuple[int, ...]] | None:
    """Least objective and a choice that reaches it; None where nothing is feasible."""
    return min(
        ((objective_of(problem, choice), choice) for choice in choices(problem)), default=None
    )


def front(problem: BitsProblem, resource: int = 0) -> list[tuple[int, Fraction]]:
    """All (cost, loss) that no feasible choice beats in one resource and loss, cheapest first."""
    points: list[tuple[int, Fraction]] = []
    known = sorted(
        (costs_of(problem, c)[resource], objective_of(problem, c)) for c in choices(problem)
    )
    for cost, loss in known:
        if not points or loss < points[-1][1]:
            points.append((cost, loss))
    return points


# -- random instances ----------------------------------------------------------------------------

LOSSES = st.integers(0, 64).map(lambda eighths: eighths / 8)
"""Few different values, all exact in binary: quanta lose nothing, and equals are frequent."""


@st.composite
def small_bits_problems(
    draw: st.DrawFn,
    *,
    max_groups: int = 4,
    max_formats: int = 4,
    resources: tuple[int, int] = (0, 3),
    ties: bool = True,
    forbid: bool = True,
    edges: bool = True,
    pairwise: bool = True,
    objectives: Sequence[str] = ("sum", "sum", "max"),
    slack: bool = True,
) -> BitsProblem:
    """Problems with every combination of what may be asked for; infeasible ones among them.

    ``resources`` is the least and the largest number; ``slack`` lets some have no budget.
    """
    n, width = draw(st.integers(1, max_groups)), draw(st.integers(1, max_formats))
    k = draw(st.integers(*resources))
    objective = draw(st.sampled_from(objectives))
    step = draw(st.sampled_from((1, 1, 3)))
    costs = st.tuples(*[st.integers(0, 9).map(lambda c: c * step)] * k)
    groups = []
    for _ in range(n):
        # format 0 is everybody's, so that ties have something to agree on
        rest = draw(st.lists(st.integers(1, width - 1), unique=True)) if width > 1 else []
        forms = draw(st.permutations([0, *rest]))
        groups.append([(form, draw(LOSSES), draw(costs)) for form in forms])
    spare = [i for i, row in enumerate(r for g in groups for r in g) if row[0]]
    sums = [sum(max(row[2][r] for row in group) for group in groups) for r in range(k)]
    limits = [st.integers(0, total + 1) for total in sums]
    interact = objective == "sum"
    return problem_of(
        groups,
        [draw(st.none() | limit if slack else limit) for limit in limits],
        ties=draw(_sets(n)) if ties else (),
        forbidden=draw(st.lists(st.sampled_from(spare), unique=True, max_size=3))
        if forbid and spare
        else (),
        edges=draw(_edges(n)) if edges and interact and n > 1 else (),
        terms=draw(_terms([len(group) for group in groups])) if pairwise and interact else (),
        objective=objective,
        weights=draw(st.lists(st.integers(1, 5), min_size=n, max_size=n)),
    )


def _sets(n: int) -> st.SearchStrategy[list[list[int]]]:
    """Up to two sets of groups, empty and overlapping ones included."""
    return st.lists(st.lists(st.integers(0, n - 1), unique=True, max_size=3), max_size=2)


def _edges(n: int) -> st.SearchStrategy[list[tuple[int, int, float]]]:
    ends = st.lists(st.integers(0, n - 1), min_size=2, max_size=2, unique=True)
    return st.lists(st.tuples(ends, LOSSES).map(lambda e: (*e[0], e[1])), max_size=4)


@st.composite
def _terms(draw: st.DrawFn, widths: list[int]) -> list[tuple[int, int, list[list[float]]]]:
    pairs = list(itertools.combinations(range(len(widths)), 2))
    if not pairs or not draw(st.booleans()):
        return []
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=3))
    signed = st.integers(-32, 32).map(lambda eighths: eighths / 8)
    return [
        (a, b, [[draw(signed) for _ in range(widths[b])] for _ in range(widths[a])])
        for a, b in chosen
    ]
