"""Experts on ranks: mapc beside EPLB on the same loads.

    python benchmarks/placement.py [--cases 288/32 320/64] [--profiles prefill_in4096]
        [--counts FILE.npz] [--seconds 3]

A case is slots/ranks of one layer. Loads are those of the profiles of a file with an array [layers,
experts] for each; it is looked for in ``$MAPC_DATA/placement`` and in the folder ``shared/data``
beside the repository, and without one loads are generated. Each profile is placed alone, for equal
shares of replicas.

EPLB is a restatement (``mapc.models.placement.baselines.eplb``): its rules, in NumPy and over all
layers at once, so that it is faster than the original. ``hier`` is the hierarchical rule with
nodes of eight ranks and eight expert groups where these divide, ``glob`` the global one. EPLB's
figures are those of its tables as they are, duplicates on a rank included; ``dup`` counts these
in the global ones.

Printed are

* ``even``: mean load of a rank over the largest, averaged over the layers; ``worst``: least layer,
* ``bound``: what ``even`` can be at most, by the bounds of the run,
* ``near``: layers whose largest load is within 0.1 % of their bound,
* ``s``: CPU seconds; of mapc bounds and verifying included, up to the first plan and up to the
  last that was better, at most about ``--seconds`` of wall time,
* ``step``: sum over layers of EPLB's largest loads over that of mapc's, the better of both rules.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mapc
from mapc.graph.devices import DeviceGraph
from mapc.kernels import MODULES, load
from mapc.models import family_of
from mapc.models.placement.baselines import eplb
from mapc.models.placement.problem import PlacementProblem
from mapc.models.placement.work.bounds import row_bounds
from mapc.solvers.portfolio import Portfolio

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("MAPC_DATA", ROOT.parent / "shared" / "data"))
COUNTS = DATA / "placement" / "deepseek_v3_expert_counts.npz"
CASES = (
    *("288/32", "320/64", "320/32", "384/64"),
    *("256/8", "256/16", "256/32", "256/64"),
    *("384/128", "288/144"),
)
METHODS = ("floor", "descent", "anneal")
GROUPS, NODE = 8, 8
"""Expert groups of the model, ranks of a node."""
NEAR = 1e-3

Array = NDArray[Any]


@dataclass(frozen=True)
class Found:
    """One placement of all layers; largest loads have the mean as unit.

    Attributes
    ----------
    largest : float64[layers]
    seconds : float
        CPU time until it was there.
    duplicates : int
        Replicas of an expert on a rank that has one already.
    """

    largest: Array
    seconds: float
    duplicates: int = 0

    @property
    def even(self) -> float:
        """Mean over the layers of mean load over largest."""
        return float((1 / self.largest).mean())

    @property
    def worst(self) -> float:
        """The least even layer."""
        return float(1 / self.largest.max())


def judged(tables: Array, counts: Array, seconds: float) -> Found:
    """Return what tables of experts are worth, int64[layers, ranks, slots of a rank]."""
    n_layers, n_ranks, _ = tables.shape
    flat = tables.reshape(n_layers, -1)
    copies = np.zeros(counts.shape)
    np.add.at(copies, (np.arange(n_layers)[:, None], flat), 1)
    share = np.take_along_axis(counts / copies, flat, axis=1).reshape(tables.shape)
    ordered = np.sort(tables, axis=2)
    twice = int((ordered[:, :, 1:] == ordered[:, :, :-1]).sum())
    mean = counts.sum(axis=1) / n_ranks
    return Found(share.sum(axis=2).max(axis=1) / mean, seconds, twice)


def contiguous(counts: Array, slots: int, ranks: int) -> Found:
    experts = np.arange(slots) % counts.shape[1]
    return judged(np.tile(experts.reshape(ranks, -1), (len(counts), 1, 1)), counts, 0.0)


def of_eplb(counts: Array, slots: int, ranks: int, groups: int, nodes: int) -> Found:
    before = time.process_time()
    tables = eplb.rebalance(counts, slots, groups, nodes, ranks).phy2log
    seconds = time.process_time() - before
    return judged(tables.reshape(len(counts), ranks, -1), counts, seconds)


def of_mapc(counts: Array, slots: int, ranks: int, limit: float) -> tuple[Found, Found]:
    """Return the first plan and the last."""
    problem = PlacementProblem(
        name="benchmark",
        counts=counts[None],
        profiles=("one",),
        weight=np.ones(1),
        scale=np.ones(1),
        cluster=DeviceGraph.cluster([ranks], 1 << 40, 1.0, 1.0),
        slots=slots // ranks,
    )
    plans: list[tuple[Any, float]] = []
    before = time.process_time()

    def watch(event: Any) -> None:
        if event.kind == "incumbent":
            plans.append((run.plan, time.process_time() - before))

    run = Portfolio(family_of(problem), problem, time_limit=limit, backends=(), on_event=watch)
    run.run(METHODS)
    first, last = (judged(plan.slots, counts, s) for plan, s in (plans[0], plans[-1]))
    return first, last


def generated() -> dict[str, Array]:
    problem = mapc.generate("placement", layers=58, experts=256, ranks=32, profiles=2)
    return dict(zip(problem.profiles, problem.counts, strict=True))


def line(label: str, counts: Array, slots: int, ranks: int, limit: float) -> list[float]:
    """Print the figures of a case and profile; return those that are averaged."""
    plain, flat = contiguous(counts, slots, ranks), of_eplb(counts, slots, ranks, 1, 1)
    nodes = max(ranks // NODE, 1)
    tree = of_eplb(counts, slots, ranks, GROUPS, nodes) if GROUPS % nodes == 0 else None
    first, last = of_mapc(counts, slots, ranks, limit)
    mean = counts.sum(axis=1) / ranks
    bound = row_bounds(counts.astype(np.float64), np.ones(ranks), slots // ranks) / mean
    near = [int((one.largest <= bound * (1 + NEAR)).sum()) for one in (first, last)]
    theirs = min(one.largest.sum() for one in (flat, tree) if one is not None)
    step, most = theirs / last.largest.sum(), float((1 / bound).mean())
    hier = "     -" if tree is None else f"{tree.even:6.4f}"
    print(
        f"{label:28} {plain.even:8.4f} | {hier} {flat.even:6.4f} {flat.worst:6.4f} "
        f"{flat.duplicates:4d} {flat.seconds:5.2f} | {first.even:6.4f} {near[0]:4d} "
        f"{first.seconds:5.2f} | {last.even:7.5f} {last.worst:7.5f} {near[1]:4d} "
        f"{last.seconds:5.2f} | {most:7.5f} {step:6.4f}",
        flush=True,
    )
    assert first.duplicates == last.duplicates == 0
    return [flat.even, last.even, most, step]


GROUPED = f"{'EPLB':>32} | {'mapc, first':>17} | {'mapc, last':>26} |"
COLUMNS = (
    f"{'in order':>8} | {'hier':>6} {'glob':>6} {'worst':>6} {'dup':>4} {'s':>5} | "
    f"{'even':>6} {'near':>4} {'s':>5} | {'even':>7} {'worst':>7} {'near':>4} {'s':>5} | "
    f"{'bound':>7} {'step':>6}"
)


def case_of(text: str) -> tuple[int, int]:
    try:
        slots, ranks = (int(part) for part in text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected slots/ranks, e.g. 288/32") from None
    if ranks < 1 or slots < 1 or slots % ranks:
        raise argparse.ArgumentTypeError(f"{text!r}: expected as many slots on every rank")
    return slots, ranks


def loads(path: Path | None, names: Sequence[str] | None) -> dict[str, Array]:
    if path is None and not COUNTS.exists():
        found = generated()
        print(f"no {COUNTS.name}: loads are generated; --counts or MAPC_DATA names real ones")
    else:
        with np.load(path or COUNTS) as file:
            found = {name: file[name].astype(np.int64) for name in file.files}
    unknown = set(names or ()) - set(found)
    if unknown:
        raise SystemExit(f"no profile {', '.join(sorted(unknown))}; expected {', '.join(found)}")
    # a layer of zeros is one without experts
    return {name: c[c.any(axis=1)] for name, c in found.items() if not names or name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", type=case_of, default=[case_of(c) for c in CASES])
    parser.add_argument("--profiles", nargs="+")
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    found = loads(args.counts, args.profiles)
    experts = next(iter(found.values())).shape[1]
    for slots, ranks in args.cases:
        if not experts <= slots <= experts * ranks:
            parser.error(f"{slots}/{ranks}: expected {experts} to {experts * ranks} slots")
    for name in MODULES:  # compiled before anything is timed
        load(name)
    print(f"{'':37} | {GROUPED}\n{'slots/ranks, profile':28} {COLUMNS}")
    for slots, ranks in args.cases:
        rows = [
            line(f"{slots}/{ranks} {name}", counts, slots, ranks, args.seconds)
            for name, counts in found.items()
        ]
        theirs, ours, most, step = np.mean(rows, axis=0)
        print(
            f"{slots}/{ranks}, all profiles: EPLB {theirs:.4f}, mapc {ours:.5f}, "
            f"at most {most:.5f}, step of EPLB {step:.4f} times that of mapc"
        )


if __name__ == "__main__":
    main()
