"""vLLM: the initial mapping of offline EPLB, as JSON lines."""

from __future__ import annotations

import json

from mapc.deploy.experts import physical_experts
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem

VERSION = 1


def export(problem: PlacementProblem, plan: PlacementPlan) -> str:
    """Return one record of type ``eplb_initial_mapping``.

    The format of vLLM's open proposal (pull request 41141), which is not in a release yet. Keys
    count the layers with experts only: 58 of DeepSeek-V3, "0" to "57". A vLLM without it takes
    `mapc.eplb.EplbPolicy` instead.

    Launch with::

        --enable-expert-parallel --enable-eplb --eplb-config '{"num_redundant_experts": R,
        "initial_mapping_path": "FILE", "disable_online_rebalancing": true}'

    with R = slots - experts.

    Raises
    ------
    UsageError
        For dead ranks, and for a plan with a split of its own: every replica gets its equal part.
    InstanceError
        For a plan that does not belong to the problem.
    """
    experts = physical_experts(problem, plan, "vllm")
    record = {
        "record_type": "eplb_initial_mapping",
        "version": VERSION,
        "num_redundant_experts": problem.n_slots - problem.n_experts,
        "num_slots": problem.n_slots,
        "initial_global_assignments": {
            str(layer): layer_experts for layer, layer_experts in enumerate(experts.tolist())
        },
    }
    return json.dumps(record) + "\n"
