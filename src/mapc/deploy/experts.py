"""What runtimes of experts share: the physical experts of a plan, and text for tables of them.

Runtimes number the slots of a layer over all ranks, *physical experts*: rank ``g`` has
``g * C`` to ``g * C + C - 1``. Their number, experts plus redundant ones, is a multiple of the
ranks because every rank has C slots.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import IntArray
from mapc.models.placement.baselines.slot_order import keep_slots
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem


def physical_experts(
    problem: PlacementProblem, plan: PlacementPlan, runtime: str, *, splits: str = ""
) -> IntArray:
    """int64[L, S]: the logical expert of every physical one.

    Where a placement is in force, experts that stay on their rank keep their slot, so that the
    runtime copies as few weights as the plan allows.

    Parameters
    ----------
    problem : PlacementProblem
    plan : PlacementPlan
    runtime : str
        For messages.
    splits : str
        How to have the runtime split tokens unevenly, for messages; empty: it cannot.

    Raises
    ------
    UsageError
        For dead ranks, and for a plan that needs a split the runtime does not make.
    InstanceError
        For a plan that does not belong to the problem.
    """
    check_plan(problem, plan)
    if problem.dead.any():
        dead = ", ".join(problem.cluster.names[g] for g in np.flatnonzero(problem.dead))
        raise UsageError(
            f"{runtime} fills the slots of every rank, and dead are {dead}; "
            "expected a problem of the live ranks alone"
        )
    if plan.split is not None:
        how = f"say {splits}" if splits else "no option of it does otherwise"
        raise UsageError(
            f"{runtime} shares an expert's tokens equally among its replicas, the plan does not: "
            f"{how}; expected dispatch equal or local"
        )
    return slots_in_order(problem, plan)


def slots_in_order(problem: PlacementProblem, plan: PlacementPlan) -> IntArray:
    """int64[L, S]: physical experts, those that stay on their rank in their old slot."""
    slots = plan.slots if problem.current is None else keep_slots(problem.current, plan.slots)
    return slots.reshape(problem.n_layers, -1)


def check_plan(problem: PlacementProblem, plan: PlacementPlan) -> None:
    """Refuse a plan that has other layers, ranks, slots or experts than the problem.

    Raises
    ------
    InstanceError
    """
    shape = (problem.n_layers, problem.n_ranks, problem.slots)
    if plan.slots.shape != shape:
        raise InstanceError(f"slots of shape {plan.slots.shape}", "plan", f"{shape}")
    filled = plan.slots[:, problem.live]
    wrong = (filled < 0) | (filled >= problem.n_experts)
    if wrong.any():
        layer, rank, slot = (int(at[0]) for at in np.nonzero(wrong))
        right = f"0 to {problem.n_experts - 1}"
        where = f"plan, layer {layer}, rank {problem.live[rank]}, slot {slot}"
        raise InstanceError(f"expert {filled[layer, rank, slot]}", where, right)


def row(experts: Iterable[int]) -> str:
    """Return a list of numbers on one line, as JSON and YAML both read it."""
    return json.dumps([int(expert) for expert in experts])
