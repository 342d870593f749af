"""Migration of real expert placements: balancedness for a budget of moves, beside EPLB's.

    python benchmarks/placement_migration.py COUNTS.npz [--ranks 32] [--slots 9] [--seconds 20]
        [--start prefill_in4096] [--targets decode_in1000out1000 ...]

The placement in force is tuned on one profile of the file (int64[L, E] each), and the load becomes
that of another. One row for each budget, from none to all slots: balancedness (mean over layers of
mean rank load over the largest), moves made, the bound on balancedness that the bound on the
objective gives, seconds to the first plan within the budget and to the last. Then what fresh
placements move: EPLB's as it comes, ours as it comes, and both with interchangeable ranks renamed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import mapc
from mapc.graph.devices import DeviceGraph
from mapc.graph.operators import IntArray
from mapc.models.placement.baselines.eplb import rebalance
from mapc.models.placement.moves.relabelling import relabel
from mapc.models.placement.moves.rules import members
from mapc.models.placement.problem import PlacementProblem
from mapc.models.placement.rows import plan_of, rows_of
from mapc.models.placement.verify import verify
from mapc.models.placement.work.balance import balance_tables

PARTS = (0.0, 0.01, 0.05, 0.10, 1.0)
"""Budgets, as parts of all slots of all layers."""


def problem_of(name: str, counts: IntArray, ranks: int, nodes: int, slots: int) -> PlacementProblem:
    """Return a problem whose objective is the number of layers over harmonic balancedness."""
    return PlacementProblem(
        name=name,
        counts=counts[None],
        profiles=(name,),
        weight=np.ones(1),
        scale=np.full(1, ranks / counts.sum(axis=1).mean()),
        cluster=DeviceGraph.cluster([ranks // nodes] * nodes, 0, 1.0, 1.0),
        slots=slots,
    )


def moves(before: IntArray, after: IntArray, n_experts: int) -> int:
    """Count new (layer, expert, rank) triples."""
    ranks = before.shape[1]
    return sum(
        int((members(b, n_experts, ranks) < members(a, n_experts, ranks)).sum())
        for b, a in zip(before, after, strict=True)
    )


def front(problem: PlacementProblem, seconds: float, seed: int) -> None:
    """Print one row for each budget."""
    total = problem.n_layers * problem.n_slots
    print(f"{'budget':>8} {'moves':>6} {'balancedness':>12} {'objective':>10} {'bound':>10} "
          f"{'first':>6} {'last':>6}")  # fmt: skip
    for part in PARTS:
        budget = int(part * total)
        started = time.monotonic()
        result = mapc.solve(
            problem.replace(max_moves=budget),
            methods=["floor", "stay", "migrate"],
            time_limit=seconds,
            seed=seed,
        )
        plans = [event.time for event in result.trajectory if event.kind == "incumbent"]
        first = plans[1] if len(plans) > 1 else plans[0]
        print(f"{budget:8d} {result.facts['moves']:6d} {result.facts['balancedness']:12.4f} "
              f"{result.objective:10.4f} {result.bound:10.4f} {first:6.1f} {plans[-1]:6.1f}"
              f"   ({time.monotonic() - started:.1f} s)", flush=True)  # fmt: skip


def fresh(problem: PlacementProblem, before: IntArray) -> None:
    """Print what placements made from scratch move."""
    ranks, slots, experts = problem.n_ranks, problem.slots, problem.n_experts
    load = problem.counts[0]
    eplb = rebalance(load.astype(np.float64), ranks * slots, 1, 1, ranks).phy2log
    tables = balance_tables(rows_of(problem).work[0], ranks, slots)
    for name, table in (("EPLB", eplb.reshape(-1, ranks, slots)), ("ours", tables)):
        objective = balancedness(problem, table)
        renamed = relabel(problem, table)
        print(f"fresh, {name}: balancedness {objective}; {moves(before, table, experts)} moves, "
              f"{moves(before, renamed, experts)} with ranks renamed, "
              f"of {load.shape[0] * ranks * slots} slots")  # fmt: skip


def balancedness(problem: PlacementProblem, tables: IntArray) -> str:
    """Return the figure; EPLB may put two replicas of an expert on a rank, counted by hand."""
    found = verify(problem.replace(max_moves=None), plan_of(problem, tables)).facts
    if found:
        return f"{found['balancedness']:.4f}"
    copies = np.stack([np.bincount(t.ravel(), minlength=problem.n_experts) for t in tables])
    per = problem.counts[0] / copies
    load = per[np.arange(len(tables))[:, None, None], tables].sum(axis=2)
    return f"{(load.mean(axis=1) / load.max(axis=1)).mean():.4f} (with duplicates on a rank)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts", type=Path)
    parser.add_argument("--start", default="prefill_in4096")
    parser.add_argument("--targets", nargs="+", default=["decode_in1000out1000", "prefill_in512"])
    parser.add_argument("--ranks", type=int, default=32)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--slots", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts = np.load(options.counts)
    shape = options.ranks, options.nodes, options.slots
    tuned = problem_of(options.start, counts[options.start], *shape)
    before = balance_tables(rows_of(tuned).work[0], options.ranks, options.slots)
    for name in options.targets:
        problem = problem_of(name, counts[name], *shape).replace(current=before)
        print(f"\n{options.start} -> {name}, {options.ranks} ranks of {options.slots} slots")
        front(problem, options.seconds, options.seed)
        fresh(problem, before)


if __name__ == "__main__":
    main()
