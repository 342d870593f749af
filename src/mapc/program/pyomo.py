"""A program as a Pyomo model, for any solver that Pyomo reaches."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.program.linearise import linearise
from mapc.program.model import Program
from mapc.program.text import column_names, row_names


def to_pyomo(program: Program) -> Any:
    """Return a ``ConcreteModel`` of the program, its records rewritten into rows.

    The model has

    * ``x``, a ``Var`` indexed by column names, in the order of the columns: the values of a
      solution are ``[v.value for v in model.x.values()]``, of which the first
      ``program.n_columns`` are the program's own;
    * ``row``, a ``Constraint`` indexed by row names, without the rows that bind nothing;
    * ``objective``, to be minimised.

    Hints become the variables' initial values. Pyomo builds object by object: expect some 20
    microseconds a nonzero.
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
    pointer, columns_of = matrix.indptr.tolist(), matrix.indices.tolist()
    coefficients = matrix.coefficients.tolist()
    sides = (_or_none(matrix.row_lower), _or_none(matrix.row_upper))
    model.row = pyo.Constraint(pyo.Any)
    for i, (name, low, up) in enumerate(zip(row_names(linear), *sides, strict=True)):
        if low is None and up is None:
            continue
        a, b = pointer[i], pointer[i + 1]
        if a == b:
            if (low is None or low <= 0) and (up is None or up >= 0):
                continue
            model.row[name] = pyo.Constraint.Infeasible
            continue
        body = LinearExpression(
            constant=0,
            linear_coefs=coefficients[a:b],
            linear_vars=[variables[j] for j in columns_of[a:b]],
        )
        model.row[name] = (low, body, up) if low != up else (body, low)
    return model


def _or_none(values: np.ndarray) -> list[float | None]:
    """Return the values with None for the infinite ones."""
    return [v if np.isfinite(v) else None for v in values.tolist()]
