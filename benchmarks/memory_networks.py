"""Scratchpad plans of human-designed networks: how many are proven, and what that takes.

    python benchmarks/memory_networks.py [FOLDER_OR_FILE...] [--no-onnx] [--capacities M_R M_H M_P]
        [--seconds 20] [--seed 0] [--minutes 20] [--json FILE] [--table]

FOLDER holds instance files or plain operator graphs (``benchmarks/export_networks.py`` writes such,
with parameters in the files ``*_weights.json``); without one, ``$MAPC_DATA/memory/graphs`` or
``shared/data/memory/graphs`` beside the repository is read. To them come the nine light models of
the ``onnx`` package, one byte an element, fused, without and with parameters.

Each graph is solved at each capacity by ``mapc.solve``, one worker, ``--seconds`` at most. Seconds
are CPU seconds of the process, of all its threads: those of the solve, and beside them those it
took to find the capacity (``M_P`` is a search of its own). Kernels have to be compiled
(``mapc warmup``). Printed is a line for each case; then, for graphs without and with parameters,
how many are proven optimal, medians, the slowest, and the traffic at ``M_P``; with ``--table`` also
the rows of the table in the documentation. With ``--json`` each case is appended to a file, and
cases that it holds already are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import mapc
from mapc.errors import MapcError
from mapc.models import family_of
from mapc.models.memory.problem import MemoryProblem

WEIGHTS = "_weights"


@dataclass(frozen=True)
class Row:
    """One graph at one capacity; traffic, bound and capacity in bytes, CPU seconds."""

    graph: str
    operators: int
    tensors: int
    capacity: str
    capacity_bytes: int
    peak_proven: bool
    status: str
    extra: int | None
    bound: int | None
    by: str
    seconds: float
    capacity_seconds: float

    @property
    def weights(self) -> bool:
        """Whether parameters are tensors of the graph."""
        return self.graph.endswith(WEIGHTS)


# -- graphs ---------------------------------------------------------------------------------------


def default_folder() -> Path:
    """Return where recorded graphs are looked for."""
    root = os.environ.get("MAPC_DATA")
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return (Path(root) if root else beside) / "memory" / "graphs"


def light_models() -> list[Path]:
    """Return the light models of the ``onnx`` package, none where it is not installed."""
    found = find_spec("onnx")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).parent / "backend" / "test" / "data" / "light"
    return sorted(folder.glob("*.onnx"))


def sources(args: argparse.Namespace) -> Iterator[tuple[str, Path, bool]]:
    """Yield name, file, and whether parameters have to be asked for."""
    for given in args.graphs or [default_folder()]:
        for path in sorted(given.glob("*.json")) if given.is_dir() else [given]:
            yield path.stem, path, False
    for path in light_models() if args.onnx else []:
        for weights in (False, True):
            yield path.stem + WEIGHTS * weights, path, weights


def read(path: Path, weights: bool) -> MemoryProblem:
    """Return the problem of a file, without a capacity."""
    options = {"dtype": "int8", "fuse": True, "weights": weights} if path.suffix == ".onnx" else {}
    problem: MemoryProblem = mapc.read(path, **options)
    return problem


# -- one case -------------------------------------------------------------------------------------


def measured(name: str, graph: MemoryProblem, capacity: str, args: argparse.Namespace) -> Row:
    """Solve one graph at one capacity."""
    begin = time.process_time()
    problem = family_of(graph).with_capacity(graph, capacity)
    found = time.process_time()
    result = mapc.solve(problem, time_limit=args.seconds, seed=args.seed, workers=1)
    ended = time.process_time()
    return Row(
        graph=name,
        operators=graph.graph.n_operators,
        tensors=graph.graph.n_tensors,
        capacity=capacity,
        capacity_bytes=int(problem.capacity or 0),
        peak_proven="taken as" not in problem.capacity_note,
        status=result.status.value,
        extra=None if result.objective is None else int(result.objective),
        bound=None if result.bound is None else int(result.bound),
        by=str(result.method or ""),
        seconds=round(ended - found, 3),
        capacity_seconds=round(found - begin, 3),
    )


# -- tables ---------------------------------------------------------------------------------------

HEAD = (
    "graph                              ops tensors cap.     capacity KiB    extra KiB    bound KiB"
    "  status      CPU s  (capacity)"
)


def kib(value: int | None) -> str:
    """Return bytes in KiB, or a dash."""
    return "-" if value is None else f"{value / 1024:,.2f}".rstrip("0").rstrip(".")


def line(row: Row) -> str:
    """Return one row of the run."""
    return (
        f"{row.graph[:32]:<32} {row.operators:>5} {row.tensors:>7} "
        f"{row.capacity + '?' * (not row.peak_proven):<5} {kib(row.capacity_bytes):>15} "
        f"{kib(row.extra):>12} {kib(row.bound):>12}  {row.status:<9} {row.seconds:>7.2f} "
        f"{row.capacity_seconds:>9.2f}"
    )


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines below the rows, for graphs without and with parameters."""
    for weights, text in ((False, "activations alone"), (True, "with parameters")):
        part = [row for row in rows if row.weights == weights]
        if not part:
            continue
        graphs = len({row.graph for row in part})
        proven = [row for row in part if row.status == "optimal"]
        slowest = max(part, key=lambda row: row.seconds)
        yield f"{text}: {graphs} graphs, {len(proven)} of {len(part)} cases proven optimal"
        yield (
            f"  CPU seconds: median {statistics.median(row.seconds for row in part):.3f}, most "
            f"{slowest.seconds:.2f} ({slowest.graph} at {slowest.capacity}); finding the capacity: "
            f"median {statistics.median(row.capacity_seconds for row in part):.3f}, most "
            f"{max(row.capacity_seconds for row in part):.2f}"
        )
        yield from _at_peak([row for row in part if row.capacity == "M_P"])
        for row in part:
            if row.status != "optimal":
                yield f"  open: {row.graph} at {row.capacity}, {kib(row.extra)} >= {kib(row.bound)}"


def _at_peak(rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        free = sum(row.extra == 0 for row in rows)
        known = sum(row.peak_proven for row in rows)
        yield f"  at M_P: 0 extra in {free} of {len(rows)}; M_P itself proven in {known}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the rows of the documentation: a network a line, extra KiB and seconds by capacity.

    Figures that are not proven optimal have a question mark.
    """
    names = list(dict.fromkeys(row.capacity for row in rows))
    yield "| network | operators | " + " | ".join(f"{name}: extra | s" for name in names) + " |"
    yield "|---" * (2 + 2 * len(names)) + "|"
    for graph in dict.fromkeys(row.graph for row in rows):
        found = {row.capacity: row for row in rows if row.graph == graph}
        operators = next(iter(found.values())).operators
        cells = [
            f"{kib(row.extra)}{'' if row.status == 'optimal' else ' ?'} | {row.seconds:.2f}"
            if (row := found.get(name))
            else "- | -"
            for name in names
        ]
        yield f"| {graph} | {operators} | " + " | ".join(cells) + " |"


# -- the run --------------------------------------------------------------------------------------


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("graphs", nargs="*", type=Path)
    parser.add_argument("--no-onnx", dest="onnx", action="store_false", help="leave them out")
    parser.add_argument("--capacities", nargs="+", default=["M_R", "M_H", "M_P"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0, help="no case starts after that")
    parser.add_argument("--json", type=Path, help="append cases; those it holds are not run again")
    parser.add_argument("--table", action="store_true", help="print rows in Markdown as well")
    return parser.parse_args(arguments)


def earlier(path: Path | None) -> dict[tuple[str, str], Row]:
    """Return the cases that a file holds."""
    if path is None or not path.exists():
        return {}
    rows = [Row(**json.loads(text)) for text in path.read_text().splitlines()]
    return {(row.graph, row.capacity): row for row in rows}


def run(args: argparse.Namespace) -> Iterator[Row]:
    """Yield all cases, until the time is up; those that are new go to the file."""
    ends = time.monotonic() + 60 * args.minutes
    known = earlier(args.json)
    for name, path, weights in sources(args):
        graph = None
        for capacity in args.capacities:
            if (row := known.get((name, capacity))) is None:
                if time.monotonic() > ends:
                    print("out of time: no further cases", flush=True)
                    return
                graph = graph or read(path, weights)
                row = measured(name, graph, capacity, args)
                if args.json is not None:
                    with args.json.open("a") as file:
                        file.write(json.dumps(asdict(row)) + "\n")
            yield row


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse(arguments)
    # loads solvers and kernels, which a table of seconds should not hold
    small = mapc.generate("memory", network="darts", fuse=True)
    mapc.solve(family_of(small).with_capacity(small, "M_H"), time_limit=5.0)
    print(HEAD, flush=True)
    rows = []
    try:
        for row in run(args):
            rows.append(row)
            print(line(row), flush=True)
    except MapcError as error:
        print(f"stopped: {error}", flush=True)
    print(*summary(rows), sep="\n")
    if args.table:
        print(*table(rows), sep="\n")


if __name__ == "__main__":
    main()
