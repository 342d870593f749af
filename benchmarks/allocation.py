"""Addresses for given lifetimes: the greedy placement, the complete search, a solver, side by side.

    python benchmarks/allocation.py [CSV_OR_FOLDER...] [--capacity SIZE] [--seconds 20] [--seeds 5]
    python benchmarks/allocation.py --packings
    python benchmarks/allocation.py --large 1000 2000 5000 [--slack 0.05 0.10]
    python benchmarks/allocation.py --joined 1 2
    python benchmarks/allocation.py --agree 5000

Without paths: the files of ``MAPC_DATA/memory`` (or ``../shared/data/memory`` beside the
repository) with the capacity in their names. Without a capacity the peak is minimised; columns
give the peak over the largest load (1 is the best there can be) and seconds. With one, the
question is whether the buffers fit: ``fits``, or what came instead. The column ``search`` is the
method of that name, and ``seeds`` the CPU seconds of the search alone for each seed, ``-`` where
it did not end in time.

``--packings`` places perfect packings: guillotine cuts and half pinwheels, 100 to 400 buffers, for
each of the seeds.
``--large`` cuts so many buffers from a full memory, and asks for the smallest peak, then whether
they fit with so much slack; ``--joined`` has so many copies of all files one after another, tied by
a small buffer between each and the next where both have room for it. Both add the method ``local``
and omnimalloc's exact allocator, where that is installed; columns are the peak over the load and
CPU seconds, children included. What is asked for ends when it is found, or after ``--seconds`` by
the clock.
``--agree`` compares the search with CP-SAT on so many small cases that fill the memory, proofs of
infeasibility included, capacity by capacity from the largest load up.

CPU seconds do not depend on what else the machine does; kernels are loaded beforehand.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import mapc
from mapc.errors import InfeasibleError
from mapc.instances.generators.packings import perfect_packing
from mapc.models.allocation.exact import place
from mapc.models.allocation.formulations import no_overlap_2d
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.allocation.verify import verify

REPO = Path(__file__).parents[1]
DATA = Path(os.environ.get("MAPC_DATA", REPO.parent / "shared" / "data")) / "memory"
METHODS = (("greedy",), ("search",), ("no-overlap-2d",))
LARGE = ("greedy", "local", "search", "no-overlap-2d")
WORK = 60.0
"""Deterministic time of the solver for one small case."""


def files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob("*.csv")) if path.is_dir() else [path]


def cell(problem: object, methods: list[str], seconds: float, workers: int) -> str:
    """Return ``peak/load status seconds`` of one run."""
    try:
        result = mapc.solve(problem, methods=methods, time_limit=seconds, workers=workers)
    except InfeasibleError:
        return "infeasible"
    if result.plan is None:
        return f"{'-':>6} {result.status.value:>10} {result.seconds:6.2f}"
    ratio = result.facts["peak_bytes"] / result.facts["max_load_bytes"]
    status = "fits" if result.facts["capacity_bytes"] is not None else result.status.value
    return f"{ratio:6.4f} {status:>10} {result.seconds:6.2f}"


def cpu_seconds(problem: AllocationProblem, seed: int, limit: float) -> float | None:
    """CPU seconds of the search alone until it places all; None if it does not within a limit."""
    begin = time.process_time()
    answer = place(problem, seed=seed, done=lambda: time.process_time() - begin > limit)
    spent = time.process_time() - begin
    if answer.offset is None:
        return None
    assert not verify(problem, AllocationPlan(answer.offset)).violations
    return spent


def shown(seconds: list[float | None]) -> str:
    return " ".join(f"{'-':>5}" if one is None else f"{one:5.2f}" for one in seconds)


def compare(arguments: argparse.Namespace) -> None:
    """One row per file, then the totals of the search over all files."""
    heads = " | ".join(f"{methods[-1]:^24}" for methods in METHODS)
    print(f"{'file':<20} {'buffers':>7} {'load':>9} | {heads} | seeds")
    rows = []
    for path in files(arguments.paths or [DATA]):
        capacity = arguments.capacity
        if capacity is None and not arguments.paths:
            capacity = path.stem.rpartition(".")[2]
        problem = mapc.read(path, scratchpad=capacity)
        row = [
            cell(problem, ["bounds", *methods], arguments.seconds, arguments.workers)
            for methods in METHODS
        ]
        if problem.capacity is not None:
            seeds = range(arguments.seeds)
            rows.append([cpu_seconds(problem, seed, arguments.seconds) for seed in seeds])
            row.append(shown(rows[-1]))
        head = f"{path.stem:<20} {problem.n_buffers:>7} {problem.max_load:>9}"
        print(f"{head} | {' | '.join(row)}", flush=True)
    # what did not end counts with the limit
    totals = [sum(arguments.seconds if s is None else s for s in one) for one in zip(*rows)]  # noqa: B905
    if totals:
        print(f"CPU seconds of the search for all files, by seed: {shown(list(totals))}")


def packings(arguments: argparse.Namespace) -> None:
    """Place perfect packings, and print each that takes more than a second."""
    for search_seed in range(arguments.seeds):
        seconds: list[float | None] = []
        for pinwheels in (0.0, 0.5):
            for kind, n in enumerate((100, 200, 400)):
                for seed in range(5 * kind, 5 * kind + 5):
                    problem = perfect_packing(n, pinwheels=pinwheels, seed=seed)
                    seconds.append(cpu_seconds(problem, search_seed, arguments.seconds))
                    spent = seconds[-1]
                    if spent is None or spent > 1:
                        print(f"pinwheels {pinwheels}, {n} buffers, seed {seed}: {shown([spent])}")
        ended = [one for one in seconds if one is not None]
        print(
            f"search seed {search_seed}: {len(ended)} of {len(seconds)} placed within "
            f"{arguments.seconds:g} CPU s, median {np.median(ended):.2f} s, "
            f"longest {max(ended):.2f} s",
            flush=True,
        )


def used() -> float:
    """CPU seconds so far, those of children that have ended included."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def told(peak: int | None, problem: AllocationProblem, spent: float) -> str:
    ratio = "-" if peak is None else f"{peak / problem.max_load:.4f}"
    return f"{ratio:>7} {spent:6.2f}"


def by_method(problem: AllocationProblem, method: str, arguments: argparse.Namespace) -> str:
    """Return ``peak/load CPU-seconds`` of one method."""
    begin = used()
    try:
        result = mapc.solve(
            problem,
            methods=["bounds", method],
            time_limit=arguments.seconds,
            workers=arguments.workers,
        )
    except InfeasibleError:
        return "infeasible"
    peak = None if result.plan is None else int(result.facts["peak_bytes"])
    return told(peak, problem, used() - begin)


def by_omnimalloc(problem: AllocationProblem, arguments: argparse.Namespace) -> str:
    """Return the same of omnimalloc's exact allocator; it always looks for the smallest peak."""
    try:
        from omnimalloc import Allocation, allocate
        from omnimalloc.allocators import SupermallocAllocator
    except ImportError:
        return "not installed"
    rows = zip(problem.padded.tolist(), problem.lower.tolist(), problem.upper.tolist(), strict=True)
    begin = used()
    allocator = SupermallocAllocator(timeout=arguments.seconds, num_threads=arguments.workers)
    placed = allocate([Allocation(i, *row) for i, row in enumerate(rows)], allocator)
    spent = used() - begin
    offset = np.zeros(problem.n_buffers, dtype=np.int64)
    for one in placed:
        offset[one.id] = one.offset
    assert not verify(replace(problem, capacity=None), AllocationPlan(offset)).violations
    peak = int((offset + problem.padded).max())
    fits = problem.capacity is None or peak <= problem.capacity
    return told(peak if fits else None, problem, spent)


def tell(name: str, problem: AllocationProblem, arguments: argparse.Namespace) -> None:
    row = [f"{by_method(problem, method, arguments):>14}" for method in LARGE]
    row.append(f"{by_omnimalloc(problem, arguments):>14}")
    print(f"{name:<20} {problem.n_buffers:>7} | {' | '.join(row)}", flush=True)


def head_of_large() -> None:
    heads = " | ".join(f"{name:^14}" for name in (*LARGE, "omnimalloc"))
    print(f"{'':<20} {'buffers':>7} | {heads}")


def large(arguments: argparse.Namespace) -> None:
    """The smallest peak, and whether a capacity with slack suffices."""
    head_of_large()
    for n in arguments.large:
        tell("peak", replace(perfect_packing(n), capacity=None), arguments)
        for slack in arguments.slack:
            tell(f"slack {slack:g}", perfect_packing(n, slack=slack), arguments)


def joined(problems: list[AllocationProblem], capacity: int) -> AllocationProblem:
    """Return problems one after another in time, tied by a buffer between each and the next.

    It is alive at the last step of one and the first of the next, where both have room for it. Its
    size divides all others, so that addresses are counted in the same unit.
    """
    rows: list[tuple[int, int, int]] = []
    now, before, tie = 0, capacity, math.gcd(*(int(size) for one in problems for size in one.size))
    for problem in problems:
        lower, upper = problem.lower - problem.lower.min(), problem.upper - problem.lower.min()
        last = int(upper.max())
        first_load = int(problem.size[lower == 0].sum())
        if max(before, first_load) + tie <= capacity:
            rows.append((now - 1, now + 1, tie))
        columns = (lower + now).tolist(), (upper + now).tolist(), problem.size.tolist()
        rows += zip(*columns, strict=True)
        before, now = int(problem.size[upper == last].sum()), now + last
    names = tuple(f"b{i}" for i in range(len(rows)))
    return AllocationProblem("joined", names, *np.array(rows).T, capacity=capacity)


def join(arguments: argparse.Namespace) -> None:
    """All files with one capacity as one problem."""
    paths = [path for path in files(arguments.paths or [DATA]) if path.stem.endswith(".1048576")]
    problems = [mapc.read(path) for path in paths]
    head_of_large()
    for copies in arguments.joined:
        tell(f"{len(problems)} files, {copies} times", joined(problems * copies, 2**20), arguments)


def saturated(rng: np.random.Generator, n: int, capacity: int) -> AllocationProblem:
    """As many bytes alive as there can be, nearly always."""
    now, free = 0, capacity
    alive: list[tuple[int, int]] = []
    rows: list[tuple[int, int, int]] = []
    while len(rows) < n:
        while free and len(rows) < n:
            size = min(free, int(rng.integers(1, max(2, capacity * 4 // 5) + 1)))
            end = now + int(rng.geometric(0.2))
            rows.append((now, end, size))
            alive.append((end, size))
            free -= size
        now = min(end for end, _ in alive)
        free += sum(size for end, size in alive if end <= now)
        alive = [one for one in alive if one[0] > now]
    columns = np.array(rows, dtype=np.int64).T
    return AllocationProblem("case", tuple(f"b{i}" for i in range(n)), *columns)


def solved_by_cpsat(problem: AllocationProblem) -> bool | None:
    """Whether CP-SAT places the buffers; None where it does not know."""
    from ortools.sat.python import cp_model

    from mapc.program.cpsat import to_cp_model

    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = WORK
    outcome = solver.solve(to_cp_model(no_overlap_2d(problem)[0]).model)
    known = {cp_model.OPTIMAL: True, cp_model.FEASIBLE: True, cp_model.INFEASIBLE: False}
    return known.get(outcome)


def agree(arguments: argparse.Namespace) -> None:
    """Count where search and solver differ."""
    cases = wrong = refuted = unknown = 0
    for index in range(arguments.agree):
        rng = np.random.default_rng([7, index])
        problem = saturated(rng, int(rng.integers(8, 41)), int(rng.integers(8, 40)))
        capacity = problem.max_load
        while True:
            asked = replace(problem, capacity=capacity)
            answer = place(asked, seed=index, nodes=400_000, table=bool(index % 2))
            known = solved_by_cpsat(asked)
            cases += 1
            fits = answer.offset is not None
            if known is None or not (fits or answer.proven_infeasible):
                unknown += 1
                break
            wrong += known != fits
            if fits:
                wrong += bool(verify(asked, AllocationPlan(answer.offset)).violations)
                break
            refuted += 1
            capacity += 1
    print(
        f"{arguments.agree} cases, {cases} capacities: {wrong} disagreements, "
        f"{refuted} proven infeasible by both, {unknown} not settled by one of them"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--capacity")
    parser.add_argument("--packings", action="store_true")
    parser.add_argument("--large", type=int, nargs="+", metavar="BUFFERS")
    parser.add_argument("--slack", type=float, nargs="*", default=[0.05, 0.10])
    parser.add_argument("--joined", type=int, nargs="+", metavar="COPIES")
    parser.add_argument("--agree", type=int, default=0, metavar="CASES")
    arguments = parser.parse_args()
    # the first call of all loads the kernels
    place(perfect_packing(4))
    if arguments.agree:
        agree(arguments)
    elif arguments.large:
        large(arguments)
    elif arguments.joined:
        join(arguments)
    elif arguments.packings:
        packings(arguments)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
