"""Whether a verifier refuses what it has to: plans that keep all rules but one.

Everything in mapc rests on the verifiers, so the gate asks them questions whose answers are known:
it breaks a plan in one place, by the rules alone, and the verifier has to complain. Each family
says in a module of its own how its plans are broken. Where that can be done, nothing but the one
rule is broken, so that no other rule hides that it is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mapc.quality.findings import Finding


@dataclass(frozen=True, eq=False)
class Breach:
    """A plan that breaks a rule.

    Attributes
    ----------
    rule : str
        Which one, in a few words.
    plan : object
        The family's plan.
    """

    rule: str
    plan: Any


Breaker = Callable[[Any, Any], Iterator[Breach]]


def breaches(problem: Any, plan: Any) -> list[Breach]:
    """Return broken copies of a plan; fewer where a problem has less to break.

    Parameters
    ----------
    problem : problem of any family
    plan : plan
        One that keeps all rules.

    Returns
    -------
    list of Breach
        Empty for a family without a module ``mapc.quality.breaches.<kind>``.
    """
    from mapc.models import family_of

    name = f"mapc.quality.breaches.{family_of(problem).kind}"
    if find_spec(name) is None:
        return []
    breaker: Breaker = import_module(name).breaches
    return list(breaker(problem, plan))


def check_verifier(problem: Any, plan: Any) -> list[Finding]:
    """Have the verifier judge broken copies of a plan; return those it lets through."""
    from mapc.models import family_of

    family = family_of(problem)
    return [
        Finding("verifier", f"refuses a plan in which {one.rule}", "lets it through")
        for one in breaches(problem, plan)
        if not family.verify(problem, one.plan).violations
    ]
