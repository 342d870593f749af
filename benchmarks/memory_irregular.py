"""Scratchpad planning of irregular networks: how far from the proven bound, and how soon.

    python benchmarks/memory_irregular.py [GRAPH...] [--generate randwire:seed=0 ...]
        [--capacities M_R M_H] [--seconds 60] [--early 5] [--seed 0] [--json out.jsonl]

Without GRAPH the networks of ``NETWORKS``, fused unless they say otherwise. A row has the best plan
after ``--early`` and after ``--seconds``, the bound, the gap between the two, states that the exact
search stores in ``--states-seconds``, and the memory the process has taken. Seconds are CPU
seconds of this process, by which ``mapc.solve`` is held to its limit too: solvers in processes of
their own, and others at work on the machine, do not count. ``--json`` keeps rows, and runs only
what it has not kept.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import mapc
from mapc.models import family_of
from mapc.models.memory.exact import least_traffic
from mapc.models.memory.problem import MemoryProblem
from mapc.solvers import portfolio
from memory import generated

NETWORKS = (
    "darts",
    "darts:fuse=no",
    "nasnet",
    "nasnet:fuse=no",
    "amoebanet",
    "amoebanet:fuse=no",
    "randwire:seed=0",
    "randwire:seed=1",
    "randwire:seed=2",
    "gpt:weights=yes",
    "gpt:weights=yes,fuse=no",
    "layered:operators=300",
    "layered:operators=1000",
    "layered:operators=5000",
)


@dataclass(frozen=True)
class Row:
    """One network at one capacity; bytes, CPU seconds."""

    network: str
    operators: int
    capacity: str
    status: str
    objective: int | None
    bound: int | None
    method: str
    early: int | None
    first: float | None
    seconds: float
    states: int
    megabytes: float

    @property
    def gap(self) -> float:
        """Percent of the objective that is not proven; 100 without a plan."""
        if self.objective is None or self.bound is None:
            return 100.0
        return 100 * (self.objective - self.bound) / max(1, self.objective)


def measured(network: str, problem: MemoryProblem, capacity: str, args: argparse.Namespace) -> Row:
    """Solve by the clock of the processor, and count the states of the exact search alone."""
    portfolio.clock = SimpleNamespace(monotonic=time.process_time)  # type: ignore[attr-defined]
    started = time.process_time()
    result = mapc.solve(problem, time_limit=args.seconds, seed=args.seed)
    seconds = time.process_time() - started
    plans = [event for event in result.trajectory if event.kind == "incumbent"]
    early = [event.objective for event in plans if event.time <= args.early]
    states = 0
    if args.states_seconds > 0:
        until = time.process_time() + args.states_seconds
        states = least_traffic(problem, done=lambda: time.process_time() > until).states
    return Row(
        network,
        problem.graph.n_operators,
        capacity,
        result.status.value,
        result.objective,
        result.bound,
        result.method,
        early[-1] if early else None,
        plans[0].time if plans else None,
        seconds,
        states,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def kib(value: int | None) -> str:
    """Return bytes in KiB, or a dash."""
    return "-" if value is None else f"{value / 1024:,.1f}"


def line(row: Row) -> str:
    """Return a row of the table."""
    first = "-" if row.first is None else f"{row.first:.2f}"
    return (
        f"{row.network:28} {row.operators:5} {row.capacity:4} {row.status:9}"
        f" {kib(row.early):>12} {kib(row.objective):>12} {kib(row.bound):>12} {row.gap:6.1f}"
        f" {first:>6} {row.seconds:7.2f} {row.states:9,} {row.megabytes:7.0f}  {row.method}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("graphs", nargs="*", type=Path)
    parser.add_argument("--generate", nargs="*", default=None)
    parser.add_argument("--capacities", nargs="*", default=["M_R", "M_H"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--early", type=float, default=5.0)
    parser.add_argument("--states-seconds", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    default = () if args.graphs else NETWORKS
    networks = [str(path) for path in args.graphs] + list(args.generate or default)
    known: dict[tuple[str, str], Row] = {}
    if args.json is not None and args.json.exists():
        for text in args.json.read_text(encoding="utf-8").splitlines():
            row = Row(**json.loads(text))
            known[row.network, row.capacity] = row
    print(
        "network                        ops cap. status           early         plan        bound"
        "  gap %  first       s    states      MB  method"
    )
    for network in networks:
        graph = mapc.read(network) if Path(network).exists() else generated(network)
        for capacity in args.capacities:
            found = known.get((network, capacity))
            if found is None:
                problem = family_of(graph).with_capacity(graph, capacity)
                found = measured(network, problem, capacity, args)
                if args.json is not None:
                    with args.json.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(found)) + "\n")
            print(line(found), flush=True)


if __name__ == "__main__":
    main()
