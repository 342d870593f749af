"""How a sequence problem is attacked: baselines, packing, bounds on the step, programs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem


def _method(name: str, stage: str, target: str, summary: str, default: bool = True) -> Method:
    def run(problem: Any, search: Search) -> None:
        module, _, function = target.partition(":")
        if isinstance(problem, SequenceProblem):
            getattr(import_module(f"mapc.models.sequence.{module}"), function)(problem, search)

    return Method(name, stage, run, summary, default)


def _propose(search: Search, plan: SequencePlan | None, source: str) -> None:
    if plan is not None:
        search.propose(plan, source)


def homogeneous(problem: SequenceProblem, search: Search) -> None:
    """Propose one degree for everything, each in turn, the largest first: `Method.run`."""
    from mapc.models.sequence.published import baselines

    for mode in range(problem.n_modes - 1, -1, -1):
        degree = problem.cost.degree[mode]
        _propose(search, baselines.homogeneous(problem, mode), f"homogeneous, degree {degree}")
        if search.done():
            return


def megatron(problem: SequenceProblem, search: Search) -> None:
    """Propose what Megatron's dynamic context parallelism does: `Method.run`."""
    from mapc.models.sequence.published import baselines

    _propose(search, baselines.megatron_greedy(problem), "Megatron's greedy")


def static(problem: SequenceProblem, search: Search) -> None:
    """Propose the largest degree for everything: `Method.run`."""
    from mapc.models.sequence.published import baselines

    _propose(search, baselines.static(problem), "largest degree")


METHODS = (
    _method("area", BOUND, "bounds.area:run", "rank-time of all sequences; the longest ones"),
    _method("homogeneous", HEURISTIC, "methods:homogeneous", "one degree for everything, the best"),
    _method("megatron", HEURISTIC, "methods:megatron", "least degree that holds it, by s^2 / d"),
    _method(
        "static", HEURISTIC, "methods:static", "the largest degree for everything", default=False
    ),
    _method(
        "packing", HEURISTIC, "packing.search:run", "micro-batches and groups packed and improved"
    ),
    _method("columns", BOUND, "bounds.columns:run", "the whole step by prices and columns"),
    _method(
        "aggregate",
        BOUND,
        "bounds.aggregate:run",
        "groups summed up by mode, one micro-batch",
        default=False,
    ),
    _method("step", EXACT, "bounds.step:run", "the whole step over boxes of makespans"),
    _method(
        "flexsp",
        HEURISTIC,
        "published.flexsp:run",
        "FlexSP: consecutive micro-batches, a MILP for each",
        default=False,
    ),
)
"""In the order in which they run."""
