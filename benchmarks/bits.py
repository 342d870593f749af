"""Allocation of formats: mapc beside the solvers and the heuristics that tools call today.

    python benchmarks/bits.py [--groups 50 500 5000] [--budgets 1 3] [--sizes llm continuous]
        [--seeds 0] [--seconds 30] [--methods mapc highs cpsat cbc dictionary next-step]

Seeded instances of five formats. Every method runs alone, in a process of its own, on one thread,
with the same time limit and the same gap to stop at: none up to 500 groups (a proof is asked for),
1e-7 for one budget and 1e-6 for several beyond. For each it prints

* wall and CPU seconds, reading of the instance not counted, building of the model included,
* ``times``: CPU seconds over those of mapc on the same instance,
* ``gap``: how far its loss is above the best bound that any method proved, relative to the loss,
* ``memory``: most bytes the process and its solver held.

and in the end medians over the seeds. ``over budget`` is what the exact check of mapc says of an
answer whose costs exceed a budget, be it by one bit. PuLP is part of the extra ``bench``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from multiprocessing.connection import Connection

from bits_peers import NEEDS, PEERS
from mapc.instances.generators.bits import generate
from mapc.models.bits.verify import verify

PROOF_UP_TO = 500
"""Groups up to which the gap asked for is 0: there the gap of the relaxation is real."""
LATE = 90.0
"""Seconds past the limit after which a method is ended; building a model may take that long."""


@dataclass(frozen=True)
class Instance:
    """Arguments of the generator."""

    groups: int
    budgets: int
    sizes: str
    seed: int

    @property
    def gap(self) -> float:
        """The gap to stop at."""
        return 0.0 if self.groups <= PROOF_UP_TO else 1e-7 if self.budgets == 1 else 1e-6


@dataclass(frozen=True)
class Run:
    """What one method did on one instance; loss is None without a plan within all budgets."""

    method: str
    said: str
    loss: float | None = None
    bound: float | None = None
    wall: float = 0.0
    cpu: float = 0.0
    memory: int = 0


def cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def child(pipe: Connection, method: str, instance: Instance, seconds: float) -> None:
    """Run one method; a group of its own, so that its solvers end with it."""
    os.setsid()
    problem = generate(instance.groups, 5, instance.budgets, instance.seed, instance.sizes)
    problem.quanta, problem.cost_range, problem.group_of  # what reading computes  # noqa: B018
    begin, cpu = time.perf_counter(), cpu_seconds()
    answer = PEERS[method](problem, seconds, instance.gap)
    wall = time.perf_counter() - begin
    from mapc.solvers import registry

    registry.close()  # its children's time counts once they have ended
    cpu = cpu_seconds() - cpu
    said, loss = answer.said, None
    if answer.plan is not None:
        verdict = verify(problem, answer.plan)
        loss = None if verdict.violations else verdict.objective
        said = f"over budget, {said}" if verdict.violations else said
    peaks = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    memory = sum(one.ru_maxrss for one in peaks) * 1024
    pipe.send(Run(method, said, loss, answer.bound, wall, cpu, memory))


def run(method: str, instance: Instance, seconds: float) -> Run:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(theirs, method, instance, seconds))
    begin = time.perf_counter()
    process.start()
    theirs.close()
    try:
        if ours.poll(seconds + LATE):
            return ours.recv()
        said = "ended from outside"
    except EOFError:
        said = "died"
    finally:
        end(process, wait=5.0)
    return Run(method, said, wall=time.perf_counter() - begin)


def end(process: multiprocessing.process.BaseProcess, wait: float) -> None:
    """Let a process finish, or end it with all it has started."""
    process.join(wait)
    if process.is_alive():
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()


def gap_of(one: Run, runs: list[Run]) -> float | None:
    """Return the distance to the best bound anyone proved, relative to the loss."""
    # a method whose answer breaks a budget has no say in what can be reached within it
    bounds = [r.bound for r in runs if r.bound is not None and not r.said.startswith("over")]
    if one.loss is None or not bounds:
        return None
    return max(0.0, one.loss - max(bounds)) / one.loss if one.loss else 0.0


def show(instance: Instance, runs: list[Run]) -> None:
    ours = next((one.cpu for one in runs if one.method == "mapc"), None)
    print(
        f"\n{instance.groups:,} groups x 5, budgets: {instance.budgets}, sizes {instance.sizes}, "
        f"seed {instance.seed}, gap asked for {instance.gap:g}"
    )
    print(f"  {'method':<11}{'wall s':>9}{'CPU s':>9}{'times':>8}{'gap':>10}{'memory':>9}  said")
    for one in runs:
        gap = gap_of(one, runs)
        times = f"{one.cpu / ours:8.1f}" if ours and one.loss is not None else f"{'':8}"
        print(
            f"  {one.method:<11}{one.wall:9.3f}{one.cpu:9.3f}{times}"
            f"{'no plan' if gap is None else format(gap, '.1e'):>10}"
            f"{one.memory / 2**20:7.0f} M  {one.said}",
            flush=True,
        )


def summary(found: dict[Instance, list[Run]]) -> None:
    """Print medians over the seeds, for what has more than one."""
    kinds = dict.fromkeys((i.groups, i.budgets, i.sizes) for i in found)
    for kind in kinds:
        several = [(i, r) for i, r in found.items() if (i.groups, i.budgets, i.sizes) == kind]
        if len(several) < 2:
            continue
        print(
            f"\n{kind[0]:,} groups x 5, budgets: {kind[1]}, sizes {kind[2]}, {len(several)} seeds"
        )
        print(f"  {'method':<11}{'CPU s: median':>14}{'most':>9}{'gap: median':>13}{'most':>9}")
        for at, one in enumerate(several[0][1]):
            cpu = [runs[at].cpu for _, runs in several]
            gaps = [gap for _, runs in several if (gap := gap_of(runs[at], runs)) is not None]
            told = f"{statistics.median(gaps):13.1e}{max(gaps):9.1e}" if gaps else ""
            missing = len(several) - len(gaps)
            print(
                f"  {one.method:<11}{statistics.median(cpu):14.3f}{max(cpu):9.3f}{told}"
                + (f"  without a plan: {missing}" if missing else "")
            )


def machine() -> str:
    names = ("mapc", "numpy", "highspy", "ortools", "pulp")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    cores = os.cpu_count()
    return f"Python {platform.python_version()}, {', '.join(versions)}; {cores} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", nargs="+", type=int, default=[50, 500, 5000])
    parser.add_argument("--budgets", nargs="+", type=int, default=[1, 3])
    parser.add_argument("--sizes", nargs="+", default=["llm"], choices=["llm", "continuous"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="limit of every solve")
    parser.add_argument("--methods", nargs="+", default=list(PEERS), choices=list(PEERS))
    arguments = parser.parse_args()
    print(machine())
    methods = []
    for method in arguments.methods:
        if find_spec(NEEDS.get(method, "mapc")) is None:
            print(f"{method}: left out, {NEEDS[method]} is not installed")
        else:
            methods.append(method)
    found = {}
    for groups in arguments.groups:
        for budgets in arguments.budgets:
            for sizes in arguments.sizes:
                for seed in arguments.seeds:
                    instance = Instance(groups, budgets, sizes, seed)
                    found[instance] = [run(m, instance, arguments.seconds) for m in methods]
                    show(instance, found[instance])
    summary(found)


if __name__ == "__main__":
    main()
