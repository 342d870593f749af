from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.program import Program
from mapc.program.cpsat import to_cp_model

pytest.importorskip("ortools")


def kinds(form):
    """What the constraints of a model are, e.g. ``["linear", "bool_or"]``."""
    names = ("linear", "bool_or", "at_most_one", "exactly_one", "interval", "no_overlap")
    return [
        next((n for n in names if getattr(c, f"has_{n}")()), "other")
        for c in form.model.proto.constraints
    ]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_rows_over_binaries_keep_their_meaning_as_clauses(
    data, feasible_points, brute_force, cpsat
):
    """Unit rows of every side: what becomes a clause, a negated one or nothing stays right."""
    program = Program()
    n = data.draw(st.integers(1, 4))
    program.variables(n, cost=data.draw(st.lists(st.integers(-2, 2), min_size=n, max_size=n)))
    for _ in range(data.draw(st.integers(1, 3))):
        signs = data.draw(st.lists(st.sampled_from([-1, 1, 2, -2]), min_size=n, max_size=n))
        if data.draw(st.booleans()):
            signs = np.sign(signs) * 3
        low = data.draw(st.sampled_from([-np.inf, -3, -2, -1, 0, 1, 2, 3]))
        up = data.draw(st.sampled_from([s for s in [-2, -1, 0, 1, 2, 3, 9, np.inf] if s >= low]))
        program.rows([range(n)], [signs], low, up)
    optimum = brute_force(program)
    assert cpsat(program)[0] == optimum


def test_clauses_are_recognised():
    program = Program()
    program.variables(3)
    program.rows([[0, 1, 2]], 5, upper=5)
    program.rows([[0, 1, 2]], 1, 1, 1)
    program.rows([[0, 1]], [1, -1], upper=0)
    program.rows([[0, 1, 2]], 1, upper=2)
    program.rows([[0, 1, 2]], 1, lower=2)
    program.rows([[0, 1, 2]], 1, upper=3)  # always holds
    program.rows([[0, 1, 2]], [1, 2, 1], upper=3)
    form = to_cp_model(program)
    assert sorted(kinds(form)) == sorted(
        ["at_most_one", "exactly_one", "at_most_one", "bool_or", "at_most_one", "linear"]
    )
    clauses = {
        (kind, tuple(sorted(getattr(c, kind).literals)))
        for kind, c in zip(kinds(form), form.model.proto.constraints, strict=True)
        if kind != "linear"
    }
    assert clauses == {
        ("at_most_one", (0, 1, 2)),
        ("exactly_one", (0, 1, 2)),
        ("at_most_one", (~1, 0)),
        ("bool_or", (~2, ~1, ~0)),
        ("at_most_one", (~2, ~1, ~0)),
    }


def test_a_continuous_column_is_refused_by_name():
    program = Program()
    program.variables(2)
    program.variables((2, 2), integer=[[True, False], [True, True]], name="load")
    with pytest.raises(ValueError, match=r"column load\[0,1\] is continuous"):
        to_cp_model(program)


def test_whole_numbers_come_through_exactly(cpsat):
    program = Program()
    program.variables(3, 0, 2**40, cost=[1, -1, 0.125], name="bytes")
    program.rows([[0, 1]], [1.0, -1.0], lower=-(2**39) - 1)
    program.minimise([], [], offset=0.5)
    form = to_cp_model(program)
    assert form.exact
    assert form.factor == 8
    objective, bound, values = cpsat(program)
    assert values.tolist() == [0, 2**39 + 1, 0]
    assert objective == bound == -(2**39) - 0.5


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_the_bound_is_safe_whatever_the_costs(data, brute_force, cpsat):
    program = Program()
    costs = st.one_of(st.floats(-100, 100), st.sampled_from([1 / 3, -2 / 3, 1e-9, 1e9, np.pi]))
    n = data.draw(st.integers(1, 3))
    cost = data.draw(st.lists(costs, min_size=n, max_size=n))
    program.variables(n, -2, 2, cost=cost)
    program.rows([range(n)], lower=data.draw(st.integers(-3, 3)))
    program.minimise([], [], offset=data.draw(st.sampled_from([0, 1 / 3, -7])))
    optimum = brute_force(program)
    objective, bound, values = cpsat(program)
    if optimum is None:
        assert objective is None
        return
    scale = max(1, max(map(abs, cost)))
    assert bound <= optimum + 1e-12 * scale
    assert bound == pytest.approx(optimum, abs=1e-6 * scale)
    assert program.matrix.cost @ values + program.offset == pytest.approx(optimum, abs=1e-6 * scale)


def test_bounds_given_as_large_doubles_are_rounded_down():
    program = Program()
    program.variables(1, 0, 2**58, cost=1)
    form = to_cp_model(program)
    assert form.bound(2.0**57) < 2.0**57
    assert form.bound(2.0**52 + 1) == 2.0**52 + 1
    assert form.objective(2.0**57) == 2.0**57
    for raw in (np.inf, -np.inf):
        assert form.bound(raw) == form.objective(raw) == raw


def test_bounds_between_doubles_are_rounded_down():
    program = Program()
    program.variables(2, 0, 9, cost=[0.3, 0.7])
    form = to_cp_model(program)
    assert form.factor == 10
    for raw in range(1, 90):
        assert Fraction(form.bound(raw)) <= Fraction(raw, 10)
        assert form.bound(raw) == pytest.approx(raw / 10, rel=1e-15)


def test_unbounded_columns_take_what_the_rows_imply_or_are_cut(cpsat):
    program = Program()
    program.variables(2, 0, np.inf, cost=[-1, -1], name="free")
    program.rows([[0]], 2, upper=9)
    form = to_cp_model(program)
    assert form.clipped.tolist() == [1]
    assert not form.exact
    assert list(form.model.proto.variables[0].domain) == [0, 4]
    assert list(form.model.proto.variables[1].domain) == [0, form.limit]
    _, _, values = cpsat(program)
    assert values.tolist() == [4, form.limit]
    program.rows([[1]], upper=7)
    assert not len(to_cp_model(program).clipped)
    assert cpsat(program)[0] == -11


def test_what_no_whole_number_satisfies_is_infeasible(cpsat):
    between = Program()
    between.variables(2, 0.2, [0.8, 1])
    assert cpsat(between) == (None, None, None)
    between = Program()
    between.variables(1, 0, 9)
    between.rows([[0]], 2, 3, 3)
    assert cpsat(between) == (None, None, None)
    empty = Program()
    empty.rows(np.zeros((1, 0)), lower=1)
    assert cpsat(empty) == (None, None, None)


def test_an_empty_program_has_its_offset_for_an_optimum(cpsat):
    program = Program()
    program.minimise([], [], offset=-2.5)
    objective, bound, values = cpsat(program)
    assert (objective, bound, len(values)) == (-2.5, -2.5, 0)


def test_hints_are_rounded_and_kept_within_bounds():
    program = Program()
    program.variables(3, 0, 5)
    program.hint([2, 0], [3.4, 7])
    hint = to_cp_model(program).model.proto.solution_hint
    assert list(hint.vars) == [0, 2]
    assert list(hint.values) == [5, 3]


def test_names_are_written_when_asked_for():
    program = Program("named")
    program.variables(2, name="keep")
    assert [v.name for v in to_cp_model(program).model.proto.variables] == ["", ""]
    form = to_cp_model(program, names=True)
    assert [v.name for v in form.model.proto.variables] == ["keep.0", "keep.1"]
    assert form.model.proto.name == "named"


def test_rounded_rows_report_their_error():
    program = Program()
    program.variables(2)
    program.rows([[0, 1]], [1 / 3, np.pi], upper=3)
    form = to_cp_model(program)
    assert 0 < form.worst_error < 1e-9
    assert not form.exact


def test_an_unknown_record_is_refused():
    program = Program()
    program.records.append("a word")
    with pytest.raises(TypeError, match="str"):
        to_cp_model(program)
