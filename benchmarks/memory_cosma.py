"""Build the published COSMA ILP of a graph file and give it to HiGHS for a while.

    python benchmarks/memory_cosma.py GRAPH.json [--capacity BYTES] [--time-limit 300]

GRAPH.json is the plain operator-graph format: ``{name, inputs, outputs, tensors: {name: size},
ops: [{op, ins, outs}]}``. Prints the size of the model, the seconds and memory it took to build,
and the solver's status, objective and bound.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np

from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory import cosma
from mapc.models.memory.problem import MemoryProblem
from mapc.program.model import Program
from mapc.solvers import registry
from mapc.solvers.base import Limits


def load(path: Path) -> OperatorGraph:
    data = json.loads(path.read_text())
    names = list(data["tensors"])
    index = {name: i for i, name in enumerate(names)}
    ops = data["ops"]
    return OperatorGraph(
        name=data["name"],
        operator_names=tuple(f"{i}:{op['op']}" for i, op in enumerate(ops)),
        operator_kinds=tuple(op["op"] for op in ops),
        workspace=np.zeros(len(ops), dtype=np.int64),
        inputs=Ragged.of([index[t] for t in op["ins"]] for op in ops),
        outputs=Ragged.of([index[t] for t in op["outs"]] for op in ops),
        tensor_names=tuple(names),
        tensor_bytes=np.array(list(data["tensors"].values()), dtype=np.int64),
        is_output=np.isin(names, data["outputs"]),
        is_constant=np.zeros(len(names), dtype=np.bool_),
    )


def run_highs(program: Program, seconds: float) -> None:
    solution = registry.solve(program, "highs", limits=Limits(time=seconds))
    print(f"backend    {solution.backend} {solution.version}")
    print(f"status     {solution.status} ({solution.stop})")
    print(f"objective  {solution.objective}")
    print(f"bound      {solution.bound}")
    print(f"nodes      {solution.nodes}")
    print(f"seconds    {solution.seconds:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graph", type=Path)
    parser.add_argument("--capacity", type=int, help="bytes; the largest working set if not given")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds; 0 builds only")
    parser.add_argument("--capacity-rows", action="store_true", help="add the implied rows")
    args = parser.parse_args()
    graph = load(args.graph)
    capacity = args.capacity or MemoryProblem(graph).smallest_capacity
    problem = MemoryProblem(graph, capacity)
    begin, cpu = time.perf_counter(), time.process_time()
    program, _ = cosma.lower(problem, capacity_rows=args.capacity_rows)
    figures = program.statistics()
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    print(f"graph      {graph.name}: {graph.n_operators} operators, {graph.n_tensors} tensors")
    print(f"capacity   {capacity} bytes")
    for key in ("rows", "columns", "integers", "nonzeros"):
        print(f"{key:<10} {figures[key]:,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"built in   {wall:.2f} s wall, {cpu:.2f} s CPU, peak memory {peak:.0f} MiB")
    if args.time_limit > 0:
        run_highs(program, args.time_limit)


if __name__ == "__main__":
    main()
