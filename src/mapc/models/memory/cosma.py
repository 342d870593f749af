"""The published COSMA model: order, residency and addresses in one time-indexed ILP.

Operators ``o`` run at steps ``t = 0 .. T-1``, one each; tensors ``a`` have size ``s_a``, the
scratchpad ``M`` (all divided by the gcd of the sizes: bottom-justified addresses are multiples
of it). Binaries per tensor and step: ``C`` created (produced, or loaded for the first time), ``P``
preserved from the step before, ``S`` spilled (written and gone), ``R`` retrieved; the address
``L[a,t]``; ``u`` and ``d`` (a above b, b above a) per pair of tensors and step. ``res = C+P+R``.

Published (equation numbers of the paper):

    (1)  C[a,t] + P[a,t] + S[a,t] + R[a,t] <= 1
    (2)  P[a,t] <= C[a,t-1] + P[a,t-1] + R[a,t-1]
    (3)  S[a,t] <= C[a,t-1] + P[a,t-1]
    (4)  R[a,t] <= sum(S[a,k], k <= t)
    (5)  C[a,t] <= P[b,t] + R[b,t]                     b an input of the producer of a
    (6)  C[a,t] = C[b,t]                               a and b of one producer
    (7)  sum_t C[a,t] = 1          (8)  sum_t S[a,t] <= 1
    (9)  L[a,t] + s_a <= M
    (10) L[a,t] >= L[b,t] + s_b - M (1 - u),  L[b,t] >= L[a,t] + s_a - M (1 - d),
         u + d >= res[a,t] + res[b,t] - 1
    (11) |L[a,t] - L[a,t-1]| <= (M - s_a) (1 - P[a,t])
    (12) minimise  sum s_a (S[a,t] + R[a,t])

Mended, because the equations above alone admit plans nobody can run:

* exactly one operator per step (they allow several at once);
* the first step of a tensor has no ``P`` and no ``S`` (they leave step 0 without a predecessor, so
  tensors could be resident without ever being created).

Completed, where the paper leaves inputs, outputs and workspaces open:

* A graph input or constant is created by its first load, free, and may be retrieved again without
  a spill; (5) counts its ``C`` too. With one reader it is created where that reader runs.
* An output is written anyway, so its retrievals need its creation, not a spill: (4) has ``C[a,k]``,
  ``k < t``, on its right, and there is no ``S``.
* The workspace of whatever runs at step ``t`` is one more rectangle, resident at that step only.

Written smaller, with the same solutions: (6) by substitution (one column per operator and step);
columns only between the earliest and the latest step that the partial order leaves a tensor
(ancestors before, descendants after); ``u`` and ``d`` only for pairs and steps at which both can be
resident and still of use; ``M`` never above the sum of all sizes.

Restriction of the published model: a spill takes at least one step (``S`` excludes ``R`` and ``P``
at its step). A tensor without an off-chip copy that is used at two adjacent steps cannot be
written and reloaded to a new address between them. ``reload_at_once=True`` lifts it, by letting
``S`` and ``R`` share a step; only then is the optimum that of the memory problem.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mapc.errors import InfeasibleError, UsageError
from mapc.graph.operators import BoolArray, IntArray, steps_of
from mapc.models.memory.cosma_addresses import Addresses, address_rows
from mapc.models.memory.cosma_states import (
    NONE,
    Columns,
    begin,
    order_rows,
    retrieve_rows,
    size_rows,
    state_rows,
)
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.program.model import FloatArray, Program
from mapc.solvers.base import Solution


def lower(
    problem: MemoryProblem,
    *,
    addresses: bool = True,
    capacity_rows: bool = False,
    reload_at_once: bool = False,
) -> tuple[Program, Callable[[Solution], MemoryPlan]]:
    """Return the COSMA ILP of a problem (see the module) and the way back to a plan.

    Parameters
    ----------
    problem : MemoryProblem
    addresses : bool
        Without them, rows on the sum of sizes replace (9) to (11): a relaxation, and ``lift``
        raises ``UsageError``.
    capacity_rows : bool
        Add ``sum_a s_a res[a,t] <= M``: implied by (9) and (10) for whole solutions, not for
        fractional ones. Not in the published model, whose linear relaxation is worth 0.
    reload_at_once : bool
        Allow a first spill and its reload between two adjacent steps.

    Returns
    -------
    program : Program
        Objective in bytes of extra off-chip traffic.
    lift : callable
        ``lift(solution) -> MemoryPlan``. The plan costs what the solution does, or less where
        the solution holds useless moves (never so when it is optimal).

    Raises
    ------
    InfeasibleError
        If one operator alone does not fit.
    UsageError
        Without a capacity, or if more than ``MAX_PAIRS`` pairs of tensors would be built.
    """
    _check_room(problem)
    model = begin(problem, reload_at_once)
    order_rows(model)
    state_rows(model, reload_at_once)
    retrieve_rows(model)
    if capacity_rows or not addresses:
        size_rows(model)
    if not addresses:
        return model.program, _no_lift
    places = address_rows(model)
    return model.program, lambda solution: _lift(solution, problem, model.columns, places)


def _no_lift(solution: Solution) -> MemoryPlan:
    raise UsageError("COSMA without addresses is a relaxation: it has no plan to give")


def _check_room(problem: MemoryProblem) -> None:
    worst = int(np.argmax(problem.working_set))
    if problem.working_set[worst] > problem.room:
        raise InfeasibleError(
            f"operator {problem.graph.operator_names[worst]!r} needs "
            f"{problem.working_set[worst]} bytes at once, the scratchpad has {problem.room}"
        )


# -- back to a plan --------------------------------------------------------------------------


def _lift(
    solution: Solution,
    problem: MemoryProblem,
    columns: Columns,
    places: Addresses,
) -> MemoryPlan:
    """Read order and residencies, cut them to their uses, and let them sink to the bottom."""
    if solution.values is None:
        raise UsageError(f"no solution to lift: {solution.status} ({solution.stop})")
    values = np.append(solution.values, 0.0)  # the zero is what NONE reads
    chosen = values > 0.5
    order = np.argmax(chosen[columns.run], axis=0)
    tensor, start, stop = _residencies(problem, order, chosen, columns)
    heights = values[places.tensor[tensor, start]]

    n = problem.graph.n_operators
    step = np.arange(n)
    size = np.concatenate([problem.sizes[tensor], problem.workspaces[order]])
    height = np.concatenate([heights, values[places.workspace]])
    span = np.concatenate([start, step]), np.concatenate([stop, step + 1])
    address = _sink(height, size, *span)

    again = np.zeros(len(tensor) + 1, dtype=np.bool_)
    again[1:-1] = tensor[1:] == tensor[:-1]
    first, lost = ~again[:-1], again[1:]
    produced = ~problem.graph.is_source[tensor]
    written = first & produced & (problem.graph.is_output[tensor] | lost)
    by_start = np.lexsort((tensor, start))
    workspace = np.full(n, NONE, dtype=np.int64)
    workspace[order] = address[len(tensor) :]
    workspace[problem.workspaces == 0] = NONE
    return MemoryPlan(
        order=order,
        tensor=tensor[by_start],
        start=start[by_start],
        stop=stop[by_start],
        address=address[: len(tensor)][by_start],
        written=written[by_start],
        workspace_address=workspace,
    )


def _residencies(
    problem: MemoryProblem, order: IntArray, chosen: BoolArray, columns: Columns
) -> tuple[IntArray, IntArray, IntArray]:
    """Return tensor, start and stop of every residency, from its first use to past its last."""
    graph, n = problem.graph, problem.graph.n_operators
    begins = chosen[columns.create] | chosen[columns.retrieve]
    residency = np.cumsum(begins).reshape(begins.shape) - 1
    position = steps_of(order)
    used, at = graph.touched.values, position[graph.touched.row_of]
    which = residency[used, at]
    start = np.full(int(begins.sum()), n, dtype=np.int64)
    stop = np.zeros_like(start)
    np.minimum.at(start, which, at)
    np.maximum.at(stop, which, at + 1)
    tensor, _ = np.nonzero(begins)
    useful = start < stop
    return tensor[useful], start[useful], stop[useful]


def _sink(height: FloatArray, size: IntArray, start: IntArray, stop: IntArray) -> IntArray:
    """Let rectangles fall, lowest first; nobody ends above where it was.

    Heights carry a solver's tolerance; only their order counts here.
    """
    address = np.zeros(len(size), dtype=np.int64)
    top = np.zeros(int(stop.max()), dtype=np.int64)
    for i in np.argsort(height, kind="stable"):
        if size[i] > 0:
            span = slice(start[i], stop[i])
            address[i] = top[span].max()
            top[span] = address[i] + size[i]
    return address
