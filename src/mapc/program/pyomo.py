"""A program as a Pyomo model, for any solver that Pyomo reaches."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.program.linearise import linearise
from mapc.program.model import Matrix, Program
from mapc.program.text import column_names, row_names


def to_pyomo(program: Program) -> Any:
    """Return a ``ConcreteModel`` of the program, its records rewritten into rows.

    The model has

    * ``x``, a ``Var`` indexed by column names, in the order of the columns: the values of a
      solution are ``[v.value for v in model.x.values()]``, of which the first
      ``program.n_columns`` are the program's own;
    * ``row``, a ``Constraint`` indexed by row names, without the rows that bind nothing; rows
      without a column that cannot hold become a contradiction on a variable ``nothing``, since
      Pyomo refuses constants;
    * ``objective``, to be minimised.

    Hints become the variables' initial values. Columns without an entry, which solvers do not
    see, start at the value of their range that is nearest to 0. Pyomo builds object by object:
    expect some 20 microseconds a nonzero.
    """
    import pyomo.environ as pyo
    from pyomo.core.expr.numeric_expr import LinearExpression

    linear = linearise(program)
    matrix = linear.matrix
    names = column_names(linear)
    model = pyo.ConcreteModel(name=program.name)
    model.x = pyo.Var(names, domain=pyo.Reals)
    variables = list(model.x.values())
    bounds = (_or_none(matrix.lower), _or_none(matrix.upper))
    for variable, low, up, whole in zip(variables, *bounds, matrix.integer.tolist(), strict=True):
        variable.setlb(low)
        variable.setub(up)
        if whole:
            # a wider domain than Binary, so that the bounds stay those of the program
            variable.domain = pyo.Integers
    # solvers leave a column without an entry alone: let it have a value all the same
    idle = (matrix.cost == 0) & (np.bincount(matrix.indices, minlength=len(names)) == 0)
    least = np.where(matrix.integer, np.ceil(matrix.lower), matrix.lower)
    most = np.where(matrix.integer, np.floor(matrix.upper), matrix.upper)
    resting = np.clip(0.0, least, most)
    for column in np.flatnonzero(idle).tolist():
        variables[column].set_value(resting[column], skip_validation=True)
    columns, values = linear.start_values
    for column, value in zip(columns.tolist(), values.tolist(), strict=True):
        variables[column].set_value(value, skip_validation=True)

    at = np.flatnonzero(matrix.cost).tolist()
    model.objective = pyo.Objective(
        expr=LinearExpression(
            constant=matrix.offset,
            linear_coefs=matrix.cost[at].tolist(),
            linear_vars=[variables[i] for i in at],
        )
    )
    _add_rows(model, matrix, row_names(linear), variables)
    return model


def _add_rows(model: Any, matrix: Matrix, names: list[str], variables: list[Any]) -> None:
    import pyomo.environ as pyo
    from pyomo.core.expr.numeric_expr import LinearExpression

    real = matrix.coefficients != 0  # a row of zeros is a constant to Pyomo, and an error
    pointer = np.append(0, np.cumsum(real))[matrix.indptr].tolist()
    columns, coefficients = matrix.indices[real].tolist(), matrix.coefficients[real].tolist()
    model.row = pyo.Constraint(pyo.Any)
    impossible = False
    sides = (_or_none(matrix.row_lower), _or_none(matrix.row_upper))
    for i, (name, low, up) in enumerate(zip(names, *sides, strict=True)):
        a, b = pointer[i], pointer[i + 1]
        if a == b:
            impossible |= matrix.row_lower[i] > 0 or matrix.row_upper[i] < 0
        elif low is not None or up is not None:
            body = LinearExpression(
                constant=0,
                linear_coefs=coefficients[a:b],
                linear_vars=[variables[j] for j in columns[a:b]],
            )
            model.row[name] = (low, body, up) if low != up else (body, low)
    if impossible:
        model.nothing = pyo.Var()
        model.row["nothing.up"] = model.nothing <= 0
        model.row["nothing.lo"] = model.nothing >= 1


def _or_none(values: np.ndarray) -> list[float | None]:
    """Return the values with None for the infinite ones."""
    return [v if np.isfinite(v) else None for v in values.tolist()]
