"""The rules a bits problem must meet.

Every check looks at whole columns; only the first offender is turned into words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.graph.operators import BoolArray

if TYPE_CHECKING:
    from mapc.models.bits.problem import BitsProblem

_KINDS = {"i": "whole numbers", "f": "floats", "b": "booleans"}


def validate(problem: BitsProblem) -> None:
    """Raise ``InstanceError`` for the first broken rule, naming group and format."""
    _check_names(problem)
    _check_columns(problem)
    _check_formats(problem)
    _check_losses(problem)
    _check_costs(problem)
    check_budgets(problem.resources, problem.budget)
    _check_allowed(problem)
    _check_ties(problem)
    _check_interactions(problem)
    _check_total(problem)


def check_budgets(resources: Sequence[str], budget: Sequence[int | None]) -> None:
    """Refuse budgets that do not match the resources, or that are no whole number in range."""
    from mapc.models.bits.problem import MAX_TOTAL

    if len(budget) != len(resources):
        raise InstanceError(f"{len(budget)} entries", "budget", f"{len(resources)}, as resources")
    for name, value in zip(resources, budget, strict=True):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (whole and 0 <= value <= MAX_TOTAL):
            raise InstanceError(
                f"budget {value!r}",
                f"resource {name!r}",
                f"none, or a whole number 0 to {MAX_TOTAL}",
            )


# -- shape ---------------------------------------------------------------------------------------


def _check_names(problem: BitsProblem) -> None:
    from mapc.models.bits.problem import MAX, SUM

    if not problem.groups:
        raise InstanceError("no groups", problem.name, "at least one")
    for word, names in (
        ("group", problem.groups),
        ("format", problem.formats),
        ("resource", problem.resources),
    ):
        if len(set(names)) < len(names):
            seen: set[str] = set()
            twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise InstanceError("name used twice", f"{word} {twice!r}", "distinct names")
    if len(problem.units) != len(problem.resources):
        raise InstanceError(
            f"{len(problem.units)} entries", "units", f"{len(problem.resources)}, as resources"
        )
    if problem.objective not in (SUM, MAX):
        raise InstanceError(f"objective {problem.objective!r}", problem.name, f"{SUM} or {MAX}")


def _check_columns(problem: BitsProblem) -> None:
    n, m, k = len(problem.groups), len(problem.loss), len(problem.resources)
    _column("start", problem.start, (n + 1,), "i")
    _column("loss", problem.loss, (m,), "f")
    _column("format_of", problem.format_of, (m,), "i")
    _column("cost", problem.cost, (k, m), "i")
    _column("weights", problem.weights, (n,), "i")
    _column("allowed", problem.allowed, (m,), "b")
    _column("edges", problem.edges, (len(problem.switch_loss), 2), "i")
    _column("switch_loss", problem.switch_loss, (len(problem.switch_loss),), "f")
    empty = np.diff(problem.start) <= 0
    if empty.any():
        raise InstanceError("no options", f"group {problem.groups[_first(empty)]!r}", "at least 1")
    if problem.start[0] != 0 or problem.start[-1] != m:
        raise InstanceError(
            f"runs from {problem.start[0]} to {problem.start[-1]}", "start", f"0 to {m}"
        )


def _column(name: str, array: NDArray[Any], shape: tuple[int, ...], kind: str) -> None:
    if (
        not isinstance(array, np.ndarray)
        or array.dtype.kind != kind
        or array.dtype.itemsize not in (1, 8)
    ):
        found = getattr(array, "dtype", type(array).__name__)
        raise InstanceError(f"{found}", name, f"an array of {_KINDS[kind]}")
    if array.shape != shape:
        raise InstanceError(f"shape {array.shape}", name, f"{shape}")


# -- values --------------------------------------------------------------------------------------


def _check_formats(problem: BitsProblem) -> None:
    width = len(problem.formats)
    wrong = (problem.format_of < 0) | (problem.format_of >= width)
    if wrong.any():
        at = _first(wrong)
        raise InstanceError(
            f"format {problem.format_of[at]}", _group_at(problem, at), f"0 to {width - 1}"
        )
    key = problem.group_of * width + problem.format_of
    if (np.diff(key) > 0).all():
        return
    key = np.sort(key)
    twice = key[1:] == key[:-1]
    if twice.any():
        group, form = divmod(int(key[_first(twice)]), width)
        raise InstanceError(
            f"format {problem.formats[form]!r} twice",
            f"group {problem.groups[group]!r}",
            "every format once",
        )


def _check_losses(problem: BitsProblem) -> None:
    _refuse(problem, ~(np.isfinite(problem.loss) & (problem.loss >= 0)), "loss", problem.loss)


def _check_costs(problem: BitsProblem) -> None:
    from mapc.models.bits.problem import MAX_COST, MAX_TOTAL

    for name, cost in zip(problem.resources, problem.cost, strict=True):
        wrong = (cost < 0) | (cost > MAX_COST)
        _refuse(problem, wrong, f"{name} cost", cost, f"0 to {MAX_COST}")
        # floats are near enough to tell far below 2**62 from far above, integers settle the rest
        top = np.maximum.reduceat(cost, problem.start[:-1])
        if top.astype(np.float64).sum() > MAX_TOTAL / 2 and sum(map(int, top)) > MAX_TOTAL:
            raise InstanceError(
                "costs of the costliest choice add up to more than 2**62",
                f"resource {name!r}",
                "a coarser unit",
            )
    wrong = (problem.weights < 0) | (problem.weights > MAX_COST)
    if wrong.any():
        at = _first(wrong)
        raise InstanceError(
            f"weights {problem.weights[at]}", f"group {problem.groups[at]!r}", f"0 to {MAX_COST}"
        )


def _refuse(
    problem: BitsProblem,
    wrong: BoolArray,
    what: str,
    values: NDArray[Any],
    right: str = "a finite number >= 0",
) -> None:
    if wrong.any():
        at = _first(wrong)
        form = problem.formats[int(problem.format_of[at])]
        raise InstanceError(
            f"{what} {values[at]}", f"{_group_at(problem, at)}, format {form!r}", right
        )


# -- rules between groups ------------------------------------------------------------------------


def _check_allowed(problem: BitsProblem) -> None:
    none = ~np.logical_or.reduceat(problem.allowed, problem.start[:-1])
    if none.any():
        raise InstanceError(
            "every option is forbidden", f"group {problem.groups[_first(none)]!r}", "one allowed"
        )


def _check_ties(problem: BitsProblem) -> None:
    n = len(problem.groups)
    members = problem.ties.values
    wrong = (members < 0) | (members >= n)
    if wrong.any():
        raise InstanceError(f"group {members[_first(wrong)]}", "ties", f"0 to {n - 1}")
    if not len(members):
        return
    root, width = problem.root_of, len(problem.formats)
    tied = root[problem.group_of]
    keys, count = np.unique((tied * width + problem.format_of)[problem.allowed], return_counts=True)
    size = np.bincount(root, minlength=n)
    common = np.zeros(n, dtype=np.bool_)
    common[keys[count == size[keys // width]] // width] = True
    without = ~common[root]
    if without.any():
        first = _first(without)
        names = [problem.groups[i] for i in np.flatnonzero(root == first)[:4]]
        raise InstanceError(
            "no allowed format in common",
            "tied groups " + ", ".join(map(repr, names)) + (" ..." if size[first] > 4 else ""),
            "at least one",
        )


def _check_interactions(problem: BitsProblem) -> None:
    from mapc.models.bits.problem import SUM

    n = len(problem.groups)
    wrong = ((problem.edges < 0) | (problem.edges >= n)).any(axis=1)
    if wrong.any():
        at = _first(wrong)
        raise InstanceError(
            f"groups {problem.edges[at].tolist()}", f"edge {at}", f"two of 0 to {n - 1}"
        )
    loops = problem.edges[:, 0] == problem.edges[:, 1]
    if loops.any():
        at = _first(loops)
        name = problem.groups[int(problem.edges[at, 0])]
        raise InstanceError(f"joins group {name!r} to itself", f"edge {at}", "two groups")
    bad = ~(np.isfinite(problem.switch_loss) & (problem.switch_loss >= 0))
    if bad.any():
        at = _first(bad)
        raise InstanceError(
            f"switch loss {problem.switch_loss[at]}", _edge(problem, at), "a finite number >= 0"
        )
    if problem.pairwise is not None:
        _check_pairwise(problem)
    if problem.objective != SUM and (len(problem.edges) or problem.pairwise is not None):
        raise InstanceError(
            f"objective {problem.objective!r} with edges or pairwise terms", problem.name, SUM
        )


def _check_pairwise(problem: BitsProblem) -> None:
    terms = problem.pairwise
    assert terms is not None
    n, p = len(problem.groups), len(terms.table)
    _column("pairwise.first", terms.first, (p,), "i")
    _column("pairwise.second", terms.second, (p,), "i")
    wrong = (terms.first < 0) | (terms.first >= terms.second) | (terms.second >= n)
    if wrong.any():
        at = _first(wrong)
        raise InstanceError(
            f"groups {terms.first[at]} and {terms.second[at]}",
            f"pairwise term {at}",
            f"first < second, both 0 to {n - 1}",
        )
    if len(np.unique(terms.first * n + terms.second)) < p:
        raise InstanceError("a pair stands there twice", "pairwise", "every pair once")
    width = np.diff(problem.start)
    for i, table in enumerate(terms.table):
        a, b = int(terms.first[i]), int(terms.second[i])
        where = f"pairwise term of {problem.groups[a]!r} and {problem.groups[b]!r}"
        _column(where, table, (int(width[a]), int(width[b])), "f")
        if not np.isfinite(table).all():
            raise InstanceError("a value that is not finite", where, "finite numbers")


def _check_total(problem: BitsProblem) -> None:
    """Refuse sums that leave the range of floats: losses could not be counted."""
    with np.errstate(over="ignore"):
        total = np.maximum.reduceat(problem.loss, problem.start[:-1]).sum()
        total += problem.switch_loss.sum()
        if problem.pairwise is not None:
            total += sum(np.abs(table).max(initial=0.0) for table in problem.pairwise.table)
    if total > 1e300:
        raise InstanceError(f"losses add up to {total}", problem.name, "a sum of at most 1e300")


def _edge(problem: BitsProblem, at: int) -> str:
    a, b = problem.edges[at]
    return f"edge {problem.groups[int(a)]!r} - {problem.groups[int(b)]!r}"


def _group_at(problem: BitsProblem, option: int) -> str:
    return f"group {problem.groups[int(problem.group_of[option])]!r}"


def _first(wrong: NDArray[np.bool_] | np.bool_) -> int:
    return int(wrong.argmax())
