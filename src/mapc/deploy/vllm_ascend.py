"""vLLM-Ascend: the expert map of static EPLB."""

from __future__ import annotations

from collections.abc import Iterator

from mapc.deploy.experts import physical_experts, row
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import PlacementProblem


def export(problem: PlacementProblem, plan: PlacementPlan) -> str:
    """Return ``expert_map.json``: for every layer with experts, the experts of every device.

    ``layer_id`` counts the layers with experts only, from 0, and is the place in the list.

    Launch with::

        --enable-expert-parallel --additional-config '{"eplb_config": {"expert_map_path": "FILE",
        "num_redundant_experts": R}}'

    with R = slots - experts; older versions take ``expert_map_path`` without ``eplb_config``.

    Raises
    ------
    UsageError
        For dead ranks, and for a plan with a split of its own.
    InstanceError
        For a plan that does not belong to the problem.
    """
    experts = physical_experts(problem, plan, "vllm-ascend")
    layers = experts.reshape(problem.n_layers, problem.n_ranks, problem.slots)
    return "".join(_lines(layers.tolist()))


def _lines(layers: list[list[list[int]]]) -> Iterator[str]:
    """Yield JSON with a device a line, for people to read."""
    yield f'{{"moe_layer_count": {len(layers)}, "layer_list": [\n'
    for layer, devices in enumerate(layers):
        yield f'{{"layer_id": {layer}, "device_count": {len(devices)}, "device_list": [\n'
        for device, experts in enumerate(devices):
            comma = "," if device + 1 < len(devices) else ""
            yield f'{{"device_id": {device}, "device_expert": {row(experts)}}}{comma}\n'
        yield "]}" + (",\n" if layer + 1 < len(layers) else "\n")
    yield "]}\n"
