"""A memory plan as a list of commands: load, run, store, one after the other.

Whoever carries them out in order, with one block of memory and a copy of every tensor outside,
computes the graph: every operator finds its inputs where the command says, and no command
overwrites what is still of use.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from mapc.deploy.arena import arena_bytes, buffers_of, check_memory_plan, operators_by_step
from mapc.deploy.text import to_json
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem

VERSION = 1


def export(problem: MemoryProblem, plan: MemoryPlan) -> str:
    """Return the commands as JSON.

    Top-level keys: ``format`` (``"transfers"``), ``version``, ``name``, ``alignment``,
    ``capacity_bytes``, ``arena_bytes``, ``loaded_bytes``, ``stored_bytes``, ``operators`` (names by
    step) and ``commands``, in the order in which they run. A command has a ``step`` and ``do``:

    * ``load``, ``store``: ``tensor``, ``address``, ``bytes``;
    * ``run``: ``operator``, ``inputs`` and ``outputs``, each a list of ``tensor``, ``address`` and
      ``bytes``, and ``workspace`` (``address`` and ``bytes``, or null). The address of an input
      that is read directly from outside is null. An operator may run more than once.

    Bytes are the tensor's own, not rounded up to the alignment. At every step come first the
    loads, then the operator, then the stores. A tensor is stored right after the step with which
    its stay begins, the earliest there is: it changes no more, so that the copy is good from
    then on, and until the stay ends there is time to move it.

    Raises
    ------
    InstanceError
        For a plan that does not belong to the problem.
    """
    check_memory_plan(problem, plan)
    commands = _commands(problem, plan)
    buffers = buffers_of(problem, plan)
    return to_json(
        {
            "format": "transfers",
            "version": VERSION,
            "name": problem.graph.name,
            "alignment": problem.alignment,
            "capacity_bytes": problem.capacity,
            "arena_bytes": arena_bytes(buffers),
            "loaded_bytes": sum(one["bytes"] for one in commands if one["do"] == "load"),
            "stored_bytes": sum(one["bytes"] for one in commands if one["do"] == "store"),
            "operators": operators_by_step(problem, plan),
            "commands": commands,
        }
    )


def _commands(problem: MemoryProblem, plan: MemoryPlan) -> list[dict[str, Any]]:
    graph = problem.graph
    beginning: dict[int, list[int]] = defaultdict(list)
    for row, start in enumerate(plan.start.tolist()):
        beginning[start].append(row)
    place: dict[int, int] = {}  # tensor -> address of the stay that began last
    streamed = set(map(tuple, plan.streamed.tolist()))
    commands: list[dict[str, Any]] = []

    def part(tensor: int, run: int = -1) -> dict[str, Any]:
        return {
            "tensor": graph.tensor_names[tensor],
            "address": None if (run, tensor) in streamed else place[tensor],
            "bytes": int(graph.tensor_bytes[tensor]),
        }

    for step, (o, run) in enumerate(zip(plan.order.tolist(), plan.runs.tolist(), strict=True)):
        rows = beginning[step]
        place.update((int(plan.tensor[row]), int(plan.address[row])) for row in rows)
        produced = set(graph.outputs[o].tolist())
        tensors = [int(plan.tensor[row]) for row in rows]
        loaded = [tensor for tensor in tensors if tensor not in produced]
        stored = [int(plan.tensor[row]) for row in rows if plan.written[row]]
        commands += [{"step": step, "do": "load", **part(tensor)} for tensor in loaded]
        commands.append(
            {
                "step": step,
                "do": "run",
                "operator": graph.operator_names[o],
                "inputs": [part(tensor, run) for tensor in graph.inputs[o].tolist()],
                "outputs": [part(tensor) for tensor in graph.outputs[o].tolist()],
                "workspace": _workspace(problem, plan, o, run),
            }
        )
        commands += [{"step": step, "do": "store", **part(tensor)} for tensor in stored]
    return commands


def _workspace(
    problem: MemoryProblem, plan: MemoryPlan, operator: int, run: int
) -> dict[str, int] | None:
    size = int(problem.graph.workspace[operator])
    address = int(plan.workspace_address[run])
    return {"address": address, "bytes": size} if size else None
