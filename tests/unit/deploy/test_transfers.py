"""Lists of transfers, carried out command by command on bytes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.deploy import exporter
from mapc.models.memory.addresses import place_or_lose
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from mapc.models.memory.verify import verify
from oracles.memory_bruteforce import small_problems


def carry_out(document: dict[str, Any], problem: MemoryProblem) -> dict[str, list[tuple[str, int]]]:
    """Run the commands on a block of memory whose cells hold (tensor, position).

    Asserts that every operator runs once, with its inputs whole where they are said to be.
    Returns what is outside in the end.
    """
    graph = problem.graph
    names, operators = graph.tensor_names, list(graph.operator_names)
    whole = {
        name: [(name, at) for at in range(size)]
        for name, size in zip(names, graph.tensor_bytes.tolist(), strict=True)
    }
    outside = {
        name: whole[name] for name, source in zip(names, graph.is_source, strict=True) if source
    }
    memory: list[Any] = [None] * document["arena_bytes"]

    def span(one: dict[str, Any]) -> slice:
        assert 0 <= one["address"] <= one["address"] + one["bytes"] <= len(memory)
        assert one["address"] % document["alignment"] == 0
        return slice(one["address"], one["address"] + one["bytes"])

    ran = []
    for command in document["commands"]:
        if command["do"] == "load":
            memory[span(command)] = outside[command["tensor"]]
        elif command["do"] == "store":
            outside[command["tensor"]] = memory[span(command)]
        else:
            o = operators.index(command["operator"])
            assert command["step"] == len(ran)
            ran.append(o)
            assert [p["tensor"] for p in command["inputs"]] == [names[t] for t in graph.inputs[o]]
            assert [p["tensor"] for p in command["outputs"]] == [names[t] for t in graph.outputs[o]]
            assert (command["workspace"] or {"bytes": 0})["bytes"] == graph.workspace[o]
            if command["workspace"]:
                memory[span(command["workspace"])] = ["scratch"] * graph.workspace[o]
            for part in command["outputs"]:
                memory[span(part)] = whole[part["tensor"]]
            # read last: what workspace or outputs have overwritten shows
            for part in [*command["inputs"], *command["outputs"]]:
                assert memory[span(part)] == whole[part["tensor"]]
    assert sorted(ran) == list(range(graph.n_operators))
    return outside


@given(problem=small_problems(max_operators=7), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_commands_compute_the_graph_and_move_what_the_plan_says(problem, seed) -> None:
    schedule = Schedule(problem, problem.graph.given_order)
    keep = evict_by_next_use(schedule, by_cost=bool(seed % 2))
    if seed > 4:  # more traffic than needed
        keep &= ~schedule.covers
    plan = place_or_lose(schedule, keep)
    verdict = verify(problem, plan)
    assert not verdict.violations
    document = json.loads(exporter("transfers")(problem, plan))
    outside = carry_out(document, problem)
    graph = problem.graph
    columns = (graph.tensor_names, graph.tensor_bytes.tolist(), graph.is_output.tolist())
    for name, size, is_output in zip(*columns, strict=True):
        assert not is_output or outside[name] == [(name, at) for at in range(size)]
    moved = document["loaded_bytes"] + document["stored_bytes"]
    if problem.alignment == 1:
        assert moved == verdict.objective + problem.compulsory
    else:
        assert moved <= verdict.objective + problem.compulsory
    steps = [command["step"] for command in document["commands"]]
    assert steps == sorted(steps)
    assert document["operators"] == [graph.operator_names[o] for o in plan.order.tolist()]
    assert document["arena_bytes"] <= problem.capacity
