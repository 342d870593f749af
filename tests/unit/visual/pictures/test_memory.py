"""Pictures of memory plans, read back."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.graph.operators import OperatorGraph
from mapc.models.memory.options import Options
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.quality.suite import Suite
from mapc.visual.figure import ROLES, UNITS, Figure, Points, Rects, Rule, Section, Steps
from mapc.visual.loading import of_plan
from mapc.visual.pictures.memory import sections
from mapc.visual.pictures.memory_map import map_figures
from mapc.visual.pictures.memory_traffic import traffic_figure
from mapc.visual.pictures.memory_transfers import Transfers
from mapc.visual.view import Record, View
from oracles.memory_banks import banked_memory
from oracles.memory_cases import chain_with_skip, spilled_chain
from oracles.memory_options import optioned_problems
from oracles.memory_plans import any_plan, solved

LIBRARY = Path(__file__).parents[4] / "instances" / "memory"
SMALL = 12
"""Instances of the library that are drawn."""
PROBLEMS = st.one_of(optioned_problems(max_operators=4, recompute=True), banked_memory())


def view_of(problem: MemoryProblem, plan: MemoryPlan, **record: object) -> View:
    return of_plan(problem, plan, Record(**record), "plan.json")


def spilled_view(graph: OperatorGraph | None = None) -> View:
    problem, plan = spilled_chain()
    return view_of(problem if graph is None else replace(problem, graph=graph), plan)


def figures(found: Iterable[Section]) -> dict[str, Figure]:
    every = [figure for section in found for figure in section.figures]
    named = {figure.key: figure for figure in every}
    assert len(named) == len(every)
    return named


def of_type(figure: Figure, kind: type) -> dict[str, object]:
    found = {mark.name: mark for mark in figure.marks if isinstance(mark, kind)}
    assert len(found) == sum(isinstance(mark, kind) for mark in figure.marks)
    return found


def rectangles(figure: Figure) -> list[tuple[float, ...]]:
    """Return start, stop, address and end of all that is drawn."""
    return [
        tuple(row)
        for mark in figure.marks
        if isinstance(mark, Rects)
        for row in np.stack([mark.x0, mark.x1, mark.y0, mark.y1], axis=1).tolist()
    ]


def check_form(figure: Figure) -> None:
    """Assert what the renderers rely on."""
    assert figure.key
    assert set(figure.key) <= set("abcdefghijklmnopqrstuvwxyz-0123456789")
    for axis in (figure.x, figure.y):
        assert axis.low < axis.high
        assert axis.unit in UNITS
    for mark in figure.marks:
        assert mark.role in ROLES
        if isinstance(mark, Rects):
            assert (mark.x0 <= mark.x1).all()
            assert (mark.y0 <= mark.y1).all()
            assert len(mark.titles) == len(mark.x0) > 0
        elif isinstance(mark, Points):
            assert len(mark.titles) == len(mark.x) == len(mark.y) > 0
        elif isinstance(mark, Steps):
            assert len(mark.x) == len(mark.y) + 1
            assert (np.diff(mark.x) >= 0).all()
    for table in [figure.table] if figure.table else []:
        assert len(table.units) == len(table.columns)
        assert all(len(row) == len(table.columns) for row in table.rows)


def held(problem: MemoryProblem, plan: MemoryPlan, bank: int) -> list[tuple[float, ...]]:
    """Return start, stop, address and end of all that a plan has in a bank."""
    unit = problem.alignment
    sizes = [-(-size // unit) * unit for size in problem.graph.tensor_bytes.tolist()]
    rows = [
        (start, stop, at, at + sizes[t])
        for t, start, stop, at, b in zip(
            plan.tensor, plan.start, plan.stop, plan.address, plan.bank, strict=True
        )
        if b == bank
    ]
    for step, run in enumerate(plan.runs.tolist()):
        size = -(-int(problem.graph.workspace[plan.order[step]]) // unit) * unit
        if size and plan.workspace_bank[run] == bank:
            at = int(plan.workspace_address[run])
            rows.append((step, step + 1, at, at + size))
    return [tuple(map(float, row)) for row in rows]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), problem=PROBLEMS)
def test_every_residency_and_workspace_is_one_rectangle(
    data: st.DataObject, problem: MemoryProblem
) -> None:
    plan = data.draw(any_plan(problem))
    named = figures(sections(view_of(problem, plan)))
    for figure in named.values():
        check_form(figure)
    if not problem.options.banks:
        found = {0: rectangles(named["memory-map"])}
    else:
        maps = [key for key in named if key.startswith("memory-map-")]
        found = {int(key.rpartition("-")[2]): rectangles(named[key]) for key in maps}
    for bank in range(max(1, len(problem.options.banks))):
        assert sorted(found.get(bank, [])) == sorted(held(problem, plan, bank))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), problem=PROBLEMS)
def test_bars_add_up_to_the_figures_of_the_verifier(
    data: st.DataObject, problem: MemoryProblem
) -> None:
    plan = data.draw(any_plan(problem))
    facts = verify(problem, plan).facts
    assume("reloaded_bytes" in facts)
    for most in (1_000, 3):
        figure = traffic_figure(Transfers(problem, plan), most)
        bars = of_type(figure, Rects)
        total = {
            name: int((mark.y1 - mark.y0).sum())
            for name, mark in bars.items()
            if isinstance(mark, Rects)
        }
        for key, name in (
            ("compulsory", "compulsory"),
            ("reloaded", "reloads"),
            ("spilled", "spills"),
            ("streamed", "streamed reads"),
        ):
            assert total.get(name, 0) == facts.get(f"{key}_bytes", 0)
        steps = {x for mark in bars.values() if isinstance(mark, Rects) for x in mark.x0.tolist()}
        assert len(steps) <= most


def test_bars_stand_upon_each_other() -> None:
    view = spilled_view()
    together = replace(view, plan=replace(view.plan, written=np.array([True] * 5)))
    moved = Transfers(together.problem, together.plan)
    bars = of_type(traffic_figure(moved), Rects)
    spans = {
        name: list(zip(mark.x0.tolist(), mark.y0.tolist(), mark.y1.tolist(), strict=True))
        for name, mark in bars.items()
        if isinstance(mark, Rects)
    }
    # at the last step: 5 reloaded, 3 of t2 and 5 of t0 spilled, 1 of t3 written as it has to be
    assert spans["reloads"] == [(3, 0, 5)]
    assert spans["spills"] == [(1, 0, 5), (2, 0, 2), (3, 5, 13)]
    assert spans["compulsory"] == [(3, 13, 14)]
    assert traffic_figure(moved).y.high > 14


def test_loads_and_spills_are_where_residencies_begin_and_end() -> None:
    view = spilled_view()
    assert view.violations == ()
    figure = figures(sections(view))["memory-map"]
    points = of_type(figure, Points)
    assert set(points) == {"outputs written (compulsory)", "reloads", "spills"}
    reload, spill = points["reloads"], points["spills"]
    assert isinstance(reload, Points)
    assert isinstance(spill, Points)
    assert (reload.x.tolist(), reload.y.tolist()) == ([3.0], [5.5])
    assert (spill.x.tolist(), spill.y.tolist()) == ([2.0], [2.5])
    assert reload.shape != spill.shape
    assert reload.titles == ("t0: reloaded at step 3, 5 B",)
    assert spill.titles == ("t0: spilled at step 1, 5 B",)
    rects = of_type(figure, Rects)["activations"]
    assert isinstance(rects, Rects)
    assert rects.titles[0] == "t0: 5 B at 0, steps 0 to 1, made by o0, spilled"


def test_many_compulsory_transfers_are_said_by_their_rectangles_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    view = spilled_view()
    assert "compulsory" not in figures(sections(view))["memory-map"].note
    monkeypatch.setattr("mapc.visual.pictures.memory_map.COMPULSORY_DOTS", 0)
    figure = figures(sections(view))["memory-map"]
    assert set(of_type(figure, Points)) == {"reloads", "spills"}
    assert "1 compulsory transfers" not in figure.note
    assert "1 compulsory transfer has no dot" in figure.note


def rules(figure: Figure) -> list[tuple[str, str, float]]:
    found = [mark for mark in figure.marks if isinstance(mark, Rule)]
    return [(rule.role, rule.axis, rule.at) for rule in found]


def test_lines_are_capacity_bound_and_peak() -> None:
    named = figures(sections(spilled_view()))
    expected = [("limit", "y", 9.0), ("bound", "y", 9.0), ("mark", "x", 3.0)]
    assert rules(named["memory-map"]) == expected
    assert rules(named["live-bytes"]) == expected


def test_bytes_in_use_beside_the_working_sets() -> None:
    view = spilled_view()
    steps = of_type(figures(sections(view))["live-bytes"], Steps)
    live, need = steps["bytes in use"], steps["working set of the operator"]
    assert isinstance(live, Steps)
    assert isinstance(need, Steps)
    assert live.x.tolist() == [0, 1, 2, 3, 4]
    assert live.y.tolist() == [5, 7, 5, 9]
    assert need.y.tolist() == view.problem.graph.working_set.tolist()


def test_a_far_capacity_is_told_and_not_drawn() -> None:
    view = spilled_view()
    far = replace(view, problem=replace(view.problem, capacity=2**40))
    for key in ("memory-map", "live-bytes"):
        figure = figures(sections(far))[key]
        assert "limit" not in [role for role, _, _ in rules(figure)]
        assert figure.y.high < 20
        assert "1 TiB" in figure.note


def test_a_bound_on_the_peak_is_a_line_only_where_the_peak_was_minimised() -> None:
    view = spilled_view()
    told = replace(view, record=Record(bound=10))
    assert ("bound", "y", 10.0) not in rules(figures(sections(told))["memory-map"])
    peak = replace(view, record=Record(bound=10, asked={"minimize": "peak"}))
    assert ("bound", "y", 10.0) in rules(figures(sections(peak))["memory-map"])


@pytest.mark.parametrize("most", [1, 2, 4, 6, 7])
def test_what_is_too_much_leaves_the_smallest_out(most: int) -> None:
    view = spilled_view()
    moved = Transfers(view.problem, view.plan)
    (figure,) = map_figures(view, moved, most)
    marks = [mark for mark in figure.marks if isinstance(mark, Rects | Points)]
    assert sum(len(mark.titles) for mark in marks) <= most
    area = {(0, 2): 10, (1, 3): 4, (2, 4): 6, (3, 4): 5}
    drawn = sorted((area.get(row[:2], 0) for row in rectangles(figure)), reverse=True)
    # marks of each, from the largest on: t0 with its spill, t2, t0 with its reload, t1, t3
    fit = [sum((2, 1, 2, 1, 2)[: i + 1]) <= most for i in range(5)]
    assert len(drawn) == sum(fit)
    assert figure.note.startswith(f"{5 - sum(fit)} resid")


def test_names_are_passed_on_raw_and_cut_so_that_numbers_stay() -> None:
    names = ("<script>alert(1)</script>", "x" * 10_000, "\u202eevil\x00", "'\"&")
    graph = replace(chain_with_skip().graph, tensor_names=names)
    named = figures(sections(spilled_view(graph)))
    rects = of_type(named["memory-map"], Rects)["activations"]
    assert isinstance(rects, Rects)
    assert rects.titles[0].startswith("<script>alert(1)</script>: 5 B")
    assert rects.titles[1].startswith("x" * 60)
    assert "…: 2 B at 5, steps 1 to 2" in rects.titles[1]
    assert max(map(len, rects.titles)) < 200
    table = named["memory-map"].table
    assert table is not None
    assert {row[0] for row in table.rows} == set(names)


def test_what_cannot_be_drawn_is_said() -> None:
    view = spilled_view()
    wrong = replace(view, plan=replace(view.plan, stop=view.plan.stop[:2]))
    (section,) = sections(wrong)
    assert section.figures == ()
    assert "different lengths" in section.text


def test_each_bank_has_a_map_and_the_empty_ones_a_word() -> None:
    view = spilled_view()
    options = Options(banks=(("a", 9), ("b", 4), ("c", 2)))
    plan = replace(view.plan, bank=np.array([0, 1, 0, 0, 1]), address=np.array([0, 0, 0, 3, 0]))
    banked = view_of(replace(view.problem, capacity=None, options=options), plan)
    assert banked.violations == ()
    found = sections(banked)
    named = figures(found)
    assert list(named) == ["memory-map-0", "memory-map-1", "live-bytes", "traffic"]
    assert "bank c" in found[0].text
    assert rules(named["memory-map-1"])[0] == ("limit", "y", 4.0)
    lines = of_type(named["live-bytes"], Steps)
    assert [lines[f"in bank {name}"].y.tolist() for name in "abc"] == [  # type: ignore[attr-defined]
        [5, 5, 3, 8],
        [0, 2, 2, 1],
        [0, 0, 0, 0],
    ]


def test_operators_that_run_again_are_marked() -> None:
    view = spilled_view()
    again = replace(view.problem, options=Options(recompute=((0, 1),)))
    plan = MemoryPlan(
        order=np.array([0, 1, 2, 0, 3]),
        tensor=np.array([0, 1, 2, 0, 3]),
        start=np.array([0, 1, 2, 3, 4]),
        stop=np.array([2, 3, 5, 5, 5]),
        address=np.array([0, 5, 0, 3, 8]),
        written=np.array([False, False, False, False, True]),
        workspace_address=np.full(5, -1),
    )
    remade = view_of(again, plan)
    assert remade.violations == ()
    found = sections(remade)
    points = of_type(figures(found)["memory-map"], Points)
    assert set(points) == {"outputs written (compulsory)", "made again"}
    assert "1 of them a further run" in found[0].text
    assert "1 tensor made again instead of reloaded" in found[2].text


def test_the_chain_as_it_is_solved() -> None:
    plan = solved(chain_with_skip(9))
    assert plan is not None
    named = figures(sections(view_of(chain_with_skip(9), plan)))
    assert list(named) == ["memory-map", "live-bytes", "traffic", "front"]


def test_the_best_plans_of_the_library_are_drawn() -> None:
    """The small ones; those of weights that are streamed are among them."""
    suite = Suite.read(LIBRARY)
    cases = [case for case in suite if case.entry.best is not None and case.entry.best.plan]
    streamed = [case for case in cases if "weights" in case.name]
    assert streamed
    for case in [*cases[:SMALL], *streamed]:
        problem = case.problem()
        view = view_of(problem, case.best_plan(problem))
        named = figures(sections(view))
        for figure in named.values():
            check_form(figure)
        assert sorted(rectangles(named["memory-map"])) == sorted(held(problem, view.plan, 0))
