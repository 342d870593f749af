"""Which experts, and which replicas of them, sit on which rank of a serving cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from mapc.errors import UsageError
from mapc.models.placement.checks.precheck import check_possible
from mapc.models.placement.formulations import FORMULATIONS
from mapc.models.placement.methods import METHODS
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem
from mapc.models.placement.rows import plan_of
from mapc.models.placement.verify import verify
from mapc.solvers.base import Number

SHOWN = ("balancedness", "worst_balancedness", "cross_rank", "cross_node", "worst_rank")
"""Figures of a layout that ``details`` shows beside its objective."""


class PlacementFamily:
    """The placement family, as the verbs and the portfolio see it."""

    kind = "placement"
    problem_type = PlacementProblem
    methods = METHODS
    formulations = FORMULATIONS
    verify = staticmethod(verify)

    def precheck(self, problem: PlacementProblem) -> None:
        """Refuse rules that contradict each other, naming where."""
        check_possible(problem)

    def facts(self, problem: PlacementProblem) -> dict[str, Any]:
        """Size of the problem, and what is paid for."""
        tokens = problem.counts.sum(axis=(1, 2))
        return {
            "name": problem.name,
            "profiles": problem.n_profiles,
            "layers": problem.n_layers,
            "experts": problem.n_experts,
            "ranks": problem.n_ranks,
            "dead_ranks": int(problem.dead.sum()),
            "nodes": problem.n_nodes,
            "slots": problem.slots,
            "redundant": problem.n_slots - problem.n_experts,
            "traffic": problem.traffic,
            "dispatch": problem.dispatch,
            "goal": problem.cost.profiles,
            "unit": problem.cost.unit,
            "tokens": dict(zip(problem.profiles, tokens.tolist(), strict=True)),
            "pinned": len(problem.pinned),
            "forbidden": len(problem.forbidden),
            "max_moves": problem.max_moves,
            "max_imbalance": problem.max_imbalance,
        }

    def details(self, problem: PlacementProblem) -> dict[str, Any]:
        """How uneven the experts are, and what two layouts give: contiguous and in force.

        ``experts_without_tokens`` counts (profile, layer, expert) triples; ``hottest_expert`` is
        the largest load of one as a multiple of its layer's mean, and where. A layout that cannot
        be replayed (experts lost with their rank) shows None.
        """
        counts = problem.counts
        multiple = counts / counts.mean(axis=2, keepdims=True)
        profile, layer, expert = np.unravel_index(int(multiple.argmax()), counts.shape)
        experts = np.arange(problem.n_slots) % problem.n_experts
        table = experts.reshape(len(problem.live), problem.slots)
        contiguous = plan_of(problem, np.repeat(table[None], problem.n_layers, axis=0))
        in_force = None if problem.current is None else PlacementPlan(problem.current)
        return {
            "experts_without_tokens": int((counts == 0).sum()),
            "hottest_expert": {
                "profile": problem.profiles[profile],
                "layer": int(layer),
                "expert": int(expert),
                "times_mean": float(multiple.max()),
            },
            "contiguous": _figures(problem, contiguous),
            "in_force": None if in_force is None else _figures(problem, in_force),
        }

    def with_capacity(self, problem: PlacementProblem, text: str | int) -> PlacementProblem:
        """Refuse: what is limited here are the slots of every rank."""
        raise UsageError(
            f"capacity {text!r}: a placement problem has none; its ranks have slots, "
            f"here {problem.slots} per layer"
        )

    def phrase(self, value: Number) -> str:
        """Return e.g. ``a step time of 58.0494``; the unit is that of a problem's cost."""
        return step_time(value)

    def phrase_of(self, problem: PlacementProblem) -> Callable[[Number], str]:
        """Return how objective values of a problem are put in words, with its unit."""
        return partial(step_time, unit=problem.cost.unit)


def step_time(value: Number, unit: str = "") -> str:
    """Return e.g. ``a step time of 58.0494 balanced layers``."""
    return f"a step time of {value:,.6g} {unit}".rstrip()


def _figures(problem: PlacementProblem, plan: PlacementPlan) -> dict[str, Any] | None:
    """Objective and figures of a layout, whatever rules it breaks."""
    verdict = verify(problem, plan)
    if verdict.objective is None:
        return None
    return {"objective": verdict.objective} | {name: verdict.facts[name] for name in SHOWN}


FAMILY = PlacementFamily()
