"""Addresses for the buffers of CSV files: greedy placement beside the solver, one row per file.

    python benchmarks/allocation.py FOLDER_OR_CSV... [--seconds 20] [--workers 1] [--capacity SIZE]

Without a capacity the peak is minimised; columns give the peak over the largest load (1 is the
best there can be) and seconds. With one, the question is whether the buffers fit: ``fits``, or what
came instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import mapc
from mapc.errors import InfeasibleError


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
    status = "fits" if result.facts["capacity"] is not None else result.status.value
    return f"{ratio:6.4f} {status:>10} {result.seconds:6.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--capacity")
    arguments = parser.parse_args()
    columns = (["greedy"], ["no-overlap-2d"])
    heads = " | ".join(f"{methods[-1]:^24}" for methods in columns)
    print(f"{'file':<20} {'buffers':>7} {'load':>9} | {heads}")
    for path in files(arguments.paths):
        problem = mapc.read(path, scratchpad=arguments.capacity)
        row = " | ".join(
            cell(problem, ["bounds", *methods], arguments.seconds, arguments.workers)
            for methods in columns
        )
        print(f"{path.stem:<20} {problem.n_buffers:>7} {problem.max_load:>9} | {row}", flush=True)


if __name__ == "__main__":
    main()
