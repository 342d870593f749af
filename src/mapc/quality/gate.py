"""The gate: whether quality has got worse than what an index says, on any machine alike.

No clock decides anything. Every instance is solved with counted work, one worker and a fixed seed,
and what comes out is held to its index: to ceilings set by `mapc.quality.recording`, to the best
plan and bound known, and to rules that hold of any solver. What is better than the index says is
no fault; the report says how to record it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from mapc.errors import MapcError
from mapc.quality.agreement import below_proof, check_agreement, check_sizes, exceeds
from mapc.quality.breaking import check_verifier
from mapc.quality.findings import Finding, number
from mapc.quality.index import Best, Entry, Number
from mapc.quality.report import BETTER, FAILED, INCONCLUSIVE, PASSED, Checked, Report
from mapc.quality.suite import Case, Suite

TIERS: Final = (1, 2)
"""What the gate runs: instances of tier 3 have nothing to be held to."""
_FAULTS: Final = re.compile(r"plan refused by the verifier|contradicts the plan|^method \S+ failed")
"""Remarks of a run that mapc is broken, though a later method may have made up for it."""
_REMARKS: Final = re.compile(r"^backend ")
"""Remarks that a solver was wrong, which was found out; what that costs, the ceilings say."""

OnCase = Callable[[Checked, int], None]


def regress(
    suite: Suite,
    *,
    jobs: int = 1,
    wall: float | None = None,
    on_case: OnCase | None = None,
) -> Report:
    """Hold every instance of a suite to its index.

    Parameters
    ----------
    suite : Suite
        Instances of tier 3 are left out.
    jobs : int
        Instances to check at a time, each in a process of its own if there are several.
    wall : float, optional
        Seconds after which an instance is given up, each in a process of its own. It can make an
        instance inconclusive, never pass or fail.
    on_case : callable, optional
        Receives each `Checked` as it is done, and how many are.

    Returns
    -------
    Report
        The same, but for seconds, whenever the same suite is checked by the same versions of mapc
        and its solvers.
    """
    cases = [case for case in suite if case.entry.tier in TIERS]
    found: dict[int, Checked] = {}
    for at, checked in _all(cases, jobs, wall):
        found[at] = checked
        if on_case is not None:
            on_case(checked, len(found))
    return Report(str(suite.path), tuple(found[at] for at in range(len(cases))))


def _all(cases: list[Case], jobs: int, wall: float | None) -> Iterable[tuple[int, Checked]]:
    from mapc.quality import children

    if jobs == 1 and wall is None:
        return ((at, check_case(case)) for at, case in enumerate(cases))
    outcomes = children.each(check_case, cases, jobs=jobs, wall=wall)
    return ((at, _settled(cases[at], outcome)) for at, outcome in outcomes)


def _settled(case: Case, outcome: Any) -> Checked:
    from mapc.quality.children import Died, Late

    if isinstance(outcome, Late):
        text = f"not done within {outcome.seconds:g} seconds"
        return Checked(case.label, INCONCLUSIVE, remarks=(text,))
    if isinstance(outcome, Died):
        finding = Finding("run", "an answer", f"the process ended with code {outcome.code}")
        return Checked(case.label, FAILED, (finding,))
    checked: Checked = outcome
    return checked


def check_case(case: Case) -> Checked:
    """Hold one instance to its entry of the index; whatever goes wrong is a finding."""
    started = time.monotonic()
    try:
        checked = _check_case(case)
    except Exception as error:  # one instance that fails must not cost the report
        finding = Finding("run", "an answer", f"{type(error).__name__}: {error}")
        checked = Checked(case.label, FAILED, (finding,))
    return replace(checked, seconds=time.monotonic() - started)


def _check_case(case: Case) -> Checked:
    if case.missing:
        finding = Finding("file", f"{case.entry.source.file}", "not there")
        return Checked(case.label, FAILED, (finding,))
    try:
        problem = case.problem()
    except MapcError as error:
        return Checked(case.label, FAILED, (Finding("hash", case.entry.sha256, str(error)),))
    entry = case.entry
    plan, findings = _known_plan(case, problem)
    sizes = check_sizes(problem, entry.gate.models)
    agreed = check_agreement(problem, entry.gate.agree, entry.best, seed=entry.run.seed)
    result, nodes, crashed = _run(entry, problem)
    findings += [*sizes.findings, *agreed.findings, *crashed]
    better: tuple[str, ...] = ()
    patch = None
    if result is not None:
        findings += check_result(problem, entry, result)
        better = (*improvements(entry, result), *sizes.smaller)
        patch = _best(entry, result)
    plan = plan if result is None or plan is not None else result.plan
    if plan is not None:
        findings += check_verifier(problem, plan)
    outcome = FAILED if findings else BETTER if better else PASSED
    return Checked(
        label=case.label,
        outcome=outcome,
        findings=tuple(findings),
        better=better if outcome == BETTER else (),
        remarks=_remarks(result),
        folder=str(case.folder),
        patch=patch if outcome == BETTER else None,
        status=result.status.value if result is not None else "",
        objective=result.objective if result is not None else None,
        bound=result.bound if result is not None else None,
        steps=len(result.trajectory) if result is not None else 0,
        nodes=nodes + agreed.nodes,
    )


def _remarks(result: Any) -> tuple[str, ...]:
    notes = () if result is None else result.notes
    return tuple(text for text in notes if _REMARKS.search(text))


# -- what is known ---------------------------------------------------------------------------------


def _known_plan(case: Case, problem: Any) -> tuple[Any, list[Finding]]:
    """Return the best plan known, if the verifier has nothing against it, and what it has."""
    from mapc.models import family_of

    best = case.entry.best
    if best is None or best.plan is None:
        return None, []
    try:
        plan = case.best_plan(problem)
    except MapcError as error:
        return None, [Finding("best plan", f"a plan in {best.plan}", str(error))]
    verdict = family_of(problem).verify(problem, plan)
    if verdict.violations:
        return None, [Finding("best plan", "keeps the rules", verdict.violations[0])]
    if verdict.objective != best.objective:
        expected = f"costs {number(best.objective)}"
        return plan, [Finding("best plan", expected, f"costs {number(verdict.objective)}")]
    return plan, []


# -- the run ---------------------------------------------------------------------------------------


def _run(entry: Entry, problem: Any) -> tuple[Any, int, list[Finding]]:
    """Solve as `mapc.solve` does without a clock; return the result and the nodes it took."""
    from mapc.models import family_of
    from mapc.solvers.portfolio import Portfolio

    class Counting(Portfolio):
        nodes = 0

        def solve(self, *args: Any, **options: Any) -> Any:
            answer = super().solve(*args, **options)
            self.nodes += answer.nodes or 0
            return answer

    run = Counting(family_of(problem), problem, time_limit=None, seed=entry.run.seed)
    try:
        result = run.run(entry.run.methods)
    except Exception as error:  # models and plans are worth checking all the same
        return None, run.nodes, [Finding("run", "an answer", f"{type(error).__name__}: {error}")]
    if result.interrupted:
        raise KeyboardInterrupt
    return result, run.nodes, []


def check_result(problem: Any, entry: Entry, result: Any) -> list[Finding]:
    """Hold a result to the ceilings of an entry, to the best known, and to its own plan.

    Parameters
    ----------
    problem : problem of any family
    entry : Entry
    result : Result
        Of a run without a clock.
    """
    return [
        *(
            Finding("run", "nothing refused, nothing failed", text)
            for text in result.notes
            if _FAULTS.search(text)
        ),
        *_fresh_plan(problem, result),
        *_unsound(entry.best, result),
        *_too_bad(entry, result),
    ]


def _fresh_plan(problem: Any, result: Any) -> list[Finding]:
    """Replay the plan of a result, whatever the portfolio says of it."""
    from mapc.models import family_of

    if result.plan is None:
        return []
    verdict = family_of(problem).verify(problem, result.plan)
    if verdict.violations:
        found = f"{verdict.violations[0]} ({result.method})"
        return [Finding("plan", "keeps the rules", found)]
    if verdict.objective != result.objective:
        found = f"costs {number(verdict.objective)}"
        return [Finding("plan", f"costs {number(result.objective)}", found)]
    return []


def _unsound(best: Best | None, result: Any) -> list[Finding]:
    """Return bounds above plans, and plans below bounds: one of the two is wrong."""
    findings = []
    plans: list[tuple[Number | None, str]] = [(result.objective, f"a plan of {result.method}")]
    if best is not None:
        plans.insert(0, (best.objective, "the best plan known"))
    for cost, whose in plans:
        if cost is None:
            continue
        if result.bound is not None and exceeds(result.bound, cost):
            found = f"{number(result.bound)}, by {result.bound_method}"
            findings.append(Finding("bound", f"at most {number(cost)}, {whose}", found))
            break
    if result.status.value == "infeasible" and best is not None and best.objective is not None:
        expected = f"a plan; one of {number(best.objective)} is known"
        findings.append(Finding("proof", expected, f"infeasible: {result.reason}"))
    findings += [
        Finding("proof", expected, f"a plan of {number(result.objective)}, by {result.method}")
        for expected in below_proof(best, result.objective)
    ]
    return findings


def _too_bad(entry: Entry, result: Any) -> list[Finding]:
    """Compare with the ceiling, the floor, and whether there has to be a proof."""
    gate, best = entry.gate, entry.best
    without = result.status.value == "infeasible"
    cost, bound = result.objective, result.bound
    findings = []
    if gate.objective is not None and (cost is None or cost > gate.objective):
        expected = f"at most {number(gate.objective)}"
        if best is not None and best.objective is not None:
            expected += f" (best known {number(best.objective)}, by {best.method})"
        findings.append(Finding("objective", expected, _worse(result, gate.objective)))
    # a proof that there is no plan needs no bound
    if gate.bound is not None and not without and (bound is None or bound < gate.bound):
        expected = f"at least {number(gate.bound)}"
        if best is not None and best.bound is not None:
            expected += f" (best known {number(best.bound)}, by {best.bound_method})"
        whose = f", by {result.bound_method}" if result.bound_method else ""
        findings.append(Finding("bound", expected, number(bound) + whose))
    if gate.proven and not without and result.status.value != "optimal":
        found = f"{result.status.value}, objective {number(cost)}, bound {number(bound)}"
        findings.append(Finding("proof", "proven", found))
    return findings


def _worse(result: Any, ceiling: Number) -> str:
    if result.objective is None:
        return f"no plan: {result.status.value}" + (f", {result.reason}" if result.reason else "")
    more = f" ({(result.objective - ceiling) / abs(ceiling):+.3%})" if ceiling else ""
    return f"{number(result.objective)}{more}, by {result.method}"


# -- what is better --------------------------------------------------------------------------------


def improvements(entry: Entry, result: Any) -> tuple[str, ...]:
    """Return what a result has that its entry has not, one line each.

    Differences that rounding explains are none.
    """
    best, found = entry.best, []
    cost = None if best is None else best.objective
    bound = None if best is None else best.bound
    if result.objective is not None and (cost is None or exceeds(cost, result.objective)):
        found.append(f"objective {number(cost)} -> {number(result.objective)}")
    none_known = best is not None and best.proven and best.objective is None
    if result.status.value == "infeasible":
        if not none_known:
            found.append("proven to have no plan")
    elif result.bound is not None and (bound is None or exceeds(result.bound, bound)):
        found.append(f"bound {number(bound)} -> {number(result.bound)}")
    if result.status.value == "optimal" and not entry.gate.proven:
        found.append("proven without a clock")
    return tuple(found)


def _best(entry: Entry, result: Any) -> dict[str, Any]:
    """Return what ``mapc record`` would put into the index."""
    best = entry.best
    known = best.objective if best is not None else None
    ours = result.objective is not None and (known is None or result.objective < known)
    low = best.bound if best is not None else None
    raised = result.bound is not None and (low is None or result.bound > low)
    objective = result.objective if ours else known
    bound = result.bound if raised else low
    without = result.status.value == "infeasible"
    return {
        "objective": objective,
        "bound": None if without else bound,
        "proven": without or (objective is not None and objective == bound),
        "method": result.method if ours or best is None else best.method,
        "bound_method": result.reason
        if without
        else (result.bound_method if raised or best is None else best.bound_method),
        "seed": entry.run.seed if ours or best is None else best.seed,
    }
