"""The gate: every defect that it is there for, planted in a library that passes without."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.models import family
from mapc.models.base import Method
from mapc.models.bits.plan import BitsPlan
from mapc.quality import gate
from mapc.quality.gate import check_case, regress
from mapc.quality.index import Source
from mapc.quality.recording import record
from mapc.quality.report import BETTER, FAILED, PASSED, Checked
from mapc.quality.suite import Suite
from mapc.solvers import registry

TINY = {"groups": 6, "formats": 3, "seed": 2}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Proven and not, with models and without, and one that has no plan."""
    folder = tmp_path_factory.mktemp("library")
    for name, tier, budgets, methods in (
        ("proven", 1, ("size=4bpw",), None),
        ("open", 2, ("size=4bpw",), ("uniform", "greedy")),
        ("none", 1, ("size=1bpw",), None),
    ):
        record(
            folder / "bits",
            name,
            source=Source(generate=TINY, budgets=budgets),
            kind="bits",
            origin="generated",
            tier=tier,
            methods=methods,
        )
    small = mapc.generate("memory", network="layered", operators=5, width=2, seed=17)
    small = mapc.api.family_of(small).with_capacity(small, "M_R")
    record(folder / "memory", "layered", problem=small, origin="generated", tier=1)
    return folder


@pytest.fixture
def library(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    for path in built.rglob("*.json"):
        target = tmp_path / path.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def check(library: Path, name: str) -> Checked:
    (case,) = Suite.read(library, names=[name])
    return check_case(case)


def checks(checked: Checked) -> set[str]:
    return {one.check for one in checked.findings}


def edit(library: Path, name: str, change: Callable[[Any], object]) -> None:
    path = library / "bits" / "index.json"
    document = json.loads(path.read_text())
    change(next(one for one in document["instances"] if one["name"] == name))
    path.write_text(json.dumps(document))


def test_a_library_passes_as_it_was_recorded(built: Path) -> None:
    report = regress(Suite.read(built))
    assert report.ok
    assert [(one.label, one.outcome, one.status) for one in report.cases] == [
        ("bits/proven", PASSED, "optimal"),
        ("bits/open", PASSED, "feasible"),
        ("bits/none", PASSED, "infeasible"),
        ("memory/layered", PASSED, "optimal"),
    ]


# -- planted defects -------------------------------------------------------------------------------


def with_method(monkeypatch: pytest.MonkeyPatch, name: str, run: Any) -> None:
    """Put another function in place of a method of the bits family."""
    one = family("bits")
    methods = tuple(replace(m, run=run) if m.name == name else m for m in one.methods)
    assert run in [m.run for m in methods]
    monkeypatch.setattr(one, "methods", methods, raising=False)


def test_a_heuristic_made_worse_by_one_percent(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = check(built, "open").objective
    assert known is not None
    worse = next(plan for plan, cost in neighbours() if 1.01 * known <= cost)

    def propose(problem: Any, search: Any) -> None:
        search.propose(worse, "greedy")

    with_method(monkeypatch, "uniform", lambda problem, search: None)
    with_method(monkeypatch, "greedy", propose)
    found = check(built, "open")
    assert found.outcome == FAILED
    (finding,) = [one for one in found.findings if one.check == "objective"]
    assert re.match(r"at most [\d.]+ \(best known [\d.]+, by \w+\)$", finding.expected)
    assert re.match(r"[\d.]+ \(\+\d\.\d+%\), by greedy$", finding.found)


def neighbours() -> list[tuple[BitsPlan, float]]:
    """Plans by cost, the next dearest first."""
    problem = mapc.with_budgets(mapc.generate("bits", **TINY), ["size=4bpw"])
    shape = (3,) * 6
    plans = [BitsPlan(problem.start[:-1] + np.array(one)) for one in np.ndindex(*shape)]
    verdicts = [(plan, family("bits").verify(problem, plan)) for plan in plans]
    valid = [(plan, float(v.objective or 0)) for plan, v in verdicts if not v.violations]
    return sorted(valid, key=lambda pair: pair[1])


def test_a_bound_made_too_high(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = check(built, "proven").objective
    assert known is not None

    def prove(problem: Any, search: Any) -> None:
        search.prove(known * 1.0001, "floor")

    methods = [m for m in family("bits").methods if m.name == "floor"]
    with_method(monkeypatch, methods[0].name, prove)
    found = check(built, "proven")
    (finding,) = [one for one in found.findings if one.check == "bound"]
    assert finding.expected.endswith("the best plan known")
    assert finding.found.endswith(", by floor")


def test_a_verifier_that_skips_a_rule(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate breaks that rule itself; and what methods may do now, a proof says they cannot."""
    rules = import_module("mapc.models.bits.verify")
    monkeypatch.setattr(rules, "_over", lambda problem, used: [])
    found = check(built, "proven")
    assert {"verifier", "proof"} <= checks(found)
    assert "refuses a plan in which the budget of size is exceeded" in {
        one.expected for one in found.findings
    }


def lowering(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Have every formulation of the bits family lowered into a changed program."""
    one = family("bits")

    def changed(formulation: Any) -> Any:
        def lower(problem: Any, **options: Any) -> Any:
            program, lift = formulation.lower(problem, **options)
            return change(program), lift

        return replace(formulation, lower=lower)

    formulations = {name: changed(f) for name, f in one.formulations.items()}
    monkeypatch.setattr(one, "formulations", formulations, raising=False)


def copied(program: Any, rows: Any) -> Any:
    """A program with some of the rows of another one, in that order."""
    from mapc.program import Program

    matrix = program.matrix
    made = Program(program.name)
    made.variables(
        len(matrix.cost), matrix.lower, matrix.upper, cost=matrix.cost, integer=matrix.integer
    )
    made.offset = program.offset
    for row in rows:
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, values = matrix.indices[part], matrix.coefficients[part]
        made.rows(columns[None], values, matrix.row_lower[row], matrix.row_upper[row])
    return made


def test_a_formulation_with_one_constraint_dropped(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget: the model's optimum is a plan that breaks it."""

    def budget_last(program: Any) -> list[int]:
        lengths = np.diff(program.matrix.indptr)
        return [int(row) for row in np.flatnonzero(lengths < lengths.max())]

    lowering(monkeypatch, lambda program: copied(program, budget_last(program)))
    found = check(built, "proven")
    assert found.outcome == FAILED
    assert any(
        one.check == "agreement choice" and "above the budget" in one.found
        for one in found.findings
    )


def test_a_model_with_ten_percent_more_rows(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice_the_first(program: Any) -> Any:
        n = program.n_rows
        return copied(program, [*range(n), *range(-(-n // 10))])

    lowering(monkeypatch, twice_the_first)
    found = check(built, "proven")
    assert checks(found) == {"model choice", "model edge-flow", "model pairwise"}
    rows = [one for one in found.findings if one.found.split()[1] == "rows"]
    assert [(one.expected, one.found) for one in rows[:1]] == [
        ("at most 7 rows", "8 rows (+14.3%)")
    ]


def test_a_model_that_is_smaller_is_no_failure(library: Path) -> None:
    edit(library, "proven", lambda one: one["gate"]["models"]["choice"].update(rows=9))
    found = check(library, "proven")
    assert found.outcome == BETTER
    assert found.better[0].startswith("model choice: 9 rows, ")


def wrong(answer: Any, **changes: Any) -> Any:
    return replace(answer, **changes) if answer.backend == "cpsat" else answer


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"objective": 1.0, "bound": 1.0}, "backends prove one optimum"),
        ({"objective": 10.0**12, "bound": 10.0**12}, "backends prove one optimum"),
        (
            {"status": "infeasible", "objective": None, "values": None},
            "no plan where there is proven to be none",
        ),
    ],
)
def test_a_backend_that_returns_a_wrong_optimum(
    built: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], expected: str
) -> None:
    from mapc.solvers.base import Status

    honest = registry.solve
    if "status" in changes:
        changes = {**changes, "status": Status(changes["status"])}

    def solve(program: Any, backend: str = "highs", **options: Any) -> Any:
        return wrong(honest(program, backend, **options), **changes)

    monkeypatch.setattr(registry, "solve", solve)
    found = check(built, "proven")
    agreement = [one for one in found.findings if one.check == "agreement choice"]
    assert [one.expected for one in agreement] == [expected]
    assert "cpsat" in agreement[0].found


# -- what else it notices --------------------------------------------------------------------------


def test_an_instance_that_has_changed(library: Path) -> None:
    edit(library, "open", lambda one: one["source"]["generate"].update(seed=1))
    found = check(library, "open")
    (finding,) = found.findings
    assert finding.check == "hash"
    assert "its source gives another problem" in finding.found


def test_an_instance_that_is_not_there(library: Path) -> None:
    (library / "memory" / "files" / "layered.json").unlink()
    found = check(library, "layered")
    assert [one.lines() for one in found.findings] == [
        ["file", "  - files/layered.json", "  + not there"]
    ]


def test_a_recorded_plan_that_is_not_what_the_index_says(library: Path) -> None:
    edit(library, "open", lambda one: one["best"].update(objective=one["best"]["objective"] + 1))
    assert "best plan" in checks(check(library, "open"))


def test_a_recorded_plan_that_breaks_a_rule(library: Path) -> None:
    (case,) = Suite.read(library, names=["open"])
    assert case.entry.best is not None
    assert case.entry.best.plan is not None
    path = case.folder / case.entry.best.plan
    document = json.loads(path.read_text())
    most = mapc.generate("bits", **TINY).start[1:] - 1
    document["plan"]["option"] = most.tolist()
    path.write_text(json.dumps(document))
    (finding,) = check(library, "open").findings
    assert finding.check == "best plan"
    assert "above the budget" in finding.found


def test_a_plan_below_a_proven_bound(library: Path) -> None:
    def raise_bound(one: Any) -> None:
        cost = 2 * one["best"]["objective"]
        one["best"].update(objective=cost, bound=cost, proven=True)

    edit(library, "open", raise_bound)
    found = check(library, "open")
    assert "proof" in checks(found)
    assert any(one.expected.startswith("no plan below the proven bound") for one in found.findings)


def test_a_proof_that_is_lost(library: Path) -> None:
    edit(library, "proven", lambda one: one["run"].update(methods=["uniform", "greedy"]))
    found = check(library, "proven")
    assert {"proof", "bound"} <= checks(found)


def test_a_plan_of_what_was_proven_to_have_none(library: Path) -> None:
    edit(library, "none", lambda one: one.update(source={"generate": TINY}))
    path = library / "bits" / "index.json"
    document = json.loads(path.read_text())
    first, _, none = document["instances"]
    none["source"], none["sha256"] = first["source"], first["sha256"]
    path.write_text(json.dumps(document))
    found = check(library, "none")
    assert "no plan: it is proven that there is none" in {one.expected for one in found.findings}


def test_a_problem_called_infeasible_that_has_a_plan(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(problem: Any) -> None:
        raise mapc.InfeasibleError("no plan at all")

    monkeypatch.setattr(family("bits"), "precheck", refuse)
    found = check(built, "proven")
    assert any(one.found == "infeasible: no plan at all" for one in found.findings)


def test_a_method_that_fails_or_whose_plan_is_refused(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def propose(problem: Any, search: Any) -> None:
        search.propose(BitsPlan(problem.start[1:] - 1), "uniform")
        raise RuntimeError("out of luck")

    with_method(monkeypatch, "uniform", propose)
    found = [one.found for one in check(built, "open").findings]
    assert len(found) == 2
    assert found[0].startswith("uniform: plan refused by the verifier")
    assert found[1] == "method uniform failed: RuntimeError: out of luck"


def test_a_run_that_ends_without_an_answer(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(problem: Any, plan: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(family("bits"), "verify", crash)
    (finding,) = check(built, "open").findings
    assert finding.lines() == ["run", "  - an answer", "  + ZeroDivisionError: division by zero"]


# -- what is better --------------------------------------------------------------------------------


def test_a_better_plan_prints_what_records_it(library: Path) -> None:
    plan, cost = neighbours()[-1]
    problem = mapc.with_budgets(mapc.generate("bits", **TINY), ["size=4bpw"])
    (case,) = Suite.read(library, names=["open"])
    assert case.entry.best is not None
    assert case.entry.best.plan is not None
    mapc.write(plan, library / "plan.json", problem=problem)
    stored = json.loads((case.folder / case.entry.best.plan).read_text())
    stored["plan"] = json.loads((library / "plan.json").read_text())["plan"]
    (case.folder / case.entry.best.plan).write_text(json.dumps(stored))
    edit(library, "open", lambda one: one["best"].update(objective=cost, method="by hand"))
    report = regress(Suite.read(library, names=["open"]))
    assert report.ok
    (found,) = report.cases
    assert found.outcome == BETTER
    assert found.better == (f"objective {cost!r} -> {found.objective!r}",)
    assert found.patch is not None
    assert found.patch["objective"] == found.objective
    assert found.command == f"mapc record {library / 'bits'} open"
    changes = record(library / "bits", "open").changes
    assert changes[0] == f"objective {cost!r} -> {found.objective!r}"
    assert check(library, "open").outcome == PASSED


def test_a_first_plan_and_a_first_proof_are_better(library: Path) -> None:
    def forget(one: Any) -> None:
        one["best"], one["gate"] = None, {}

    edit(library, "proven", forget)
    found = check(library, "proven")
    assert found.outcome == BETTER
    assert [text.split()[0] for text in found.better] == ["objective", "bound", "proven"]
    assert found.patch is not None
    assert found.patch["proven"] is True


# -- suites ----------------------------------------------------------------------------------------


def test_instances_of_tier_three_are_left_out(library: Path) -> None:
    edit(library, "open", lambda one: one.update(tier=3))
    report = regress(Suite.read(library, names=["open", "none"]))
    assert [one.label for one in report.cases] == ["bits/none"]


def test_a_clock_makes_inconclusive_and_no_more(built: Path) -> None:
    report = regress(Suite.read(built, names=["open", "none"]), wall=1e-6)
    assert report.ok
    assert report.summary == "2 instances: 0 pass, 0 better, 0 FAIL, 2 inconclusive"
    assert "bits/open: inconclusive, not done within 1e-06 seconds" in report.text()


def test_several_at_a_time_report_the_same(built: Path) -> None:
    suite = Suite.read(built, kinds=["bits"])
    seen: list[int] = []
    parallel = regress(suite, jobs=2, on_case=lambda checked, done: seen.append(done))
    assert parallel.text() == regress(suite).text()
    assert seen == [1, 2, 3]


def test_methods_are_those_of_the_index() -> None:
    """What the tests above replace is what the portfolio runs."""
    assert all(isinstance(one, Method) for one in family("bits").methods)
    assert gate.TIERS == (1, 2)
