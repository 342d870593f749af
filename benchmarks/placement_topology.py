"""Experts on nodes: EPLB, balance only, and mapc's methods for traffic, with bounds beside.

    python benchmarks/placement_topology.py COUNTS.npz [--profile prefill_in4096] [--layers 58]
        [--slots 9] [--nodes 4] [--ranks 8] [--balanced 0.98] [--front] [--only 1 6]

``COUNTS.npz`` has int64[layers, experts] for every profile, as recorded. Chain traffic runs on
transitions synthesised from the loads (``mapc.instances.generators.transitions``), home traffic on
one profile for all nodes and on a different one for each. ``cross node`` is the part of tokens that
change node and its bound the least any placement can have under the load limit; ``gap`` is that of
the objective in which only changes of node cost anything. ``--front`` sweeps the load limit.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mapc.graph.devices import DeviceGraph
from mapc.instances.generators.transitions import mutual_information, synthesise
from mapc.models.placement.baselines.layouts import eplb_global, eplb_hierarchical
from mapc.models.placement.problem import CHAIN, HOME, LOCAL, PlacementProblem, StepTime
from mapc.models.placement.topology import tradeoff
from mapc.models.placement.topology.tradeoff import _Sweep
from mapc.models.placement.verify import verify

CASES = (
    ("successors", 0.07),
    ("successors", 0.1),
    ("successors", 0.3),
    ("communities", 0.1),
    ("communities", 0.17),
)
FAR = 2.0**40
"""Bandwidth inside a node over that between nodes: only changes of node cost anything."""
GROUPS = 8
"""Expert groups of DeepSeek-V3, which hierarchical EPLB keeps together."""
WEIGHTLESS = 2.0**-20
"""Of a token's work: it breaks ties."""


def problem_of(name, counts, options, **changes) -> PlacementProblem:
    cluster = DeviceGraph.cluster([options.ranks] * options.nodes, 2**60, FAR, 1.0)
    return PlacementProblem(
        name=name,
        counts=counts[None],
        profiles=(name,),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=cluster,
        slots=options.slots,
        cost=StepTime(token=WEIGHTLESS, transfer=1.0),
        dispatch=LOCAL,
        groups=GROUPS if counts.shape[1] % GROUPS == 0 else 1,
        max_imbalance=1 / options.balanced,
        **changes,
    )


def chain(counts, kind, eta, options) -> PlacementProblem:
    pairs = synthesise(counts, eta=eta, kind=kind)
    bits = mutual_information(pairs).mean()
    name = f"chain, {kind} {eta:g} ({bits:.2f} bit)"
    return problem_of(name, counts, options, traffic=CHAIN, transitions=pairs[None])


def home(profiles, name, options) -> PlacementProblem:
    tokens = 10**6
    sources = np.stack(
        [np.rint(c / c.sum(axis=1, keepdims=True) * tokens) for c in profiles], axis=1
    ).astype(np.int64)
    name = f"home, {name}"
    return problem_of(name, sources.sum(axis=1), options, traffic=HOME, sources=sources[None])


def unlimited(problem: PlacementProblem) -> PlacementProblem:
    return problem.replace(max_imbalance=None)


def baseline(problem: PlacementProblem, method) -> None:
    """Print what a method that ignores traffic gives, whatever the load limit."""
    search = _Sweep(unlimited(problem), None, 0, lambda: False)
    begin = time.process_time()
    method(search.problem, search)
    row(method.__module__.rpartition(".")[2] + " " + method.__name__, search, begin)


def row(name: str, search: _Sweep, begin: float) -> None:
    seconds = time.process_time() - begin
    if search.plan is None:
        print(f"  {name:<28}no plan")
        return
    facts = verify(search.problem, search.plan).facts
    print(
        f"  {name:<28}{facts['cross_node']:10.4f}{facts['balancedness']:10.4f}"
        f"{facts['min_layer_balancedness']:10.4f}{seconds:8.1f} CPU s",
        flush=True,
    )


def show(problem: PlacementProblem) -> None:
    from mapc.models.placement.topology import home as home_traffic
    from mapc.models.placement.topology import nodes, traffic_bounds
    from mapc.models.placement.work import balance

    print(f"\n{problem.name}\n  {'method':<28}{'cross node':>10}{'balanced':>10}{'worst':>10}")
    for method in (eplb_hierarchical, eplb_global):
        baseline(problem, method)
    if hasattr(balance, "run"):
        baseline(problem, balance.run)
    search = _Sweep(problem, None, 0, lambda: False)
    begin = time.process_time()
    (nodes.run if problem.traffic == CHAIN else home_traffic.run)(problem, search)
    row("mapc nodes" if problem.traffic == CHAIN else "mapc home", search, begin)
    begin = time.process_time()
    traffic_bounds.run(problem, search)
    pairs = problem.counts.sum() if problem.transitions is None else problem.transitions.sum()
    print(
        f"  {'bound':<28}{search.bound / float(pairs):10.4f}{'':20}"
        f"{time.process_time() - begin:8.1f} CPU s   gap {1 - search.bound / search.objective:.2%}"
    )


def sweep(problem: PlacementProblem) -> None:
    print(f"\n{problem.name}: load limits")
    print(f"  {'limit':>8}{'balanced':>10}{'worst':>10}{'cross node':>12}{'gap':>8}")
    for point in tradeoff.front(problem):
        print(
            f"  {point.limit:8.4f}{point.balancedness:10.4f}{point.min_layer_balancedness:10.4f}"
            f"{point.cross_node:12.4f}{1 - point.bound / point.objective:8.2%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts")
    parser.add_argument("--profile", default="prefill_in4096")
    parser.add_argument("--layers", type=int, default=58)
    parser.add_argument("--slots", type=int, default=9)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--balanced", type=float, default=0.98)
    parser.add_argument("--front", action="store_true")
    parser.add_argument("--only", type=int, nargs="*", help="cases to run, counted from 0")
    options = parser.parse_args()
    table = {name: array[: options.layers] for name, array in np.load(options.counts).items()}
    counts = table[options.profile]
    others = [table[name] for name in list(table)[: options.nodes]]
    problems = [chain(counts, kind, eta, options) for kind, eta in CASES]
    problems.append(home([counts] * options.nodes, "one profile on all nodes", options))
    if len(others) == options.nodes:
        problems.append(home(others, "a profile on each node", options))
    chosen = range(len(problems)) if options.only is None else options.only
    for i in chosen:
        show(problems[i])
        if options.front:
            sweep(problems[i])


if __name__ == "__main__":
    main()
