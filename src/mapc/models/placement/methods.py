"""How a placement problem is attacked: bounds and baselines, exact chains, searches, solvers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mapc.models.base import BOUND, EXACT, HEURISTIC, Method, Search


def _method(name: str, stage: str, target: str, summary: str, default: bool = True) -> Method:
    def run(problem: Any, search: Search) -> None:
        module, _, function = target.partition(":")
        getattr(import_module(f"mapc.models.placement.{module}"), function)(problem, search)

    return Method(name, stage, run, summary, default)


METHODS = (
    _method("floor", BOUND, "work.bounds:run", "mean load, hottest experts with their companions"),
    _method("contiguous", HEURISTIC, "baselines.layouts:contiguous", "experts in order"),
    _method(
        "eplb", HEURISTIC, "baselines.layouts:eplb_hierarchical", "EPLB, groups packed on nodes"
    ),
    _method("eplb-global", HEURISTIC, "baselines.layouts:eplb_global", "EPLB, one group, one node"),
    _method(
        "stay", HEURISTIC, "moves.rules:run", "what is in force, mended as far as rules demand"
    ),
    _method(
        "assignment", EXACT, "chains.assignment:run", "one expert per rank: linear assignments"
    ),
    _method(
        "chain", EXACT, "chains.chain:run", "few balanced states per layer: dynamic programming"
    ),
    _method("descent", HEURISTIC, "work.balance:run", "replica counts, packing, steepest descent"),
    _method("anneal", HEURISTIC, "profiles.annealing:run", "q-norm annealing over all profiles"),
    _method(
        "split", HEURISTIC, "profiles.splitting:run", "placement and split that adapts per profile"
    ),
    _method(
        "pairs", BOUND, "chains.pair_bounds:run", "pairs of layers: partners on one rank or node"
    ),
    _method(
        "traffic", BOUND, "topology.traffic_bounds:run", "bounds on transfers under a load limit"
    ),
    _method(
        "nodes", HEURISTIC, "topology.nodes:run", "experts to nodes by affinity, then to ranks"
    ),
    _method(
        "home", HEURISTIC, "topology.home:run", "replicas where tokens live: a flow for each layer"
    ),
    _method(
        "coordinate",
        HEURISTIC,
        "chains.coordinate:run",
        "layer after layer by assignments and swaps",
    ),
    _method(
        "migrate", HEURISTIC, "moves.migration:run", "best use of a budget of moves over all layers"
    ),
    _method(
        "migration-floor",
        BOUND,
        "moves.migration_bounds:run",
        "prices on load, slots and moves",
        False,
    ),
    _method(
        "moetuner",
        HEURISTIC,
        "baselines.moetuner:run",
        "MoETuner: balance ILP, then mapping ILP",
        False,
    ),
    _method("milp", EXACT, "programs.milp:run", "linearised model with degree rows", False),
)
"""In the order in which they run."""
