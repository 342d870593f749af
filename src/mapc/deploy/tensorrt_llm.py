"""TensorRT-LLM: the load balancer of wide expert parallelism, static."""

from __future__ import annotations

from mapc.deploy.experts import physical_experts, row
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem


def export(problem: PlacementProblem, plan: PlacementPlan) -> str:
    """Return ``moe_load_balancer.yaml``.

    Layers are numbered as in the model: 3 to 60 of DeepSeek-V3. ``layer_updates_per_iter: 0``
    keeps the placement; rank r of G owns the slots from ``r * num_slots / G`` to the next one's.

    Launch with the file named in the LLM options::

        moe_expert_parallel_size: G
        moe_config: {backend: WideEP, load_balancer: FILE}

    Raises
    ------
    UsageError
        For dead ranks, and for a plan with a split of its own.
    InstanceError
        For a plan that does not belong to the problem.
    """
    experts = physical_experts(problem, plan, "tensorrt-llm")
    layers = zip(problem.layer_ids.tolist(), map(row, experts), strict=True)
    head = f"num_slots: {problem.n_slots}\nlayer_updates_per_iter: 0\ninitial_global_assignments:\n"
    return head + "".join(f"  {layer}: {experts}\n" for layer, experts in layers)
