"""One placement for several load profiles: EPLB, equal shares, splits that adapt, unseen profiles.

    python benchmarks/placement_profiles.py [--cases 288/32 320/64] [--seconds 5 25] [--goal worst]
        [--fold-seconds 10] [--only together held-out] [--counts FILE.npz]

A case is slots/ranks of one layer. Loads are those of all profiles of a file with an array [layers,
experts] for each; it is looked for in ``$MAPC_DATA/placement`` and in the folder ``shared/data``
beside the repository. Profiles weigh the same and are scaled to the same load.

Balancedness is mean load over largest, averaged over layers. ``avg`` is its mean over profiles,
``worst`` that of the worst profile. Printed are

* for all profiles together: EPLB (global rule) on the mean and on the largest loads, mapc with
  replicas that share equally (``anneal``), mapc with the best split for each profile (``split``)
  and the same tables under equal shares, after each of ``--seconds`` of wall time;
* for every profile, what placements give that were trained on the others, under equal shares and
  with the best split: EPLB on the mean; ``anneal`` and ``split``, each also trained on noisy copies
  of the profiles (``robust_profiles``); then their means. ``--fold-seconds`` limits each training.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mapc
from mapc.graph.devices import DeviceGraph
from mapc.kernels import MODULES, load
from mapc.models.placement.baselines import eplb
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import ADAPTIVE, EQUAL, PlacementProblem, StepTime
from mapc.models.placement.profiles.robust import (
    HeldOut,
    keep_profiles,
    leave_one_out,
    robust_profiles,
)

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("MAPC_DATA", ROOT.parent / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
NODE = 8
"""Ranks of a node."""

Trainer = Callable[[PlacementProblem], PlacementPlan]


def problem_of(counts: Path, case: str, goal: str) -> PlacementProblem:
    """Return the problem of a case, replicas sharing equally."""
    slots, ranks = (int(part) for part in case.split("/"))
    with np.load(counts) as file:
        names = tuple(file)
        tokens = np.stack([np.asarray(file[name], dtype=np.int64) for name in names])
    tokens = tokens[:, tokens.sum(axis=(0, 2)) > 0]  # dense layers have none
    total = tokens.sum(axis=(1, 2))
    return PlacementProblem(
        case,
        tokens,
        names,
        np.ones(len(names)),
        total.max() / total,
        DeviceGraph.cluster([NODE] * (ranks // NODE), 1 << 40, 1e11, 1e10),
        slots // ranks,
        cost=StepTime(profiles=goal),
    )


def eplb_plan(
    problem: PlacementProblem, over: Callable[..., NDArray[np.float64]] = np.mean
) -> PlacementPlan:
    """Return EPLB's placement for the mean or the largest of the profiles' loads."""
    loads = problem.counts / problem.counts.sum(axis=2, keepdims=True)
    shape = (problem.n_layers, problem.n_ranks, problem.slots)
    tables = eplb.rebalance(over(loads, axis=0), problem.n_slots, 1, 1, problem.n_ranks)
    return PlacementPlan(tables.phy2log.reshape(shape))


def equally(problem: PlacementProblem, plan: PlacementPlan) -> NDArray[np.float64]:
    """float64[P]: balancedness under equal shares; duplicates on a rank count as replicas."""
    index = np.arange(problem.n_layers)[:, None]
    copies = np.zeros((problem.n_layers, problem.n_experts), dtype=np.int64)
    np.add.at(copies, (index, plan.slots.reshape(problem.n_layers, -1)), 1)
    loads = (problem.counts / copies)[:, index[:, :, None], plan.slots].sum(axis=3)
    return np.asarray((loads.mean(axis=2) / loads.max(axis=2)).mean(axis=1))


def row(label: str, by_profile: NDArray[np.float64], seconds: float) -> None:
    each = " ".join(f"{value:.4f}" for value in by_profile)
    print(f"{label:24} {by_profile.mean():.4f} {by_profile.min():.4f} {seconds:6.1f}  {each}")


def together(problem: PlacementProblem, limits: Sequence[float]) -> None:
    """Print what one placement gives all profiles."""
    print(f"{'all together':24} {'avg':6} {'worst':6} {'s':>6}  {', '.join(problem.profiles)}")
    for name, over in (("mean", np.mean), ("largest", np.max)):
        start = time.process_time()
        plan = eplb_plan(problem, over)
        row(f"EPLB on the {name}", equally(problem, plan), time.process_time() - start)
    for method, dispatch in (("anneal", EQUAL), ("split", ADAPTIVE)):
        for limit in limits:
            start = time.process_time()
            result = mapc.solve(
                problem.replace(dispatch=dispatch), time_limit=limit, methods=["floor", method]
            )
            seconds = time.process_time() - start
            facts = np.array(list(result.facts["balancedness_by_profile"].values()))
            row(f"{method}, {limit:g} s", facts, seconds)
            gap = 1 - result.bound / result.objective
            print(f"{'':24} gap {gap:.3%} to the bound of the step")
        if dispatch == ADAPTIVE:
            row("  under equal shares", equally(problem, result.plan), 0.0)


def trainer(dispatch: str, seconds: float, robust: bool) -> Trainer:
    """Return what trains a placement within a time limit."""
    method = "split" if dispatch == ADAPTIVE else "anneal"

    def train(problem: PlacementProblem) -> PlacementPlan:
        if robust:
            problem = robust_profiles(problem)
        problem = problem.replace(dispatch=dispatch)
        return mapc.solve(problem, time_limit=seconds, methods=[method]).plan

    return train


def held_out(problem: PlacementProblem, seconds: float) -> None:
    """Print what placements give a profile that they were not trained on."""
    found: dict[str, list[HeldOut]] = {}
    for dispatch, method in ((EQUAL, "anneal"), (ADAPTIVE, "split")):
        for robust in (False, True):
            label = f"{method}, robust" if robust else method
            found[label] = leave_one_out(problem, trainer(dispatch, seconds, robust))
    eplb_tests = []
    for p in range(problem.n_profiles):
        plan = eplb_plan(keep_profiles(problem, [q for q in range(problem.n_profiles) if q != p]))
        eplb_tests.append(float(equally(problem, plan)[p]))
    print(f"\n{'left out':24} {'EPLB':>7}" + "".join(f" | {label:>15}" for label in found))
    print(f"{'':24} {'equal':>7}" + f" | {'equal':>7} {'split':>7}" * len(found))
    for p, name in enumerate(problem.profiles):
        tests = [(rows[p].test_equal, rows[p].test_adaptive) for rows in found.values()]
        cells = "".join(f" | {a:7.4f} {b:7.4f}" for a, b in tests)
        print(f"{name:24} {eplb_tests[p]:7.4f}{cells}")
    for name, summary in (("mean", np.mean), ("worst", np.min)):
        cells = "".join(
            f" | {summary([r.test_equal for r in rows]):7.4f}"
            f" {summary([r.test_adaptive for r in rows]):7.4f}"
            for rows in found.values()
        )
        print(f"{name:24} {summary(eplb_tests):7.4f}{cells}")
    cells = "".join(
        f" | {np.mean([r.train_equal for r in rows]):7.4f}"
        f" {np.mean([r.train_adaptive for r in rows]):7.4f}"
        for rows in found.values()
    )
    print(f"{'mean in training':24} {'':7}{cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="One placement for several load profiles.")
    parser.add_argument("--cases", nargs="+", default=["288/32", "320/64"])
    parser.add_argument("--seconds", nargs="+", type=float, default=[5.0, 25.0])
    parser.add_argument("--fold-seconds", type=float, default=10.0)
    parser.add_argument("--goal", choices=["worst", "expected"], default="worst")
    parser.add_argument("--only", choices=["together", "held-out"])
    parser.add_argument("--counts", type=Path, default=COUNTS)
    options = parser.parse_args()
    if not options.counts.exists():
        parser.error(f"{options.counts} is not there; set MAPC_DATA or --counts")
    for name in MODULES:  # compiled beforehand, as by ``mapc warmup``
        load(name)
    for case in options.cases:
        print(f"\n== {case}, {options.goal} over profiles")
        problem = problem_of(options.counts, case, options.goal)
        if options.only != "held-out":
            together(problem, options.seconds)
        if options.only != "together":
            held_out(problem, options.fold_seconds)


if __name__ == "__main__":
    main()
