"""Any solver that Pyomo reaches.

Two of Pyomo's interfaces are tried in turn: the current one (``pyomo.contrib.solver``: HiGHS,
SCIP, Gurobi, ...) and the classic ``SolverFactory`` (CBC, GLPK, CPLEX, ``appsi_highs``, ...).
Neither streams incumbents or can be interrupted: a solve that is cancelled ends with its child.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapc.program.linearise import linearise
from mapc.program.model import Program
from mapc.program.pyomo import to_pyomo
from mapc.solvers.backend import Report
from mapc.solvers.base import FloatArray, Limits, Solution, Status, Stop
from mapc.solvers.reach import hopeless

ALIASES = {"scip": "scip_direct"}
"""Short names of solvers in Pyomo's current interface."""


@dataclass(frozen=True)
class _Answer:
    """What either interface says, in common words."""

    condition: str  # the name of a termination condition
    bound: float | None
    found: bool  # values are in the model
    nodes: int | None = None
    message: str = ""


Ask = Callable[[Any, bool], _Answer]


def solve(
    solver: str, program: Program, limits: Limits, start: FloatArray | None, report: Report
) -> Solution:
    """Solve with a solver named as Pyomo names it; records are linearised.

    Otherwise as `mapc.solvers.backend.Backend` says. The seed and the node limit reach HiGHS and
    SCIP only; a start reaches those whose interface takes one.
    """
    ask = _current(solver, limits, report) or _classic(solver, limits, report)
    if ask is None:
        text = f"Pyomo has no working solver {solver!r} here"
        return Solution(Status.UNKNOWN, Stop.UNAVAILABLE, message=text)
    flat = linearise(program)
    if hopeless(flat.matrix):  # Pyomo has no way to write such a row, SCIP rounds such a column
        return Solution(Status.INFEASIBLE, Stop.PROVEN)
    model = to_pyomo(flat)
    variables = list(model.x.values())
    if not variables:
        return Solution(Status.OPTIMAL, Stop.PROVEN, bound=flat.matrix.offset, values=np.zeros(0))
    if start is not None:
        _suggest(variables, start)
    report.on_cancel(lambda: os._exit(0))
    answer = ask(model, start is not None)
    if answer.condition == "infeasibleOrUnbounded":
        return _undecided(model, variables, program.n_columns, ask)
    return _read(answer, variables, program.n_columns)


def _suggest(variables: list[Any], start: FloatArray) -> None:
    given = np.flatnonzero(np.isfinite(start))
    for column, value in zip(given.tolist(), start[given].tolist(), strict=True):
        variables[column].set_value(value, skip_validation=True)


# -- the current interface -----------------------------------------------------------------------


def _current(solver: str, limits: Limits, report: Report) -> Ask | None:
    from pyomo.contrib.solver.common.factory import SolverFactory

    name = ALIASES.get(solver, solver)
    if name not in list(SolverFactory):
        return None
    if not SolverFactory(name).available():
        return None

    def ask(model: Any, warm: bool) -> _Answer:
        # a fresh object every time: persistent ones keep the last model
        engine = SolverFactory(name)
        config: dict[str, Any] = {
            "load_solutions": False,
            "raise_exception_on_nonoptimal_result": False,
            "rel_gap": limits.gap,
            "abs_gap": 0.0,
            "threads": limits.workers,
            "solver_options": _options(name, limits),
        }
        if limits.time is not None:
            config["time_limit"] = report.remaining()
        if warm and "warmstart_discrete_vars" in engine.config:
            config["warmstart_discrete_vars"] = True
        for key in ("rel_gap", "abs_gap", "threads"):
            if key not in engine.config:
                del config[key]
        results = engine.solve(model, **config)
        found = results.solution_loader.get_number_of_solutions() > 0
        if found:
            results.solution_loader.load_vars()
        return _Answer(
            results.termination_condition.name,
            results.objective_bound,
            found,
            _nodes(results.extra_info),
        )

    return ask


def _options(name: str, limits: Limits) -> dict[str, Any]:
    """Options that Pyomo has no common name for."""
    nodes = limits.nodes
    if name == "highs":
        chosen: dict[str, Any] = {"random_seed": limits.seed}
        return chosen if nodes is None else {**chosen, "mip_max_nodes": nodes}
    if name.startswith("scip"):
        chosen = {"randomization/randomseedshift": limits.seed}
        if limits.memory is not None:
            chosen["limits/memory"] = limits.memory / 1e6
        return chosen if nodes is None else {**chosen, "limits/nodes": nodes}
    return {}


def _nodes(info: Any) -> int | None:
    for key in ("NNodes", "mip_node_count"):
        count = info.get(key)
        if count is not None:  # a plain number, or Pyomo's wrapping of one
            number = int(count.value() if hasattr(count, "value") else count)
            return number if number >= 0 else None
    return None


# -- the classic interface -----------------------------------------------------------------------


def _classic(solver: str, limits: Limits, report: Report) -> Ask | None:
    from pyomo.common.errors import ApplicationError
    from pyomo.environ import SolverFactory

    engine = SolverFactory(solver)
    try:
        if not engine.available(exception_flag=False):
            return None
    except (ApplicationError, AttributeError):  # an unknown name, a broken installation
        return None

    def ask(model: Any, warm: bool) -> _Answer:
        keywords: dict[str, Any] = {"load_solutions": False}
        if limits.time is not None:
            keywords["timelimit"] = max(1, math.ceil(report.remaining()))
        if warm and engine.warm_start_capable():
            keywords["warmstart"] = True
        results = engine.solve(model, **keywords)
        found = len(results.solution) > 0
        if found:
            model.solutions.load_from(results)
        bound = results.problem.lower_bound
        return _Answer(
            str(results.solver.termination_condition),
            bound if isinstance(bound, float | int) else None,
            found,
            message=str(results.solver.get("termination_message", "")),
        )

    return ask


# -- reading answers -----------------------------------------------------------------------------

_STOPS = {
    "maxTimeLimit": Stop.TIME,
    "iterationLimit": Stop.WORK,
    "maxIterations": Stop.WORK,
    "maxEvaluations": Stop.WORK,
    "objectiveLimit": Stop.WORK,
    "minStepLength": Stop.ERROR,
    "interrupted": Stop.CANCELLED,
    "userInterrupt": Stop.CANCELLED,
    "licensingProblems": Stop.UNAVAILABLE,
    "unbounded": Stop.UNBOUNDED,
}


def _read(answer: _Answer, variables: list[Any], n_columns: int) -> Solution:
    condition = answer.condition
    if condition in ("provenInfeasible", "infeasible"):
        return Solution(Status.INFEASIBLE, Stop.PROVEN, nodes=answer.nodes)
    values = _values(variables, n_columns) if answer.found else None
    proven = condition in ("convergenceCriteriaSatisfied", "optimal") and values is not None
    stop = Stop.PROVEN if proven else _STOPS.get(condition, Stop.ERROR)
    status = Status.UNKNOWN if values is None else Status.FEASIBLE
    status = Status.OPTIMAL if proven else status
    return Solution(
        status,
        stop,
        bound=None if stop is Stop.UNBOUNDED else answer.bound,
        values=values,
        nodes=answer.nodes,
        message="" if proven else answer.message or condition,
    )


def _values(variables: list[Any], n_columns: int) -> FloatArray:
    """float64[n_columns]; a column the solver never saw is free: 0, or its nearest bound."""
    given = [0.0 if v.value is None else float(v.value) for v in variables[:n_columns]]
    return np.array(given, dtype=np.float64)


def _undecided(model: Any, variables: list[Any], n_columns: int, ask: Ask) -> Solution:
    """Tell unbounded from infeasible: without costs only the infeasible stays unsolvable."""
    import pyomo.environ as pyo

    model.objective.deactivate()
    model.constant = pyo.Objective(expr=0.0 * variables[0])
    answer = ask(model, False)
    if answer.condition in ("provenInfeasible", "infeasible"):
        return Solution(Status.INFEASIBLE, Stop.PROVEN)
    if answer.found:
        values = _values(variables, n_columns)
        return Solution(Status.FEASIBLE, Stop.UNBOUNDED, values=values, message="unbounded")
    stop = _STOPS.get(answer.condition, Stop.ERROR)
    return Solution(Status.UNKNOWN, stop, message="unbounded or infeasible, not told apart")
