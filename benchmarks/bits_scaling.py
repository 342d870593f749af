"""One budget, proven: seconds, gap and states of the exact core as problems grow.

    python benchmarks/bits_scaling.py [--groups 500 5000 44000] [--seeds 10] [--formats 5]

CPU seconds over the seeds, one core. ``steps`` is the hulls and the one sort that give the dual
and all supported points of the front; ``solve`` is all from the reduced problem to the proof.
``lp gap`` is what the relaxation alone leaves open, ``gap`` what is open in the end, both
relative to the best loss; ``proven`` counts the seeds solved to the optimum.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass
from statistics import median

from mapc.instances.generators.bits import CONTINUOUS, LLM, generate
from mapc.models.bits.core import solve_single
from mapc.models.bits.dual import hull_steps, relax
from mapc.models.bits.reduction import reduce

HEAD = (
    f"{'groups':>8} {'sizes':<10} | {'reduce':>7} {'steps':>7} | {'solve':>7} {'max':>7} | "
    f"{'lp gap':>8} {'gap':>8} {'proven':>6} {'states':>9} {'max':>9} | {'MiB':>6}"
)


@dataclass(frozen=True)
class Run:
    """Seconds, gaps and work of one seed."""

    reduce: float
    steps: float
    solve: float
    lp_gap: float
    gap: float
    states: int


def run(groups: int, formats: int, sizes: str, seed: int) -> Run:
    problem = generate(groups, formats, 1, seed, sizes)
    begin = time.process_time()
    core = reduce(problem)
    reduced = time.process_time()
    steps = hull_steps(core)
    stepped = time.process_time()
    result = solve_single(core, steps=steps)
    done = time.process_time()
    bound = relax(steps, int(core.budget[0])).bound
    return Run(
        reduced - begin,
        stepped - reduced,
        done - reduced,
        (result.quanta - bound) / result.quanta,
        result.gap,
        result.states,
    )


def row(groups: int, sizes: str, runs: list[Run]) -> str:
    def middle(name: str) -> float:
        return median(getattr(one, name) for one in runs)

    def worst(name: str) -> float:
        return max(getattr(one, name) for one in runs)

    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    proven = sum(one.gap == 0 for one in runs)
    return (
        f"{groups:>8} {sizes:<10} | {middle('reduce'):>7.3f} {middle('steps'):>7.3f} | "
        f"{middle('solve'):>7.3f} {worst('solve'):>7.3f} | {worst('lp_gap'):>8.1e} "
        f"{worst('gap'):>8.1e} {proven:>3}/{len(runs):<2} {middle('states'):>9.0f} "
        f"{worst('states'):>9.0f} | {memory:>6.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", nargs="+", type=int, default=[50, 500, 5000, 44_000])
    parser.add_argument("--formats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    print(HEAD)
    for groups in arguments.groups:
        for sizes in (LLM, CONTINUOUS):
            runs = [run(groups, arguments.formats, sizes, seed) for seed in range(arguments.seeds)]
            print(row(groups, sizes, runs), flush=True)


if __name__ == "__main__":
    main()
