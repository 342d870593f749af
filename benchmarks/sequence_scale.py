"""Sequence-parallel assignment: how time and gap grow with the cluster, and long-tailed lengths.

    python benchmarks/sequence_scale.py [LENGTHS.npz] [--sizes 64x512 1024x4096 ...]
        [--indices 0] [--seeds 3 4 5 6 7 8] [--tails lognormal pareto] [--tail-seconds 5]
        [--json out.jsonl] [--minutes 10]

The first table has clusters of a size, ranks x sequences, in nodes of eight: the first batch of so
many recorded lengths (Wikipedia's, looked for as in ``sequence.py``) under FlexSP's costs of the 7B
model, up to 384,000 tokens. Bandwidths beyond 64 ranks are extrapolated. Each size has the time
limit that is hoped for, ``SECONDS``; ``near`` is when the first plan within 5 % of the last one was
there, ``last`` when the last one was, both in seconds. The second table has synthetic lengths with
long tails, log-normal and Pareto, 512 on 64 ranks (``mapc.instances.generators.lengths``).

``gap`` is the step over its bound for the whole step, less 1; bounds are those of ``mapc.solve``,
one worker. Every plan is verified. ``--json`` and ``--minutes`` are those of ``sequence.py``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mapc
from mapc.errors import MapcError
from mapc.instances.generators.lengths import generate
from mapc.instances.importers.lengths import import_lengths
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.published import baselines
from mapc.models.sequence.verify import verify
from sequence import LENGTHS, cpu_seconds
from sequence_report import Journal, Record, gap, markdown, ms_text, percent

SECONDS = {
    "64x512": 5.0,
    "128x1024": 5.0,
    "256x2048": 5.0,
    "512x4096": 5.0,
    "1024x4096": 3.0,
    "1024x8192": 5.0,
    "2048x16384": 10.0,
    "4096x32768": 20.0,
}
"""Limits by size."""
MODEL, LIMIT = "gpt-7b", 384_000
NEAR = 1.05


def problem_of(lengths: Path, case: dict[str, Any]) -> SequenceProblem:
    """Return the problem of a case: recorded lengths, or synthetic ones."""
    if "tail" in case:
        return generate(model=MODEL, max_length=LIMIT, distribution=case["tail"], seed=case["seed"])
    ranks, sequences = map(int, case["size"].split("x"))
    return import_lengths(
        lengths,
        ranks=ranks,
        batch=sequences,
        index=case.get("index", 0),
        model=MODEL,
        max_length=LIMIT,
    )


def measured(case: dict[str, Any], settings: dict[str, Any], problem: SequenceProblem) -> Record:
    """Solve a case and replay the plan; ``more`` says when plans were there."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = mapc.solve(problem, time_limit=settings["seconds"], workers=1)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    more: dict[str, Any] = {"method": result.method, "bound_method": result.bound_method}
    more["notes"] = list(result.notes)
    if result.plan is None:
        return Record(case, "mapc", settings, None, result.bound, wall, cpu, more)
    verdict = verify(problem, result.plan)
    if verdict.violations:
        raise SystemExit(f"{case}: {verdict.violations[0]}")
    plans = [event for event in result.trajectory if event.kind == "incumbent"]
    near = NEAR * verdict.objective
    more["near"] = next(e.time for e in plans if e.objective <= near)
    more["last"] = plans[-1].time
    more["micro_batches"] = verdict.facts["micro_batches"]
    plan = baselines.best_homogeneous(problem)
    more["homogeneous"] = None if plan is None else verify(problem, plan).objective
    return Record(case, "mapc", settings, verdict.objective, result.bound, wall, cpu, more)


def cases(arguments: argparse.Namespace) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every case and its settings."""
    for size in arguments.sizes:
        for index in arguments.indices:
            case: dict[str, Any] = {"size": size}
            if index:
                case["index"] = index
            yield case, {"seconds": SECONDS.get(size, 20.0)}
    for tail in arguments.tails:
        for seed in arguments.seeds:
            yield {"tail": tail, "seed": seed}, {"seconds": arguments.tail_seconds}


def table(name: str, records: list[Record]) -> str:
    head = [
        *(name, "micro-batches", "homogeneous ms", "mapc ms", "bound ms", "gap"),
        *("seconds", "limit", "near", "last", "CPU s", "plan by", "bound by"),
    ]
    rows = []
    for r in records:
        more = r.more
        rows.append(
            [
                " ".join(map(str, r.case.values())),
                str(more.get("micro_batches", "")),
                ms_text(more.get("homogeneous")),
                ms_text(r.ms) or "no plan",
                ms_text(r.bound),
                percent(gap(r)),
                f"{r.seconds:.2f}",
                f"{r.settings['seconds']:g}",
                f"{more['near']:.2f}" if "near" in more else "",
                f"{more['last']:.2f}" if "last" in more else "",
                f"{r.cpu:.1f}",
                more["method"],
                more["bound_method"],
            ]
        )
    return markdown(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lengths", nargs="?", type=Path, default=LENGTHS)
    parser.add_argument("--sizes", nargs="*", default=list(SECONDS))
    parser.add_argument("--indices", nargs="+", type=int, default=[0], help="batches of each size")
    parser.add_argument("--tails", nargs="*", default=["lognormal", "pareto"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[3, 4, 5, 6, 7, 8])
    parser.add_argument("--tail-seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path, help="records are appended here, and not run again")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    arguments = parser.parse_args()
    journal, found = Journal(arguments.json), []
    end, warm = time.monotonic() + 60 * arguments.minutes, False
    for case, settings in cases(arguments):
        record = journal.get(case, "mapc", settings)
        if record is None and time.monotonic() < end:
            if not warm:
                mapc.solve(generate(sequences=128, ranks=16), time_limit=2.0)
                warm = True
            try:
                record = measured(case, settings, problem_of(arguments.lengths, case))
            except MapcError as error:
                raise SystemExit(str(error)) from None
            journal.add(record)
            print(
                *case.values(), f"{ms_text(record.ms)} ms, gap {percent(gap(record))}", flush=True
            )
        if record is not None:
            found.append(record)
    for name in ("size", "tail"):
        chosen = [r for r in found if name in r.case]
        if chosen:
            print("\n" + table(name, chosen))


if __name__ == "__main__":
    main()
