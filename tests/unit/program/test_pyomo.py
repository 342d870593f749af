import numpy as np
import pytest
from hypothesis import given, settings

from mapc.program import Program
from mapc.program.pyomo import to_pyomo

pyo = pytest.importorskip("pyomo.environ")


@pytest.fixture(scope="module")
def solve():
    """Return a Pyomo model's optimum by a solver of Pyomo's, None where it is infeasible."""
    from pyomo.contrib.solver.common.factory import SolverFactory
    from pyomo.contrib.solver.common.results import TerminationCondition

    def run(model, name="highs"):
        solver = SolverFactory(name)
        if not solver.available():
            pytest.skip(f"Pyomo finds no {name}")
        options = {"raise_exception_on_nonoptimal_result": False, "load_solutions": False}
        result = solver.solve(model, **options)
        if result.termination_condition == TerminationCondition.provenInfeasible:
            return None
        bare = not any(True for _ in model.component_data_objects(pyo.Constraint))
        if bare and model.objective.expr.is_fixed():
            # HiGHS calls a model without rows and costs empty rather than solved
            return pyo.value(model.objective)
        assert result.termination_condition == TerminationCondition.convergenceCriteriaSatisfied
        result.solution_loader.load_vars()
        return pyo.value(model.objective)

    return run


def close(value):
    return None if value is None else pytest.approx(value, abs=1e-6)


def test_a_solver_of_pyomo_agrees_with_brute_force(programs, brute_force, solve):
    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(programs())
    def check(program):
        model = to_pyomo(program)
        optimum = brute_force(program)
        assert solve(model) == close(optimum)
        if optimum is not None:
            values = np.array([v.value for v in model.x.values()])[: program.n_columns]
            m = program.matrix
            assert m.cost @ values + m.offset == close(optimum)

    check()


@pytest.mark.parametrize("name", ["highs", "scip_direct"])
def test_continuous_columns_ranges_and_open_bounds(mixed, highs, solve, name):
    @settings(max_examples=15, deadline=None, derandomize=True, database=None)
    @given(mixed())
    def check(program):
        assert solve(to_pyomo(program), name) == close(highs(program)[0])

    check()


def test_columns_and_rows_carry_their_names_bounds_and_hints():
    program = Program("named")
    program.variables(2, name="keep")
    program.variables(1, -np.inf, 2.5, integer=False, cost=-3, name="load")
    program.rows([[0, 2], [1, 2]], [1, -1], [-np.inf, 0], [4, 0], name="cap")
    program.rows([[0, 1]], name="idle")
    program.exactly_one([0, 1], name="pick")
    program.minimise([], [], offset=1)
    program.hint([1, 2], [1, 0.5])
    model = to_pyomo(program)
    assert model.name == "named"
    assert list(model.x) == ["keep.0", "keep.1", "load.0"]
    assert [v.bounds for v in model.x.values()] == [(0, 1), (0, 1), (None, 2.5)]
    assert [v.is_integer() for v in model.x.values()] == [True, True, False]
    assert [v.value for v in model.x.values()] == [None, 1, 0.5]
    assert list(model.row) == ["cap.0", "cap.1", "pick.0"]
    assert model.row["cap.1"].equality
    assert (model.row["cap.0"].lower, model.row["cap.0"].upper) == (None, 4)
    assert model.objective.sense == pyo.minimize
    model.x["load.0"].set_value(2)
    assert pyo.value(model.objective) == 1 - 6


@pytest.mark.parametrize("columns", [0, 1])
def test_rows_without_a_column_are_judged_here(solve, columns):
    program = Program()
    program.variables(columns)
    program.rows(np.zeros((1, 0)), upper=2, name="idle")
    if columns:
        program.rows([[0]], 0.0, upper=2, name="zero")
        assert solve(to_pyomo(program)) == 0
    assert list(to_pyomo(program).row) == []
    program.rows(np.zeros((1, 0)), lower=1, name="never")
    assert solve(to_pyomo(program)) is None
