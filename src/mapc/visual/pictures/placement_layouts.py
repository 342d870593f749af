"""Placements of one problem beside each other: this plan, what is in force, what runtimes do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mapc.markup import clean
from mapc.models.placement.baselines.layouts import eplb_tables
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import CHAIN, LOCAL, WORST, FloatArray, PlacementProblem
from mapc.models.placement.rows import plan_of
from mapc.models.placement.verify import replay, verify
from mapc.solvers.base import Number
from mapc.visual.pictures.placement_heat import Side

if TYPE_CHECKING:
    from mapc.models.placement.replay import Replay

MAX_EFFORT = 5e8
"""Of one replay, as `effort` counts it, above which baselines are left out."""
PAIR = 20.0
"""What keeping a number for every pair of ranks takes, in multiplications."""
MAX_NAME = 40
"""Characters of the name of a rank in titles, which have to hold a number too."""


@dataclass(frozen=True, eq=False)
class Layout:
    """A placement and what it does.

    Attributes
    ----------
    key, name : str
        For figures, and for people.
    plan : PlacementPlan
    objective : number
    facts : mapping
        The verifier's.
    broken : int
        Rules that it breaks, as lines of the verifier.
    seen : Replay
    """

    key: str
    name: str
    plan: PlacementPlan
    objective: Number
    facts: Mapping[str, Any]
    broken: int
    seen: Replay

    @cached_property
    def ratio(self) -> FloatArray:
        """float64[P, L, H]: load of every live rank as a multiple of its layer's mean."""
        load = self.seen.load
        return np.asarray(load / load.mean(axis=2, keepdims=True))


def look(problem: PlacementProblem, plan: Any, key: str, name: str) -> Layout | None:
    """Return what a plan does; None for one that is too broken to be replayed."""
    verdict = verify(problem, plan)
    if verdict.objective is None:
        return None
    seen = replay(problem, plan)
    return Layout(key, name, plan, verdict.objective, verdict.facts, len(verdict.violations), seen)


def baselines(problem: PlacementProblem) -> list[Layout]:
    """Return the placements that users have today, those that can be replayed.

    Contiguous, EPLB by the hierarchical rule where that applies and by the global one, and what is
    in force. They know no pins, no budget and no limit, and may break them.
    """
    by_node = hierarchical(problem)
    named = [
        ("contiguous", "contiguous", contiguous(problem)),
        ("eplb", "EPLB, groups on nodes", by_node),
        (
            "eplb-global",
            "EPLB, global" if by_node else "EPLB",
            plan_of(problem, eplb_tables(problem, 1, 1)),
        ),
        ("in-force", "in force", _in_force(problem)),
    ]
    found = (look(problem, plan, key, name) for key, name, plan in named if plan is not None)
    return [layout for layout in found if layout is not None]


def contiguous(problem: PlacementProblem) -> PlacementPlan:
    """Return experts in order over the live ranks; spare slots repeat them from the first on."""
    order = np.arange(problem.n_slots) % problem.n_experts
    table = order.reshape(len(problem.live), problem.slots)
    return plan_of(problem, np.repeat(table[None], problem.n_layers, axis=0))


def hierarchical(problem: PlacementProblem) -> PlacementPlan | None:
    """Return EPLB's plan with groups packed on nodes; None where it is the global one, or none."""
    node = problem.node[problem.live]
    sizes = np.bincount(node, minlength=problem.n_nodes)
    if problem.n_nodes == 1 or problem.groups % problem.n_nodes or (sizes != sizes[0]).any():
        return None
    tables = eplb_tables(problem, problem.groups, problem.n_nodes)
    placed = np.empty_like(tables)
    placed[:, np.argsort(node, kind="stable")] = tables  # EPLB numbers ranks node by node
    return plan_of(problem, placed)


def _in_force(problem: PlacementProblem) -> PlacementPlan | None:
    return None if problem.current is None else PlacementPlan(problem.current)


def effort(problem: PlacementProblem) -> float:
    """Return about how many multiplications one replay takes."""
    ranks, experts = problem.n_ranks, problem.n_experts
    each = PAIR * ranks * ranks
    if problem.traffic == CHAIN:
        each += ranks * experts * (experts + ranks)
    elif problem.dispatch == LOCAL or problem.sources is not None:
        sources = 1 if problem.sources is None else problem.sources.shape[2]
        each += ranks * experts * (ranks + sources)
    return problem.n_profiles * problem.n_layers * each


def shown_profiles(problem: PlacementProblem, layout: Layout) -> FloatArray:
    """float64[P]: weights of the profiles in what is shown; they sum to 1.

    Those of the problem, or all on the slowest profile where that is what counts.
    """
    if problem.cost.profiles != WORST:
        return problem.weight
    slowest = int(profile_steps(problem, layout).argmax())
    return np.asarray(np.arange(problem.n_profiles) == slowest, dtype=np.float64)


def profile_steps(problem: PlacementProblem, layout: Layout) -> FloatArray:
    """float64[P]: what each profile adds to the objective, or is of it, in the unit of the cost."""
    work, transfers = np.rint(layout.seen.work.max(axis=2)), np.rint(layout.seen.transfers)
    both = np.maximum(work, transfers) if problem.cost.overlap else work + transfers
    return np.asarray((both + problem.layer_ticks[:, None]).sum(axis=1) * problem.tick)


def layer_side(problem: PlacementProblem) -> Side:
    """Return the layers by their index in the model."""
    return Side("layer", "layers", tuple(map(str, problem.layer_ids.tolist())))


def rank_side(problem: PlacementProblem, order: Any = None, lead: str = "") -> Side:
    """Return the ranks, all in their order, or those of an order."""
    names = problem.cluster.names
    if order is not None:
        names = tuple(names[g] for g in order)
    return Side("rank", "ranks", names, tuple(clean(name, MAX_NAME) for name in names), lead)
