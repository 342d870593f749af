"""Sequence-parallel assignment: mapc beside what training frameworks do, on the same batches.

    python benchmarks/sequence.py [LENGTHS.npz] [--models gpt-7b gpt-13b gpt-30b]
        [--max-lengths 192K 384K] [--batches 20] [--first 3] [--deadline 0.3] [--seconds 5]
        [--flexsp 3] [--flexsp-highs 1] [--flexsp-seconds 10] [--json out.jsonl] [--minutes 10]

A case is one global batch of 512 lengths on 64 ranks in nodes of eight, under FlexSP's costs of
one model. The lengths are looked for in ``$MAPC_DATA/sequence`` and in the folder ``shared/data``
beside the repository. On each case run

* ``homogeneous``: one degree for everything, the best of all; ``static``: the largest degree;
* ``megatron``: Megatron's greedy for dynamic context parallelism, restated;
* ``deadline``: ``mapc.Planner`` within ``--deadline`` seconds, without a plan to start from;
* ``proof``: ``mapc.solve`` with ``--seconds``, one worker;
* ``scip``, ``highs``: FlexSP's MILP with its warm starts, on so many of the first batches of every
  model and limit; see ``sequence_peers.py``. Every program has ``--flexsp-seconds``.

Every plan is verified. Printed are for each case the step in ms and the seconds of each method;
``gap``: the proof mode's step over its bound for the whole step, less 1; ``excess``: the deadline
mode's step over the best of any method, less 1. Then for each model and limit means, 99th
percentiles and maxima, and on how many cases mapc is slower than each of the others. Seconds are
wall time, of SCIP CPU time; those of FlexSP are what it takes with a core for every program (the
slowest of them), in brackets on one core.

With ``--json`` records are appended to a file, and what stands there is not run again;
``--minutes`` ends a run early, ``--minutes 0`` only prints tables. Kernels have to be compiled
(``mapc warmup``); one case outside the table is solved first, which loads everything.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mapc
import sequence_peers as peers
from mapc.errors import MapcError
from mapc.instances.importers.lengths import import_lengths
from mapc.models.sequence.plan import SequencePlan
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.published import baselines
from mapc.models.sequence.verify import verify
from sequence_report import (
    Case,
    Journal,
    Record,
    excess,
    gap,
    markdown,
    ms_text,
    percent,
    spread,
    worse,
)

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("MAPC_DATA", ROOT.parent / "shared" / "data"))
LENGTHS = DATA / "sequence" / "wikipedia_lengths.npz"
RANKS, NODE, BATCH = 64, 8, 512
BASELINES = ("homogeneous", "static", "megatron", "scip", "highs")
OURS = ("deadline", "proof")
WARM = 2.0
"""Seconds for the case that loads everything."""


@dataclass(frozen=True)
class Found:
    """What a method came back with; seconds of its own where wall time is not what counts."""

    plan: SequencePlan | None
    bound: float | None = None
    more: dict[str, Any] | None = None


Run = Callable[[SequenceProblem], Found]
Name = tuple[Any, ...]
Cases = dict[Name, Case]


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children, ended or not."""
    times = os.times()
    own, tick = times.user + times.system + times.children_user + times.children_system, 0.0
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    if listing.exists():
        per_second = os.sysconf("SC_CLK_TCK")
        for child in listing.read_text().split():
            try:
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            tick += (int(fields[11]) + int(fields[12])) / per_second
    return own + tick


# -- methods ---------------------------------------------------------------------------------------


def planner(problem: SequenceProblem, seconds: float) -> mapc.Planner:
    """Return a planner that knows nothing of batches before."""
    return mapc.Planner(
        mapc.Cluster(problem.n_ranks, problem.node_ranks),
        problem.cost,
        padding=problem.padding,
        deadline=seconds,
        warm_start=False,
    )


def by_deadline(seconds: float) -> Run:
    def run(problem: SequenceProblem) -> Found:
        step = planner(problem, seconds).plan(problem.lengths)
        return Found(step.plan, more={"method": step.source})

    return run


def by_proof(seconds: float) -> Run:
    def run(problem: SequenceProblem) -> Found:
        result = mapc.solve(problem, time_limit=seconds, workers=1)
        more = {"method": result.method, "bound_method": result.bound_method}
        return Found(result.plan, result.bound, more | {"notes": list(result.notes)})

    return run


def by_flexsp(solver: str, seconds: float) -> Run:
    def run(problem: SequenceProblem) -> Found:
        road = peers.flexsp(problem, solver, seconds)
        more = {"together": road.together, "in_turn": road.in_turn, "programs": len(road.seconds)}
        return Found(road.plan, more=more)

    return run


def methods(arguments: argparse.Namespace) -> dict[str, tuple[dict[str, Any], Run, int]]:
    """Return settings, function and number of batches of each method."""
    every, limit = arguments.batches, {"seconds": arguments.flexsp_seconds}
    return {
        "homogeneous": ({}, lambda p: Found(baselines.best_homogeneous(p)), every),
        "static": ({}, lambda p: Found(baselines.static(p)), every),
        "megatron": ({}, lambda p: Found(baselines.megatron_greedy(p)), every),
        "deadline": (
            {"seconds": arguments.deadline},
            by_deadline(arguments.deadline),
            every,
        ),
        "proof": ({"seconds": arguments.seconds}, by_proof(arguments.seconds), every),
        "scip": (limit, by_flexsp(peers.SCIP, arguments.flexsp_seconds), arguments.flexsp),
        "highs": (limit, by_flexsp(peers.HIGHS, arguments.flexsp_seconds), arguments.flexsp_highs),
    }


def measured(
    case: dict[str, Any], method: str, settings: dict[str, Any], run: Run, problem: Any
) -> Record:
    """Run a method and replay its plan."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    found = run(problem)
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    more = dict(found.more or {})
    if found.plan is None:
        return Record(case, method, settings, None, found.bound, wall, cpu, more)
    verdict = verify(problem, found.plan)
    if verdict.violations:
        raise SystemExit(f"{case}, {method}: {verdict.violations[0]}")
    more["micro_batches"] = verdict.facts["micro_batches"]
    return Record(case, method, settings, verdict.objective, found.bound, wall, cpu, more)


# -- the run ---------------------------------------------------------------------------------------


def cases(arguments: argparse.Namespace) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of a batch in its set, and the case; all sets advance together."""
    for at in range(arguments.batches):
        for model in arguments.models:
            for limit in arguments.max_lengths:
                yield at, {"model": model, "max_length": limit, "batch": arguments.first + at}


def problem_of(arguments: argparse.Namespace, case: dict[str, Any]) -> SequenceProblem:
    return import_lengths(
        arguments.lengths,
        ranks=RANKS,
        ranks_per_node=NODE,
        batch=BATCH,
        index=case["batch"],
        model=case["model"],
        max_length=case["max_length"],
    )


def advance(arguments: argparse.Namespace, journal: Journal) -> bool:
    """Run what is missing; False when time was up before that."""
    end = time.monotonic() + 60 * arguments.minutes
    known, warm = methods(arguments), False
    for at, case in cases(arguments):
        problem = None
        for method, (settings, run, batches) in known.items():
            if at >= batches or journal.get(case, method, settings) is not None:
                continue
            if time.monotonic() > end:
                return False
            if not warm:
                first = problem_of(arguments, {**case, "batch": 0 if case["batch"] else 1})
                planner(first, arguments.deadline).wait()
                mapc.solve(first, time_limit=WARM)
                warm = True
            if problem is None:
                problem = problem_of(arguments, case)
            record = measured(case, method, settings, run, problem)
            journal.add(record)
            print(
                *case.values(), f"{method}: {ms_text(record.ms)} ms in {record.seconds:.2f} s",
                flush=True,
            )  # fmt: skip
    return True


# -- tables ----------------------------------------------------------------------------------------


def seconds_of(record: Record) -> str:
    if "together" in record.more:
        return f"{record.more['together']:.1f} ({record.more['in_turn']:.0f})"
    return f"{record.seconds:.2f}"


def table(found: Cases, best: dict[Name, float]) -> str:
    """Return the table of cases; best is the fastest step known of each."""
    columns = [m for m in (*BASELINES, *OURS) if any(m in case for case in found.values())]
    head = ["model", "limit", "batch"]
    for method in columns:
        timed = method not in ("homogeneous", "static", "megatron")
        head += [f"{method} ms", "s"] if timed else [f"{method} ms"]
    rows = []
    for name, case in found.items():
        row = [str(part) for part in name]
        for method in columns:
            record = case.get(method)
            row.append("" if record is None else ms_text(record.ms) or "no plan")
            if method not in ("homogeneous", "static", "megatron"):
                row.append("" if record is None else seconds_of(record))
        proof, quick = case.get("proof"), case.get("deadline")
        row += ["", ""] if proof is None else [ms_text(proof.bound), percent(gap(proof))]
        row.append("" if quick is None else percent(excess(quick, best[name])))
        rows.append(row)
    return markdown([*head, "bound ms", "gap", "excess"], rows)


def summary(found: Cases, best: dict[Name, float]) -> str:
    """Return one row for each model and limit, and one for all."""
    sets: dict[str, Cases] = {}
    for name, case in found.items():
        for one in (f"{name[0]} {name[1]}", "all"):
            sets.setdefault(one, {})[name] = case
    sets["all"] = sets.pop("all")
    head = [
        *("set", "cases", "homogeneous", "static", "megatron", "deadline ms", "proof ms"),
        *("excess mean", "p99", "max", "deadline s mean", "p99", "max"),
        *("gap mean", "p99", "max", "proof s mean", "p99", "max"),
    ]
    rows = []
    for one, cases_of in sets.items():
        kept = {n: c for n, c in cases_of.items() if all(m in c for m in (*BASELINES[:3], *OURS))}
        complete = list(kept.values())
        if not complete:
            continue
        row = [one, str(len(complete))]
        for method in (*BASELINES[:3], *OURS):
            steps = [c[method].ms for c in complete]
            row.append(ms_text(statistics.fmean(steps)) if None not in steps else "some without")
        late = [x for n, c in kept.items() if (x := excess(c["deadline"], best[n])) is not None]
        row += spread(late, percent)
        row += spread([c["deadline"].seconds for c in complete], "{:.2f}".format)
        row += spread([g for c in complete if (g := gap(c["proof"])) is not None], percent)
        row += spread([c["proof"].seconds for c in complete], "{:.2f}".format)
        rows.append(row)
    return markdown(head, rows)


def against(found: list[Case]) -> str:
    """Return how mapc does against each of the others."""
    rows = []
    for ours in OURS:
        for baseline in BASELINES:
            slower, both = worse(found, ours, baseline)
            if not both:
                continue
            pairs = [(c[ours], c[baseline]) for c in found if ours in c and baseline in c]
            ratio = [b.ms / a.ms for a, b in pairs if a.ms is not None and b.ms is not None]
            faster = [b.more.get("together", b.seconds) / a.seconds for a, b in pairs]
            rows.append(
                [
                    f"{ours} against {baseline}", str(both), str(slower),
                    f"{statistics.fmean(ratio):.3f}", f"{min(ratio):.3f}", f"{max(ratio):.3f}",
                    f"{min(faster):.1f}" if baseline in ("scip", "highs") else "",
                ]
            )  # fmt: skip
    head = ["", "cases", "mapc slower on", "their step / ours: mean", "least", "most"]
    return markdown([*head, "their seconds / ours: least"], rows)


def report(arguments: argparse.Namespace, journal: Journal) -> None:
    known = methods(arguments)
    found: Cases = {}
    best: dict[Name, float] = {}
    sets = itertools.product(arguments.models, arguments.max_lengths)
    places = {name: at for at, name in enumerate(sets)}
    chosen = [case for _, case in cases(arguments)]
    for case in sorted(chosen, key=lambda c: places[c["model"], c["max_length"]]):
        records = {m: journal.get(case, m, settings) for m, (settings, _, _) in known.items()}
        kept = {m: record for m, record in records.items() if record is not None}
        name = tuple(case.values())
        if any(record.ms is not None for record in kept.values()):
            found[name], best[name] = kept, journal.best_ms(case)
    if not found:
        print("no records")
        return
    print("\n" + table(found, best), summary(found, best), against([*found.values()]), sep="\n\n")
    for solver, label in peers.LABELS.items():
        if any(solver in case for case in found.values()):
            print(f"\n{solver}: {label.format(seconds=arguments.flexsp_seconds)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lengths", nargs="?", type=Path, default=LENGTHS)
    parser.add_argument("--models", nargs="+", default=["gpt-7b", "gpt-13b", "gpt-30b"])
    parser.add_argument("--max-lengths", nargs="+", default=["192K", "384K"])
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--first", type=int, default=3, help="number of the first batch")
    parser.add_argument("--deadline", type=float, default=0.3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the proof mode")
    parser.add_argument("--flexsp", type=int, default=0, help="batches for FlexSP on SCIP")
    parser.add_argument("--flexsp-highs", type=int, default=0, help="batches for it on HiGHS")
    parser.add_argument("--flexsp-seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path, help="records are appended here, and not run again")
    parser.add_argument("--minutes", type=float, default=float("inf"))
    arguments = parser.parse_args()
    journal = Journal(arguments.json)
    try:
        complete = advance(arguments, journal)
    except MapcError as error:
        raise SystemExit(str(error)) from None
    report(arguments, journal)
    if not complete:
        print("\nnot complete: run again with the same --json")


if __name__ == "__main__":
    main()
