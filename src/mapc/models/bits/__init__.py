"""One number format for every group of a network, within budgets."""

from __future__ import annotations

from typing import Any

from mapc.errors import UsageError
from mapc.models.bits.formulations import FORMULATIONS
from mapc.models.bits.heuristics import uniform_table
from mapc.models.bits.methods import METHODS
from mapc.models.bits.problem import BitsProblem
from mapc.models.bits.reduction import check_feasible
from mapc.models.bits.verify import verify
from mapc.solvers.base import Number


class BitsFamily:
    """The bits family, as the verbs and the portfolio see it."""

    kind = "bits"
    problem_type = BitsProblem
    methods = METHODS
    formulations = FORMULATIONS
    verify = staticmethod(verify)

    def precheck(self, problem: BitsProblem) -> None:
        """Refuse a budget below what the cheapest choice takes, naming the smallest feasible."""
        check_feasible(problem)

    def facts(self, problem: BitsProblem) -> dict[str, Any]:
        """Size of the problem, and the budget of every resource in its unit."""
        resources = zip(problem.resources, problem.units, problem.budget, strict=True)
        return {
            "name": problem.name,
            "groups": problem.n_groups,
            "options": problem.n_options,
            "tied_sets": len(problem.ties),
            "edges": len(problem.edges),
            "pairwise_terms": 0 if problem.pairwise is None else len(problem.pairwise.table),
            "goal": problem.objective,
            "weights": int(problem.weights.sum()),
            "budgets": {
                name: {"unit": unit, "budget": None if budget is None else int(budget)}
                for name, unit, budget in resources
            },
        }

    def details(self, problem: BitsProblem) -> dict[str, Any]:
        """What each resource takes at least and at most, and what every single format gives."""
        low, high = problem.cost_range
        return {
            "cheapest": dict(zip(problem.resources, low.tolist(), strict=True)),
            "costliest": dict(zip(problem.resources, high.tolist(), strict=True)),
            "uniform": {
                row.format: {
                    "loss": row.loss,
                    **dict(zip(problem.resources, row.cost, strict=True)),
                    "within_budgets": row.feasible,
                    "groups_without": row.exceptions,
                }
                for row in uniform_table(problem)
            },
        }

    def with_capacity(self, problem: BitsProblem, text: str | int) -> BitsProblem:
        """Refuse: what is limited here are resources, each by its own budget."""
        raise UsageError(
            f"capacity {text!r}: a bits problem has none; give --budget RESOURCE=AMOUNT, e.g. "
            "--budget size=4.5bpw"
        )

    def phrase(self, value: Number) -> str:
        """Return e.g. ``a loss of 0.0749494``."""
        return f"a loss of {value:.6g}"


FAMILY = BitsFamily()
