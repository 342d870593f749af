"""Models held to what the index says: how large they are, and which backends agree on them.

Backends that prove the optimum of one model prove the same one, or one of them is wrong. The plan
that a model's optimum stands for is replayed by the verifier, which knows nothing of the model:
a constraint that has been lost shows in a plan that breaks its rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mapc.errors import MapcError, UsageError
from mapc.quality.ceilings import AGREEMENT, AGREEMENT_WORK, model_sizes
from mapc.quality.findings import Finding, number
from mapc.quality.index import Best, Number, Size

WORK: Final = 4 * AGREEMENT_WORK
"""Units of work for each backend: more than a proof took that was recorded."""


@dataclass(frozen=True)
class Compared:
    """What comparing models with the index found.

    Attributes
    ----------
    findings : tuple of Finding
        What is wrong.
    smaller : tuple of str
        One line for each model that has become smaller, which is no fault.
    nodes : int
        Of branch and bound, all solves together.
    """

    findings: tuple[Finding, ...] = ()
    smaller: tuple[str, ...] = ()
    nodes: int = 0


def check_sizes(problem: Any, models: Mapping[str, Size]) -> Compared:
    """Compare rows, columns and nonzeros of formulations with the most they may have.

    Parameters
    ----------
    problem : problem of any family
    models : mapping
        `mapc.quality.index.Gate.models`.
    """
    findings: list[Finding] = []
    smaller: list[str] = []
    for name, most in models.items():
        check = f"model {name}"
        try:
            size = model_sizes(problem, [name])[name]
        except MapcError as error:
            findings.append(Finding(check, _size(most), f"none: {error}"))
            continue
        pairs = [(key, getattr(most, key), getattr(size, key)) for key in Size.__struct_fields__]
        for key, limit, count in pairs:
            if count > limit:
                more = f" ({(count - limit) / limit:+.1%})" if limit else ""
                findings.append(Finding(check, f"at most {limit} {key}", f"{count} {key}{more}"))
        if size != most and all(count <= limit for _, limit, count in pairs):
            smaller.append(f"{check}: {_size(most)} -> {_size(size)}")
    return Compared(tuple(findings), tuple(smaller))


def _size(size: Size) -> str:
    return ", ".join(f"{count} {key}" for key, count in msgspec.structs.asdict(size).items())


def check_agreement(
    problem: Any,
    agree: Mapping[str, Sequence[str]],
    best: Best | None = None,
    *,
    seed: int = 0,
    solve: Callable[..., Any] | None = None,
) -> Compared:
    """Have every formulation solved by each of its backends, and compare the optima.

    Parameters
    ----------
    problem : problem of any family
    agree : mapping
        `mapc.quality.index.Gate.agree`.
    best : Best, optional
        What is known: no plan of a model may cost less than its bound.
    seed : int
    solve : callable, optional
        In place of `mapc.solvers.registry.solve`.
    """
    from mapc import api
    from mapc.solvers import registry
    from mapc.solvers.base import Limits

    ask = registry.solve if solve is None else solve
    # counted work alone: a clock would make the answer depend on the machine
    limits = Limits(deterministic=WORK, nodes=int(WORK * 1_000), workers=1, seed=seed)
    findings: list[Finding] = []
    nodes = 0
    for name, backends in agree.items():
        check = f"agreement {name}"
        try:
            program, lift = api.lower(problem, name)
        except MapcError as error:
            findings.append(Finding(check, "a model", f"none: {error}"))
            continue
        answers = {one: ask(program, one, limits=limits) for one in backends}
        nodes += sum(answer.nodes or 0 for answer in answers.values())
        findings += _unproven(check, answers)
        findings += _disagreement(check, answers)
        for backend, answer in answers.items():
            if answer.values is not None:
                findings += _lifted(problem, lift, answer, best, check, backend)
    return Compared(tuple(findings), nodes=nodes)


def _unproven(check: str, answers: Mapping[str, Any]) -> list[Finding]:
    return [
        Finding(
            check,
            f"{backend}: proven",
            f"{backend}: {answer.status.value}, {answer.stop.value}"
            + (f": {answer.message}" if answer.message and answer.stop.failed else ""),
        )
        for backend, answer in answers.items()
        if answer.status.value not in ("optimal", "infeasible")
    ]


def _disagreement(check: str, answers: Mapping[str, Any]) -> list[Finding]:
    """Compare outcomes of proofs, and every bound with every plan."""
    said = {backend: _outcome(answer) for backend, answer in answers.items()}
    text = "; ".join(f"{backend} {outcome}" for backend, outcome in said.items())
    plans = {b: a.objective for b, a in answers.items() if a.objective is not None}
    none = [b for b, a in answers.items() if a.status.value == "infeasible"]
    if none and plans:
        return [Finding(check, "no plan where there is proven to be none", text)]
    proven = [a.objective for a in answers.values() if a.status.value == "optimal"]
    if proven and _apart(min(proven), max(proven)):
        return [Finding(check, "backends prove one optimum", text)]
    bounds = [a.bound for a in answers.values() if a.bound is not None]
    high = max(bounds, default=-math.inf)
    low = min(plans.values(), default=math.inf)
    if high > low and _apart(low, high):
        return [Finding(check, "no bound above a plan", text)]
    return []


def _apart(low: Number, high: Number) -> bool:
    return not high - low <= AGREEMENT * max(1.0, abs(low))


def _outcome(answer: Any) -> str:
    if answer.objective is None:
        return str(answer.status.value)
    text = f"{answer.status.value} {number(answer.objective)}"
    return text if answer.status.value == "optimal" else f"{text}, bound {number(answer.bound)}"


def _lifted(
    problem: Any, lift: Any, answer: Any, best: Best | None, check: str, backend: str
) -> list[Finding]:
    """Replay the plan that a model's answer stands for; relaxations have none."""
    from mapc.models import family_of

    try:
        plan = lift(answer)
    except UsageError:
        return []
    except MapcError as error:
        return [Finding(check, f"{backend}: a plan of its optimum", str(error))]
    verdict = family_of(problem).verify(problem, plan)
    if verdict.violations:
        return [Finding(check, f"{backend}: a plan that keeps the rules", verdict.violations[0])]
    return [
        Finding(check, expected, f"{backend}: a plan of {number(verdict.objective)}")
        for expected in below_proof(best, verdict.objective)
    ]


def below_proof(best: Best | None, objective: Number | None) -> list[str]:
    """Return what a plan of such cost would disprove, in words; mostly nothing."""
    if best is None or objective is None:
        return []
    if best.proven and best.objective is None:
        return ["no plan: it is proven that there is none"]
    if best.bound is not None and objective < best.bound and exceeds(best.bound, objective):
        return [f"no plan below the proven bound {number(best.bound)}, by {best.bound_method}"]
    return []


def exceeds(value: Number, limit: Number) -> bool:
    """Whether a number is above another one, by more than sums in another order differ by."""
    from mapc.quality.ceilings import ROUNDING

    if isinstance(value, int) and isinstance(limit, int):
        return value > limit
    return value - limit > ROUNDING * max(abs(value), abs(limit))
