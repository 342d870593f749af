"""Named formulations of problems with options."""

from __future__ import annotations

import mapc
from mapc.models.memory.options.model import Options
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers import registry
from oracles.memory_cases import chain_with_skip


def test_a_lowered_gap_model_lifts_to_a_plan_in_banks() -> None:
    # t0 of 5 bytes stays in its own bank, where beside it nothing else fits
    graph = chain_with_skip().graph
    problem = MemoryProblem(graph, None, options=Options(banks=(("a", 5), ("b", 5))))
    program, lift = mapc.lower(problem, "gap")
    solution = registry.solve(program, "highs")
    plan = lift(solution)
    assert mapc.check(problem, plan) == []
    assert verify(problem, plan).objective == solution.objective == 0
    assert set(plan.bank.tolist()) == {0, 1}
