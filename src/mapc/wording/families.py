"""How results and problems of each family are put in words; most need nothing of their own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mapc.wording import common
from mapc.wording.common import Rows

if TYPE_CHECKING:
    from mapc.solvers.result import Result

_OWN = {
    "bits": "mapc.wording.bits",
    "placement": "mapc.wording.placement",
    "sequence": "mapc.wording.sequence",
}
"""Modules with ``result_rows``, ``result_keys``, ``limit_words``, ``plan_rows``, ``fact_rows``."""


def _own(kind: str) -> ModuleType | None:
    return import_module(_OWN[kind]) if kind in _OWN else None


def result_rows(problem: Any, result: Result) -> Rows:
    """Return the rows of a result for people."""
    own = _own(result.kind)
    return common.result_rows(result) if own is None else own.result_rows(problem, result)


def result_keys(problem: Any, result: Result) -> dict[str, Any]:
    """Return what ``--json`` prints beside the keys every result has."""
    own = _own(result.kind)
    return {} if own is None else own.result_keys(problem, result)


def limit_words(problem: Any, facts: Mapping[str, Any]) -> list[str]:
    """Return how far a plan uses each limit of the problem, e.g. ``size 3 MiB of 4 MiB``.

    ``facts`` are the verifier's; they may lack what could not be told.
    """
    own = _own(_kind(problem))
    return [] if own is None else list(own.limit_words(problem, facts))


def problem_rows(problem: Any) -> Rows:
    """Return the rows of what a problem is, without its kind."""
    facts = {"kind": _kind(problem), **problem_facts(problem)}
    return [row for row in fact_rows(facts) if row[0] != "kind"]


def plan_rows(problem: Any, plan: Any, facts: Mapping[str, Any]) -> Rows:
    """Return the rows of what a plan comes to, without its objective.

    ``facts`` are those of problem and plan; of a plan that breaks rules they may lack what could
    not be told, and so do the rows.
    """
    own = _own(_kind(problem))
    if own is not None:
        return list(own.plan_rows(problem, plan, facts))
    known = problem_facts(problem)
    return common.fact_rows({key: value for key, value in facts.items() if key not in known})


def problem_facts(problem: Any) -> Mapping[str, Any]:
    """Return the figures of a problem, apart from those of its plans."""
    from mapc.models import family_of

    return family_of(problem).facts(problem)


def _kind(problem: Any) -> str:
    from mapc.models import family_of

    return family_of(problem).kind


def fact_rows(facts: Mapping[str, Any]) -> Rows:
    """Return the rows of the figures of a problem, whose ``kind`` is one of them."""
    own = _own(facts["kind"])
    return common.fact_rows(facts) if own is None else own.fact_rows(facts)


def compared(kind: str) -> Mapping[str, tuple[str, str]]:
    """Return the columns that a comparison of methods shows: header, fact, and its format."""
    found: Mapping[str, tuple[str, str]] = getattr(_own(kind), "COMPARED", {})
    return found
