"""Placement of a recorded chain: exact methods beside baselines and a MIP solver.

    python benchmarks/placement_chain.py [--trace FILE.npz] [--seconds 60] [--methods ...]

The trace is one of Mixtral 8x7B (32 layers of 8 experts, top-2): ``counts`` [layers, experts] and
``transitions`` [layers - 1, experts, experts]. It is looked for in ``$MAPC_DATA/placement`` or in
the folder ``shared/data`` beside the repository. A token costs 4; moving one costs 1 inside a node
and 4 between nodes. Every method runs alone, one after another, in a process of its own. Printed
are the modelled step, how far it is above the best bound that any method proved, the method's own
bound, seconds of wall time and CPU seconds of the process and its solvers.

``two-stage`` is MoETuner's: balance first, clusters to ranks after.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import mapc
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import CHAIN, PlacementProblem, StepTime

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("MAPC_DATA", ROOT.parent / "shared" / "data"))
TRACE = DATA / "placement" / "mixtral_8x7b_humaneval_trace.npz"
CLUSTERS = {
    "4 ranks": [4],
    "2 nodes x 2 ranks": [2, 2],
    "8 ranks": [8],
    "2 nodes x 4 ranks": [4, 4],
}
METHODS = {
    "contiguous": ["contiguous"],
    "two-stage": ["moetuner"],
    "coordinate descent": ["coordinate"],
    "MILP (HiGHS, degree rows)": ["contiguous", "milp"],
    "pair bounds": ["contiguous", "pairs"],
    "exact": ["assignment", "chain"],
}


@dataclass(frozen=True)
class Run:
    """What one method did; objective and bound are None where it has none."""

    objective: float | None
    bound: float | None
    wall: float
    cpu: float


def instance(trace: Path, nodes: list[int]) -> PlacementProblem:
    """Return the trace on a cluster with as many ranks in every node as ``nodes`` says."""
    with np.load(trace) as data:
        counts, transitions = (
            data[name][None].astype(np.int64) for name in ("counts", "transitions")
        )
    inside = 4.0 if len(nodes) > 1 else 1.0
    return PlacementProblem(
        name="mixtral",
        counts=counts,
        profiles=("trace",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster(nodes, 1 << 40, inside, 1.0),
        slots=counts.shape[2] // sum(nodes),
        cost=StepTime(token=4.0, transfer=inside),
        traffic=CHAIN,
        transitions=transitions,
        top_k=2,
    )


def cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def child(
    pipe: Connection, trace: Path, nodes: list[int], names: list[str], seconds: float
) -> None:
    problem = instance(trace, nodes)
    started, used = time.monotonic(), cpu_seconds()
    result = mapc.solve(problem, methods=names, time_limit=seconds)
    wall, cpu = time.monotonic() - started, cpu_seconds() - used
    bound = result.bound if names != ["contiguous"] else None
    pipe.send(Run(result.objective, bound, wall, cpu))


def alone(trace: Path, nodes: list[int], names: list[str], seconds: float) -> Run:
    """Run methods in a process of their own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(there, trace, nodes, names, seconds))
    process.start()
    there.close()
    run: Run = here.recv()
    process.join()
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", type=Path, default=TRACE)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clusters", nargs="+", choices=CLUSTERS, default=list(CLUSTERS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    args = parser.parse_args()
    for cluster in args.clusters:
        runs = {
            name: alone(args.trace, CLUSTERS[cluster], METHODS[name], args.seconds)
            for name in args.methods
        }
        best = max((run.bound for run in runs.values() if run.bound is not None), default=None)
        print(f"\n{cluster}")
        print(f"{'method':26} {'step':>9} {'above':>8} {'bound':>9} {'wall s':>8} {'CPU s':>8}")
        for name, run in runs.items():
            step = "-" if run.objective is None else f"{run.objective:.0f}"
            bound = "-" if run.bound is None else f"{run.bound:.0f}"
            above = "-"
            if run.objective is not None and best is not None:
                above = f"{run.objective / best - 1:.2%}"
            print(f"{name:26} {step:>9} {above:>8} {bound:>9} {run.wall:8.2f} {run.cpu:8.2f}")


if __name__ == "__main__":
    main()
