"""Which experts, and which replicas of them, sit on which rank of a serving cluster."""

from __future__ import annotations

from typing import Any

from mapc.errors import UsageError
from mapc.models.placement.formulations import FORMULATIONS
from mapc.models.placement.methods import METHODS
from mapc.models.placement.problem import PlacementProblem
from mapc.models.placement.verify import verify
from mapc.solvers.base import Number


class PlacementFamily:
    """The placement family, as the verbs and the portfolio see it."""

    kind = "placement"
    problem_type = PlacementProblem
    methods = METHODS
    formulations = FORMULATIONS
    verify = staticmethod(verify)

    def precheck(self, problem: PlacementProblem) -> None:
        """Refuse what no placement can do."""

    def facts(self, problem: PlacementProblem) -> dict[str, Any]:
        """Size of the problem, and what is paid for."""
        return {
            "name": problem.name,
            "layers": problem.n_layers,
            "experts": problem.n_experts,
        }

    def details(self, problem: PlacementProblem) -> dict[str, Any]:
        """Nothing yet."""
        return {}

    def with_capacity(self, problem: PlacementProblem, text: str | int) -> PlacementProblem:
        """Refuse: what is limited here are the slots of every rank."""
        raise UsageError(
            f"capacity {text!r}: a placement problem has none; its ranks have slots, "
            f"here {problem.slots} per layer"
        )

    def phrase(self, value: Number) -> str:
        """Return e.g. ``a step time of 58.0494``; the unit is that of the cost."""
        return f"a step time of {value:.6g}"


FAMILY = PlacementFamily()
