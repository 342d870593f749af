"""Ways to assign sequences that others use, on the same problem.

`flexsp` is FlexSP's road (`mapc.models.sequence.published.flexsp`) on SCIP, which it was published
with, or on HiGHS. What it does in many processes at once is done one after another here; `Road`
says what both would take. What peers return is judged by the verifier of mapc.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.published import flexsp as road
from mapc.models.sequence.published.flexsp_model import FlexspLift
from mapc.models.sequence.verify import verify
from mapc.program import Program
from mapc.solvers.base import Limits

Array = NDArray[np.float64]
SCIP, HIGHS = "scip", "highs"
LABELS = {
    SCIP: "FlexSP MILP (SCIP {seconds:g} s), restated",
    HIGHS: "FlexSP MILP (HiGHS {seconds:g} s), restated",
}


@dataclass
class Road:
    """What a run took.

    Attributes
    ----------
    plan : SequencePlan or None
    seconds : list of float
        Of every program, solver's model and start included: CPU time on SCIP, wall time on HiGHS.
    counts : list of int
        Numbers of micro-batches that gave a plan.
    """

    plan: SequencePlan | None = None
    ms: float | None = None
    seconds: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    @property
    def together(self) -> float:
        """Seconds with a core for every program, as published: those of the slowest."""
        return max(self.seconds, default=0.0)

    @property
    def in_turn(self) -> float:
        """Seconds on one core."""
        return sum(self.seconds)


def flexsp(
    problem: SequenceProblem,
    solver: str = SCIP,
    seconds: float = road.SECONDS,
    options: road.Options = road.PUBLISHED,
) -> Road:
    """Take FlexSP's road; every program gets so many CPU seconds (SCIP) or seconds (HiGHS)."""
    run = {SCIP: by_scip, HIGHS: by_highs}[solver]
    clock = time.process_time if solver == SCIP else time.perf_counter
    answer = Road()

    def solve(program: Program, lift: FlexspLift, starts: list[Array], **_: int) -> Array | None:
        begin = clock()
        found = run(program, lift, starts, seconds)
        answer.seconds.append(clock() - begin)
        return found

    for count, plan in road.plans(problem, solve, options):
        verdict = verify(problem, plan)
        assert not verdict.violations, verdict.violations
        answer.counts.append(count)
        if answer.ms is None or verdict.objective < answer.ms:
            answer.plan, answer.ms = plan, verdict.objective
    return answer


def by_highs(program: Program, lift: FlexspLift, starts: list[Array], seconds: float) -> Any:
    """Solve on HiGHS as mapc calls it, from the best start."""
    from mapc.solvers import registry

    start = starts[0] if starts else None
    return registry.solve(program, HIGHS, limits=Limits(time=seconds), start=start).values


def by_scip(program: Program, lift: FlexspLift, starts: list[Array], seconds: float) -> Any:
    """Solve on SCIP with the published settings: a time limit, all starts, one thread.

    The makespan is a float in ms, as published. The limit is of CPU time, so that other work on
    the machine takes nothing from SCIP.
    """
    import pyscipopt

    matrix, ms = program.matrix, lift.unit * lift.problem.tick
    last = lift.makespan.start
    model = pyscipopt.Model()
    model.hideOutput()
    model.setParams({"limits/time": seconds, "timing/clocktype": 1})
    columns = [
        model.addVar(
            vtype="C" if j == last else "I" if matrix.integer[j] else "C",
            lb=float(matrix.lower[j]),
            ub=float(matrix.upper[j]) * (ms if j == last else 1.0),
            obj=float(matrix.cost[j]),
        )
        for j in range(matrix.n_columns)
    ]
    for i in range(matrix.n_rows):
        span = slice(int(matrix.indptr[i]), int(matrix.indptr[i + 1]))
        index, value = matrix.indices[span], matrix.coefficients[span].copy()
        low, up = float(matrix.row_lower[i]), float(matrix.row_upper[i])
        if (index == last).any():
            value[index != last] *= ms
            low, up = low * ms, up * ms
        terms = pyscipopt.quicksum(
            v * columns[j] for v, j in zip(value.tolist(), index.tolist(), strict=True)
        )
        if low == up:
            model.addCons(terms == low)
            continue
        if np.isfinite(low):
            model.addCons(terms >= low)
        if np.isfinite(up):
            model.addCons(terms <= up)
    for start in starts:
        solution = model.createSol()
        for j in np.flatnonzero(start).tolist():
            value = float(start[j])
            model.setSolVal(solution, columns[j], value * ms if j == last else value)
        model.addSol(solution)
    model.optimize()
    if model.getNSols() == 0:
        return None
    best = model.getBestSol()
    values = np.array([model.getSolVal(best, column) for column in columns])
    values[last] /= ms
    return values
