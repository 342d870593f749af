"""SGLang: ``--init-expert-location``, the physical-to-logical map of all layers."""

from __future__ import annotations

import numpy as np

from mapc.deploy.experts import check_plan, physical_experts, row, slots_in_order
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem

LP = "lp"


def export(problem: PlacementProblem, plan: PlacementPlan, *, dispatch: str = "dynamic") -> str:
    """Return ``physical_to_logical_map``, a row for every layer of the model.

    SGLang passes the keys of the file on as arguments, so that this is the only one. Layers without
    experts (DeepSeek's first three) have a row as well, which nothing reads: slot p says expert
    ``p mod E``, as in SGLang's own layout.

    Launch with::

        --ep-size G --ep-num-redundant-experts R --init-expert-location FILE
        --ep-dispatch-algorithm dynamic

    with G ranks and R = slots - experts. ``dynamic`` draws a replica for every token, as plans for
    equal dispatch assume. ``static`` settles a replica for every rank, its own where there is one:
    near to what plans for local dispatch assume. Without ``--enable-eplb`` the placement stays.

    Parameters
    ----------
    dispatch : str
        ``"dynamic"`` or ``"static"``; ``"lp"`` for plans with a split of their own: SGLang then
        solves for the split batch by batch (``--ep-dispatch-algorithm lp``).

    Raises
    ------
    UsageError
        For dead ranks, and for a plan with a split but under ``lp``.
    InstanceError
        For a plan that does not belong to the problem.
    """
    if dispatch == LP and not problem.dead.any():
        check_plan(problem, plan)
        experts = slots_in_order(problem, plan)
    else:
        experts = physical_experts(problem, plan, "sglang", splits="dispatch lp")
    rows = np.empty((problem.model_layers, experts.shape[1]), dtype=np.int64)
    rows[:] = np.arange(experts.shape[1]) % problem.n_experts
    rows[problem.layer_ids] = experts
    lines = ",\n".join(map(row, rows))
    return f'{{"physical_to_logical_map": [\n{lines}\n]}}\n'
