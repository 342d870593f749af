"""Pictures of allocation plans, read back."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.quality.suite import Suite
from mapc.visual.figure import ROLES, Figure, Rects, Rule, Section, Steps
from mapc.visual.loading import of_plan
from mapc.visual.pictures.allocation import Placed, map_figures, sections, size_classes
from mapc.visual.view import Record, View
from oracles.allocation_banks import banked_problems
from oracles.allocation_bruteforce import problem_of

LIBRARY = Path(__file__).parents[4] / "instances" / "allocation"
SMALL = 14
"""Instances of the library that are drawn."""


def view_of(problem: AllocationProblem, plan: AllocationPlan, **record: object) -> View:
    return of_plan(problem, plan, Record(**record), "plan.json")


def steps_up(capacity: int | None = 16) -> View:
    """Three buffers; the last lies on a hole of 2 bytes."""
    problem = problem_of([(0, 4, 5), (2, 6, 3), (4, 8, 6)], capacity)
    return view_of(problem, AllocationPlan(np.array([0, 5, 10])))


def figures(found: Iterable[Section]) -> dict[str, Figure]:
    every = [figure for section in found for figure in section.figures]
    named = {figure.key: figure for figure in every}
    assert len(named) == len(every)
    return named


def series(figure: Figure) -> dict[str, Rects]:
    return {mark.name: mark for mark in figure.marks if isinstance(mark, Rects)}


def rectangles(found: Iterable[Rects]) -> list[tuple[float, ...]]:
    return sorted(
        tuple(row)
        for mark in found
        for row in np.stack([mark.x0, mark.x1, mark.y0, mark.y1], axis=1).tolist()
    )


def rules(figure: Figure) -> list[tuple[str, str, float]]:
    found = [mark for mark in figure.marks if isinstance(mark, Rule)]
    return [(rule.role, rule.axis, rule.at) for rule in found]


def check_form(figure: Figure) -> None:
    """Assert what the renderers rely on."""
    assert figure.x.low < figure.x.high
    assert figure.y.low < figure.y.high
    assert all(mark.role in ROLES for mark in figure.marks)
    for mark in series(figure).values():
        assert len(mark.titles) == len(mark.x0) > 0
        assert (mark.x0 <= mark.x1).all()
        assert (mark.y0 <= mark.y1).all()
    for mark in figure.marks:
        if isinstance(mark, Steps):
            assert len(mark.x) == len(mark.y) + 1


def held(problem: AllocationProblem, plan: AllocationPlan, bank: int) -> list[tuple[float, ...]]:
    """Return lifetime, address and end of every buffer in a bank."""
    unit = problem.alignment
    return sorted(
        tuple(map(float, (lower, upper, at, at + -(-size // unit) * unit)))
        for lower, upper, size, at, b in zip(
            problem.lower.tolist(),
            problem.upper.tolist(),
            problem.size.tolist(),
            plan.offset.tolist(),
            plan.bank.tolist(),
            strict=True,
        )
        if b == bank
    )


@settings(max_examples=100, deadline=None)
@given(data=st.data(), problem=banked_problems())
def test_every_buffer_is_one_rectangle_and_the_load_is_theirs(
    data: st.DataObject, problem: AllocationProblem
) -> None:
    n, banks = problem.n_buffers, max(1, len(problem.banks))
    offset = data.draw(st.lists(st.integers(0, 20), min_size=n, max_size=n))
    bank = data.draw(st.lists(st.integers(0, banks - 1), min_size=n, max_size=n))
    plan = AllocationPlan(np.array(offset), np.array(bank))
    view = view_of(problem, plan)
    named = figures(sections(view))
    for figure in named.values():
        check_form(figure)
    for b in range(banks):
        key = f"buffer-map-{b}" if problem.banks else "buffer-map"
        drawn = series(named[key]) if key in named else {}
        drawn.pop("reserved", None)
        assert rectangles(drawn.values()) == held(problem, plan, b)
    load = next(mark for mark in named["live-bytes"].marks if isinstance(mark, Steps))
    for begin, end, value in zip(load.x[:-1], load.x[1:], load.y, strict=True):
        for time in range(int(begin), int(end)):
            alive = (problem.lower <= time) & (time < problem.upper)
            assert value == problem.padded[alive].sum()
    assert (load.x[0], load.x[-1]) == (problem.lower.min(), problem.upper.max())
    assert load.y.max() == problem.max_load


def test_lines_are_capacity_load_and_peak() -> None:
    named = figures(sections(steps_up()))
    expected = [("limit", "y", 16.0), ("bound", "y", 9.0), ("mark", "y", 16.0)]
    assert rules(named["buffer-map"]) == expected
    assert rules(named["live-bytes"]) == [("limit", "y", 16.0), ("mark", "x", 4.0)]
    load, heights = (mark for mark in named["live-bytes"].marks if isinstance(mark, Steps))
    assert load.x.tolist() == [0, 2, 4, 6, 8]
    assert load.y.tolist() == [5, 8, 9, 6]
    assert heights.y.tolist() == [5, 8, 16, 16]


def test_holes_in_words() -> None:
    assert "7 B more, 77.78 %" in sections(steps_up())[0].text
    flat = problem_of([(0, 4, 5), (2, 6, 3)])
    text = sections(view_of(flat, AllocationPlan(np.array([0, 5]))))[0].text
    assert "no byte is lost to holes" in text


def test_without_a_capacity_there_is_the_bound_on_the_peak() -> None:
    view = steps_up(None)
    bounded = replace(view, record=Record(bound=9))
    named = figures(sections(bounded))
    assert rules(named["buffer-map"]) == [("bound", "y", 9.0), ("mark", "y", 16.0)]
    assert ("bound", "y", 9.0) in rules(named["live-bytes"])
    capped = replace(steps_up(), record=Record(bound=0))
    assert ("bound", "y", 0.0) not in rules(figures(sections(capped))["live-bytes"])


def test_what_does_not_move_is_a_series_of_its_own() -> None:
    view = steps_up(18)
    fixed = np.array([0, -1, -1])
    reserved = np.array([[5, 2**40, 12, 2**50], [-9, 0, 0, 4], [0, 1, 2**40, 2**41]])
    problem = replace(view.problem, fixed=fixed, reserved=reserved)
    named = series(figures(sections(replace(view, problem=problem)))["buffer-map"])
    assert rectangles([named["fixed address"]]) == [(0, 4, 0, 5)]
    (row,) = rectangles([named["reserved"]])
    assert row[:3] == (5, 8, 12)
    assert 18 < row[3] < 19
    assert named["reserved"].titles == (f"reserved: addresses 12 to {2**50:,}, time 5 to {2**40}",)


def test_each_bank_has_a_map_and_the_empty_ones_a_word() -> None:
    view = steps_up(None)
    banks = (("a", 20), ("b", 8), ("c", 4))
    reserved = np.array([[0, 8, 4, 8]])
    problem = replace(view.problem, banks=banks, reserved=reserved, reserved_bank=np.array([1]))
    plan = AllocationPlan(np.array([0, 0, 5]), np.array([0, 1, 0]))
    found = sections(view_of(problem, plan))
    named = figures(found)
    assert list(named) == ["buffer-map-0", "buffer-map-1", "live-bytes"]
    assert "Bank c is empty." in found[0].text
    assert rules(named["buffer-map-1"])[0] == ("limit", "y", 8.0)
    assert "reserved" not in series(named["buffer-map-0"])
    assert rectangles([series(named["buffer-map-1"])["reserved"]]) == [(0, 8, 4, 8)]
    assert found[0].tables[0].columns[-1] == "bank"
    assert [row[-1] for row in found[0].tables[0].rows] == ["a", "a", "b"]


@given(size=st.lists(st.integers(0, 2**50), min_size=1, max_size=30))
def test_every_size_is_in_one_class(size: list[int]) -> None:
    sizes = np.array(size)
    classes = size_classes(sizes)
    assert 1 <= len(classes) <= 6
    assert len({role for _, role, _ in classes}) == len(classes)
    inside = np.sum([chosen for _, _, chosen in classes], axis=0)
    assert inside.tolist() == [1] * len(size)
    for (_, _, small), (_, _, large) in pairwise(classes):
        assert sizes[small].max() < sizes[large].min()


def test_classes_are_named_by_their_largest_size() -> None:
    names = [name for name, _, _ in size_classes(np.array([3, 4, 1024, 1025]))]
    assert names == ["up to 8 B", "up to 2 KiB"]


def test_what_is_too_much_leaves_the_smallest_out() -> None:
    view = steps_up()
    (figure,) = map_figures(Placed(view.problem, view.plan), 2)
    assert rectangles(series(figure).values()) == [(0, 4, 0, 5), (4, 8, 10, 16)]
    assert figure.note.startswith("1 buffer is not drawn")


def test_names_are_passed_on_raw_and_cut_so_that_numbers_stay() -> None:
    view = steps_up()
    names = ("<script>", "y" * 10_000, "\u202e'\"\x00")
    named = replace(view, problem=replace(view.problem, names=names))
    found = sections(named)
    titles = [
        title for mark in series(figures(found)["buffer-map"]).values() for title in mark.titles
    ]
    assert "<script>: 5 B at 0, time 0 to 4" in titles
    assert max(map(len, titles)) < 200
    assert {row[0] for row in found[0].tables[0].rows} == set(names)


def test_what_cannot_be_drawn_is_said() -> None:
    view = steps_up()
    for plan in (AllocationPlan(np.array([0, 5])), AllocationPlan(np.zeros(3), np.full(3, 1))):
        (section,) = sections(replace(view, plan=plan))
        assert section.figures == ()
        assert "cannot be drawn" in section.text


def test_no_buffers() -> None:
    empty = problem_of([])
    (section,) = sections(view_of(empty, AllocationPlan(np.zeros(0, dtype=np.int64))))
    assert section.text == "There are no buffers."


def test_the_best_plans_of_the_library_are_drawn() -> None:
    suite = Suite.read(LIBRARY)
    cases = [case for case in suite if case.entry.best is not None and case.entry.best.plan]
    assert len(cases) > SMALL
    for case in cases[:SMALL]:
        problem = case.problem()
        plan = case.best_plan(problem)
        named = figures(sections(view_of(problem, plan)))
        for figure in named.values():
            check_form(figure)
        assert rectangles(series(named["buffer-map"]).values()) == held(problem, plan, 0)
