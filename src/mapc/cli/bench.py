"""``mapc bench``: a suite of instances, measured; a table, JSON lines, and what has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.outcome import OutcomeError
from mapc.cli.output import one_line, print_json, say, say_wrapped
from mapc.cli.reading import json_option, parse_seconds
from mapc.cli.tables import columns
from mapc.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mapc.quality.bench import Progress
    from mapc.quality.compare import Comparison
    from mapc.quality.running import Record
    from mapc.quality.suite import Suite

MAX_SEEDS = 1000


def _parse_names(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return ``("a", "b", "c")`` for ``("a,b", "c")``; None where nothing was given."""
    found = [part.strip() for value in values for part in value.split(",")]
    if not all(found):
        raise click.BadParameter("expected names, with commas between them")
    return tuple(dict.fromkeys(found)) or None


def _parse_seeds(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Return ``(0, 1, 5)`` for ``0-1,5``."""
    found: list[int] = []
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = (first, last) if dash else (first, first)
        if not all(one.isascii() and one.isdigit() and int(one) < 2**31 for one in numbers):
            raise click.BadParameter(f"{value!r}: expected seeds such as 0, 0,1,2 or 0-9")
        low, high = (int(one) for one in numbers)
        if not 0 <= high - low < MAX_SEEDS:
            raise click.BadParameter(f"{value!r}: expected at most {MAX_SEEDS} seeds, upwards")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))


Command = Callable[..., Any]


def _names(flag: str, name: str, metavar: str, text: str) -> Callable[[Command], Command]:
    """Return the option for several names."""
    return click.option(
        flag, name, multiple=True, callback=_parse_names, metavar=metavar, help=text
    )


@click.command(
    epilog="SUITE is a folder with an index.json, a folder of such folders, or one index.json. "
    "Names are repeated or have commas between them. With -o an interrupted run goes on where "
    "it stood: the same command again."
)
@click.argument("suite")
@_names("--name", "names", "NAME,...", "Only these instances: NAME or KIND/NAME.")
@_names("--kind", "kinds", "FAMILY,...", "Only these families.")
@click.option(
    "--tier", "tiers", type=click.IntRange(1, 3), multiple=True, help="Only this. Repeatable."
)
@click.option(
    "--time-limit",
    default="10",
    callback=parse_seconds,
    show_default=True,
    metavar="SECONDS",
    help="Wall time of each run; 0 or none: no clock, counted work, as `mapc regress` does.",
)
@click.option(
    "--seeds", default="0", callback=_parse_seeds, show_default=True, help="E.g. 0,1,2 or 0-9."
)
@_names("--methods", "methods", "NAME,...", "Run only these.")
@_names("--backends", "backends", "NAME,...", "Solvers to use, in this order.")
@_names(
    "--models",
    "models",
    "NAME,...",
    "Formulations whose size to count, or all. [default: those of the index, or the first]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Threads of each solver.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 1024), default=1, show_default=True, help="Runs at a time."
)
@click.option(
    "--executor",
    metavar="serial|process|dask://HOST:PORT",
    help="Where runs go. [default: serial, or process with --jobs]",
)
@click.option("-o", "--output", metavar="OUT.jsonl", help="Write a line after every run; go on.")
@click.option("--compare", "old", metavar="OLD.jsonl", help="Say what has changed since then.")
@click.option("--list", "listing", is_flag=True, help="Name the instances and run nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@json_option
def bench(
    suite: str,
    names: tuple[str, ...] | None,
    kinds: tuple[str, ...] | None,
    tiers: tuple[int, ...],
    time_limit: float | None,
    seeds: tuple[int, ...],
    methods: tuple[str, ...] | None,
    backends: tuple[str, ...] | None,
    models: tuple[str, ...] | None,
    workers: int,
    jobs: int,
    executor: str | None,
    output: str | None,
    old: str | None,
    listing: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Measure the instances of SUITE.

    For each its plan, bound, gap, distance to the best known, time and sizes of its models.

    Exit code 7 if a run failed, or a bound is above a known plan.
    """
    from mapc.quality.bench import tasks_of
    from mapc.quality.executors import DASK, PROCESS, SERIAL, check_executor
    from mapc.quality.journal import read_records
    from mapc.quality.suite import Suite

    chosen = Suite.read(suite, names=names, tiers=tiers or None, kinds=kinds)
    if listing:
        _list(chosen, as_json)
        return
    place = executor or (SERIAL if jobs == 1 else PROCESS)
    check_executor(place, jobs)
    _refuse_same(output, old)
    before = None if old is None else read_records(old)
    tasks = tasks_of(
        chosen,
        seeds=seeds,
        time_limit=time_limit,
        methods=methods,
        backends=backends,
        workers=workers,
        models=models,
        carried=place.startswith(DASK),
    )
    records = _run(tasks, place, jobs, output, quiet)
    _show(records, before, as_json)
    _judge(records)


def _refuse_same(output: str | None, old: str | None) -> None:
    from pathlib import Path

    if output is not None and old is not None and Path(output).resolve() == Path(old).resolve():
        raise UsageError(f"--compare {old}: what this run writes; expected another file")


def _run(
    tasks: Sequence[Any], executor: str, jobs: int, output: str | None, quiet: bool
) -> list[Record]:
    from contextlib import nullcontext

    from mapc.quality.bench import bench
    from mapc.quality.journal import Journal
    from mapc.quality.tables import number, seconds

    finished = 0

    def progress(now: Progress) -> None:
        nonlocal finished
        finished = now.done
        if not quiet:
            one = now.record
            value = one.status if one.objective is None else number(one.objective)
            time = "" if one.seconds is None else f", {seconds(one.seconds)} s"
            say(f"{now.done}/{now.total} {one.label} seed {one.seed}: {value}{time}", err=True)

    def note(text: str) -> None:
        say(f"mapc: note: {one_line(text)}", err=True)

    with nullcontext() if output is None else Journal(output) as journal:
        try:
            return bench(
                tasks,
                executor=executor,
                jobs=jobs,
                journal=journal,
                on_progress=progress,
                on_note=note,
            )
        except KeyboardInterrupt:
            kept = f"{output} has what is done; the same command goes on" if output else "no -o"
            raise OutcomeError(
                f"interrupted after {finished} of {len(tasks)} runs; {kept}", ExitCode.INTERRUPTED
            ) from None


# -- what is printed -------------------------------------------------------------------------------


def _show(records: Sequence[Record], before: Sequence[Record] | None, as_json: bool) -> None:
    from mapc.quality.compare import compare

    comparison = None if before is None else compare(before, records)
    if as_json:
        _print_json(records, comparison)
        return
    _print(records)
    if comparison is not None:
        _print_comparison(comparison)


def _print(records: Sequence[Record]) -> None:
    from mapc.quality import tables

    for kind, some in tables.by_kind(records).items():
        say(f"{kind}\n{columns(tables.bench_table(some))}\n")
    if records:
        say(columns(tables.summary_table(records)))
    for text in tables.remarks(records):
        say_wrapped(text)


def _print_comparison(comparison: Comparison) -> None:
    from mapc.quality import tables

    say("\nsince then: + better, ! worse; as good where not listed")
    for kind in dict.fromkeys(pair.new.kind for pair in comparison.pairs):
        table = tables.pairs_table([one for one in comparison.pairs if one.new.kind == kind])
        if table["instance"]:
            say(f"{kind}\n{columns(table)}\n")
    if comparison.means:
        say(columns(tables.means_table(comparison.means)))
    for text in tables.differences(comparison):
        say_wrapped(text)


def _print_json(records: Sequence[Record], comparison: Comparison | None) -> None:
    import msgspec

    document: dict[str, Any] = {"records": [msgspec.to_builtins(one) for one in records]}
    if comparison is not None:
        from dataclasses import asdict

        document["comparison"] = {
            "pairs": [
                {
                    "kind": one.new.kind,
                    "name": one.new.name,
                    "seed": one.new.seed,
                    "objective": [one.old.objective, one.new.objective],
                    "bound": [one.old.bound, one.new.bound],
                    "seconds": [one.old.seconds, one.new.seconds],
                }
                for one in comparison.pairs
            ],
            "means": [asdict(one) for one in comparison.means],
            "only_old": list(comparison.only_old),
            "only_new": list(comparison.only_new),
            "changed": list(comparison.changed),
        }
    print_json(document)


def _list(suite: Suite, as_json: bool) -> None:
    if as_json:
        import msgspec

        print_json(
            {"instances": [{"kind": one.kind, **msgspec.to_builtins(one.entry)} for one in suite]}
        )
        return
    from mapc.quality.tables import number

    best = [one.entry.best for one in suite]
    table = {
        "instance": [one.label for one in suite],
        "tier": [str(one.entry.tier) for one in suite],
        "best known": [number(one.objective) if one else "-" for one in best],
        "bound": [number(one.bound) if one else "-" for one in best],
        "proven": ["yes" if one and one.proven else "no" for one in best],
    }
    say(columns(table))


def _judge(records: Sequence[Record]) -> None:
    from mapc.quality.tables import faults

    bad = sum(one.error is not None or bool(faults(one)) for one in records)
    if bad:
        raise OutcomeError(
            f"{bad} of {len(records)} runs failed, or contradict what is known",
            ExitCode.REGRESSION,
        )
