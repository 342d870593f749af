"""Arena maps: no two buffers of a step overlap, and a C compiler reads what JSON says."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.deploy import exporter
from mapc.deploy.arena import buffers_of
from mapc.errors import InstanceError, UsageError
from mapc.graph import OperatorGraph, Ragged
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.verify import verify as verify_allocation
from mapc.models.memory.addresses import place_or_lose
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from oracles import allocation_bruteforce, memory_bruteforce

COMPILERS = [
    [compiler, *flags]
    for compiler, flags in (
        ("cc", ["-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-x", "c"]),
        ("c++", ["-std=c++11", "-pedantic-errors", "-Wall", "-Wextra", "-Werror", "-x", "c++"]),
    )
]


def plan_of(problem: MemoryProblem) -> MemoryPlan:
    schedule = Schedule(problem, problem.graph.given_order)
    return place_or_lose(schedule, evict_by_next_use(schedule))


def awkward() -> tuple[MemoryProblem, MemoryPlan]:
    """Return a plan with a workspace, a spill, rounded sizes, and names that C has to escape."""
    graph = OperatorGraph(
        name='net "??/" \\ é */\n',
        operator_names=("o0", "o1", "o2", 'o"3'),
        operator_kinds=("any",) * 4,
        workspace=np.array([0, 3, 0, 0]),
        inputs=Ragged.of([[], [0], [1], [2, 0]]),
        outputs=Ragged.of([[0], [1], [2], [3]]),
        tensor_names=("t0", "layer/1:0", "é??=", 't"3'),
        tensor_bytes=np.array([50, 21, 30, 10]),
        is_output=np.array([False, False, False, True]),
        is_constant=np.zeros(4, dtype=np.bool_),
    )
    problem = MemoryProblem(graph, None, alignment=8)
    problem = replace(problem, capacity=problem.smallest_capacity)
    return problem, plan_of(problem)


@given(problem=memory_bruteforce.small_problems(max_operators=6))
@settings(max_examples=60, deadline=None)
def test_buffers_of_memory_plans_are_apart_and_hold_what_operators_touch(problem) -> None:
    plan = plan_of(problem)
    found = json.loads(exporter("arena-json")(problem, plan))
    graph = problem.graph
    bytes_of = dict(zip(graph.tensor_names, graph.tensor_bytes.tolist(), strict=True))
    for step, o in enumerate(plan.order.tolist()):
        here = [b for b in found["buffers"] if b["first_step"] <= step <= b["last_step"]]
        cells = [at for b in here for at in range(b["offset"], b["offset"] + b["size"])]
        assert len(cells) == len(set(cells))
        assert all(at < found["arena_bytes"] <= problem.capacity for at in cells)
        held = {b["name"]: b["bytes"] for b in here if b["kind"] == "tensor"}
        touched = [graph.tensor_names[t] for t in graph.touched[o].tolist()]
        assert {name: held[name] for name in touched} == {n: bytes_of[n] for n in touched}
        spaces = [(b["name"], b["bytes"]) for b in here if b["kind"] == "workspace"]
        wanted = [(found["operators"][step], int(graph.workspace[o]))]
        assert spaces == (wanted if graph.workspace[o] else [])
    assert all(b["offset"] % problem.alignment == 0 for b in found["buffers"])
    assert all(0 <= b["size"] - b["bytes"] < problem.alignment for b in found["buffers"])


@given(problem=allocation_bruteforce.small_problems(alignments=(1, 4)))
@settings(max_examples=40, deadline=None)
def test_buffers_of_allocation_plans_are_those_of_the_problem(problem) -> None:
    ends = np.cumsum(problem.padded)
    plan = AllocationPlan(ends - problem.padded)  # one on top of the other
    found = json.loads(exporter("arena-json")(problem, plan))
    assert found["arena_bytes"] == verify_allocation(problem, plan).objective
    assert "operators" not in found
    rows = {
        (b["name"], b["first_step"], b["last_step"] + 1, b["bytes"], b["offset"])
        for b in found["buffers"]
    }
    columns = (problem.lower, problem.upper, problem.size, plan.offset)
    assert rows == set(zip(problem.names, *(c.tolist() for c in columns), strict=True))


PROGRAM = """
#include <stdio.h>
#include "HEADER"
int main(void) {
    printf("%llu %llu %d\\n", (unsigned long long)PRE_SIZE, (unsigned long long)PRE_ALIGNMENT,
           PRE_BUFFERS);
    for (const pre_buffer *b = pre_buffers; b->name; ++b)
        printf("%llu %llu %lld %lld %s\\n", (unsigned long long)b->offset,
               (unsigned long long)b->size, (long long)b->first_step, (long long)b->last_step,
               b->name);
    printf("%s", PRE_NAME);
    return 0;
}
"""


@pytest.mark.parametrize("compiler", COMPILERS, ids=lambda command: command[0])
def test_a_compiler_reads_the_header_as_json_has_it(compiler, tmp_path: Path) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]} on this machine")
    problem, plan = awkward()
    header = exporter("arena-c")(problem, plan, prefix="pre")
    (tmp_path / "pre.h").write_text(header, encoding="ascii")
    # read twice, as by two headers that both need it
    program = PROGRAM.replace('#include "HEADER"', '#include "pre.h"\n#include "pre.h"')
    (tmp_path / "main.c").write_text(program)
    subprocess.run([*compiler, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    text = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout.decode()
    found = json.loads(exporter("arena-json")(problem, plan))
    first, *rows = text.split("\n", 1 + len(found["buffers"]))
    assert first == f"{found['arena_bytes']} 8 {len(found['buffers'])}"
    keys = ("offset", "size", "first_step", "last_step", "name")
    assert rows[:-1] == [" ".join(str(b[key]) for key in keys) for b in found["buffers"]]
    assert rows[-1] == problem.graph.name


def test_a_header_without_buffers_still_compiles(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc on this machine")
    problem = allocation_bruteforce.problem_of([])
    (tmp_path / "arena.h").write_text(
        exporter("arena-c")(problem, AllocationPlan(np.zeros(0, int)))
    )
    (tmp_path / "main.c").write_text(
        '#include "arena.h"\nint main(void) { return arena_buffers[ARENA_BUFFERS].name != 0; }\n'
    )
    subprocess.run(["cc", "-std=c99", "-Werror", "main.c", "-o", "main"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"]).returncode == 0


def test_a_spilled_tensor_is_two_buffers() -> None:
    problem, plan = awkward()
    stays = [(b.first_step, b.last_step) for b in buffers_of(problem, plan) if b.name == "t0"]
    assert stays == [(0, 1), (3, 3)]
    assert [b.bytes for b in buffers_of(problem, plan) if b.kind == "workspace"] == [3]


def test_several_banks_are_no_arena() -> None:
    problem = replace(allocation_bruteforce.problem_of([(0, 1, 4)]), banks=(("a", 4), ("b", 4)))
    with pytest.raises(UsageError, match="one block of memory"):
        buffers_of(problem, AllocationPlan(np.array([0]), np.array([1])))


@pytest.mark.parametrize("prefix", ["", "3d", "a-b", "a b", "_a", "naïve"])
def test_a_prefix_that_is_no_name_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError, match=r"prefix .*: expected a letter"):
        exporter("arena-c")(*awkward(), prefix=prefix)


@pytest.mark.parametrize("name", ["arena-json", "arena-c", "transfers"])
def test_plans_of_other_problems_are_refused(name: str) -> None:
    problem, plan = awkward()
    wrong = [
        replace(plan, tensor=plan.tensor + 3),
        replace(plan, order=plan.order - 1),
        replace(plan, workspace_address=plan.workspace_address[1:]),
    ]
    for one in wrong:
        with pytest.raises(InstanceError, match="does not belong to the problem"):
            exporter(name)(problem, one)
    if name != "transfers":
        other = allocation_bruteforce.problem_of([(0, 1, 1)])
        for pair in ((problem, AllocationPlan(np.zeros(1, int))), (other, plan)):
            with pytest.raises(InstanceError, match="does not belong to the problem"):
                exporter(name)(*pair)
        with pytest.raises(InstanceError, match="does not belong to the problem"):
            exporter(name)(other, AllocationPlan(np.zeros(2, int)))
