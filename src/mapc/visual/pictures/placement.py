"""Pictures of placements: load, before and after, traffic, replicas, moves, memory."""

from __future__ import annotations

from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem
from mapc.visual.figure import Section
from mapc.visual.pictures.placement_compare import before_after_section
from mapc.visual.pictures.placement_copies import copies_section
from mapc.visual.pictures.placement_layouts import MAX_EFFORT, baselines, effort, look
from mapc.visual.pictures.placement_load import load_section, loads_of
from mapc.visual.pictures.placement_moves import memory_section, moves_section
from mapc.visual.pictures.placement_traffic import traffic_section
from mapc.visual.view import View

TOO_LARGE = "Baselines are left out: a placement of this size takes too long to replay."


def sections(view: View) -> tuple[Section, ...]:
    """Return what there is to see of a placement, its load first.

    A plan that cannot be replayed (an expert on no rank, a slot with an unknown one) has a section
    that says so, and no pictures.
    """
    problem: PlacementProblem = view.problem
    plan: PlacementPlan = view.plan
    ours = look(problem, plan, "plan", "this plan")
    if ours is None:
        return (
            Section("load", "Load", "The plan cannot be replayed, so there is no load to show."),
        )
    small = effort(problem) <= MAX_EFFORT
    others = baselines(problem) if small else []
    loads = loads_of(problem, ours)
    found = [
        load_section(loads, ours, others),
        before_after_section(view, loads, ours, others, "" if small else TOO_LARGE),
    ]
    if not problem.balance_only:
        found.append(traffic_section(loads, ours))
    found.append(copies_section(loads, ours))
    if problem.current is not None:
        found.append(moves_section(problem, ours))
    if problem.expert_bytes:
        found.append(memory_section(problem, ours))
    return tuple(found)
