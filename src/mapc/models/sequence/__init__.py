"""Micro-batches, groups of ranks, and who computes which sequence of a training step."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapc.errors import UsageError
from mapc.models.sequence.bounds import area
from mapc.models.sequence.formulations import FORMULATIONS
from mapc.models.sequence.methods import METHODS
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.verify import verify
from mapc.solvers.base import Number

PERCENTILES = {"median": 50, "p90": 90, "p99": 99, "longest": 100}
"""Lengths that ``details`` shows."""


class SequenceFamily:
    """The sequence family, as the verbs and the portfolio see it."""

    kind = "sequence"
    problem_type = SequenceProblem
    methods = METHODS
    formulations = FORMULATIONS
    verify = staticmethod(verify)

    def precheck(self, problem: SequenceProblem) -> None:
        """Refuse fewer micro-batches than memory asks for, naming the least that it needs."""
        area.least_micro_batches(problem)

    def facts(self, problem: SequenceProblem) -> dict[str, Any]:
        """Size of the problem; ``tokens_per_rank`` of the mode that holds most for each rank."""
        cost = problem.cost
        return {
            "name": problem.name,
            "sequences": problem.n_sequences,
            "tokens": int(problem.lengths.sum()),
            "longest": int(problem.lengths.max()),
            "padding": int(problem.padding),
            "ranks": int(problem.n_ranks),
            "nodes": int(problem.n_ranks // problem.node_ranks),
            "allowed_degrees": np.unique(cost.degree).tolist(),
            "sharing": sorted(set(cost.kind), reverse=True),
            "tokens_per_rank": int((cost.tokens // cost.degree).max()),
            "least_micro_batches": int(problem.least),
            "most_micro_batches": None if problem.most is None else int(problem.most),
        }

    def details(self, problem: SequenceProblem) -> dict[str, Any]:
        """What lengths there are, what memory and area ask for, and what one degree would give.

        ``least_degree`` counts sequences by the least degree that holds them, ``homogeneous`` has
        the step of each mode for everything in ms, None where none was found.
        """
        from mapc.models.sequence.assembly import step_ticks
        from mapc.models.sequence.published.baselines import homogeneous

        cost = problem.cost
        # modes stand by increasing degree; some fits, or the problem would have been refused
        least, count = np.unique(cost.degree[problem.fits.argmax(axis=0)], return_counts=True)
        steps: dict[str, float | None] = {}
        for mode in range(problem.n_modes):
            plan = homogeneous(problem, mode)
            steps[mode_name(problem, mode)] = (
                None if plan is None else float(step_ticks(problem, plan) * problem.tick)
            )
        quantiles = np.percentile(problem.lengths, list(PERCENTILES.values()), method="nearest")
        return {
            "lengths": dict(zip(PERCENTILES, quantiles.tolist(), strict=True)),
            "least_degree": dict(zip(least.tolist(), count.tolist(), strict=True)),
            "micro_batch_tokens": area.micro_batch_tokens(problem),
            "needed_micro_batches": area.least_micro_batches(problem),
            "bound_step_ms": float(area.step_bound(problem) * problem.tick),
            "homogeneous": steps,
        }

    def with_capacity(self, problem: SequenceProblem, text: str | int) -> SequenceProblem:
        """Refuse: memory counts in the tokens that groups hold."""
        raise UsageError(
            f"capacity {text!r}: a sequence problem has none; what its groups hold counts in "
            "tokens, and follows from --memory-limit-gb or --tokens-per-rank when it is imported"
        )

    def phrase(self, value: Number) -> str:
        """Return e.g. ``a step of 3,200.1 ms``."""
        return f"a step of {milliseconds(value)}"


def milliseconds(value: Number) -> str:
    """Return e.g. ``3,200.1 ms``, with more digits of what is short.

    >>> milliseconds(3200.125), milliseconds(0.0421875)
    ('3,200.1 ms', '0.04219 ms')
    """
    return f"{value:,.1f} ms" if value >= 100 else f"{value:.4g} ms"


def mode_name(problem: SequenceProblem, mode: int) -> str:
    """Return e.g. ``8`` or, where a degree stands twice or is a ring, ``8 ring``."""
    cost = problem.cost
    degree = int(cost.degree[mode])
    return f"{degree}" if len(set(cost.kind)) == 1 else f"{degree} {cost.kind[mode]}"


FAMILY = SequenceFamily()
