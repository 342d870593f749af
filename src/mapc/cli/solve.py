"""``mapc solve``: the best plan within a limit, and what is proven about it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.completing import methods as methods_named
from mapc.cli.front import SUFFIXES, parse_points, run_front
from mapc.cli.invocation import command_line
from mapc.cli.outcome import OutcomeError, interrupted
from mapc.cli.output import print_json, print_table
from mapc.cli.progress import Progress
from mapc.cli.reading import FILE_HELP, json_option, parse_seconds, read_problem, reading_options
from mapc.cli.report import check_report_target, write_run
from mapc.cli.sparkline import with_gap_over_time
from mapc.cli.target import check_target
from mapc.errors import ExitCode, InfeasibleError, MapcError, UsageError
from mapc.files import STREAM
from mapc.units import parse_bytes
from mapc.wording.common import percent
from mapc.wording.families import result_keys, result_rows

if TYPE_CHECKING:
    from mapc.solvers.result import Result


@click.command(epilog=FILE_HELP)
@click.argument("file")
@reading_options
@click.option(
    "--time-limit",
    default="60",
    callback=parse_seconds,
    show_default=True,
    metavar="SECONDS",
    help="Wall time; 0 or none: no clock, the same answer on every machine.",
)
@click.option("--gap", type=float, default=0.0, metavar="X", help="Relative gap to stop at.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    shell_complete=methods_named,
    help="Run only this. Repeatable.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option("--memory-limit", metavar="SIZE", help="Memory of each solver, e.g. 4GiB.")
@click.option("-o", "--output", metavar="PLAN", help="Write the plan: .json, or .csv for buffers.")
@click.option(
    "--front",
    is_flag=True,
    help="Loss against the one budget (bits) or extra traffic against capacity (memory), whole; "
    "-o .csv or .json.",
)
@click.option(
    "--points",
    callback=parse_points,
    metavar="N|all",
    help="With --front: the best plans at N budgets or capacities, each with its bound, or every "
    "point there is; of bits by default those on the convex hull.",
)
@click.option(
    "--minimize",
    metavar="peak",
    help="The smallest capacity instead: without extra traffic (memory), or at all (allocation).",
)
@click.option(
    "--report", metavar="FILE", help="Write a report of the run, .html, whatever its end."
)
@click.option("--require-optimal", is_flag=True, help="Fail (exit code 7) without a proof.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@json_option
def solve(
    file: str,
    time_limit: float | None,
    gap: float,
    methods: tuple[str, ...],
    seed: int,
    workers: int,
    memory_limit: str | None,
    output: str | None,
    front: bool,
    points: int | str | None,
    minimize: str | None,
    report: str | None,
    require_optimal: bool,
    quiet: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Find the best plan for FILE and a bound on all plans."""
    if front:
        _refuse_beside_front(methods, require_optimal, minimize, report)
        if reading["scratchpad"] is not None:
            raise UsageError("--scratchpad: a capacity, and --front goes through all; expected one")
        check_target(output, SUFFIXES, source=file)
        run_front(
            read_problem(file, reading),
            points,
            output,
            as_json,
            quiet=quiet,
            gap=gap,
            time_limit=time_limit,
            seed=seed,
            workers=workers,
            memory_limit=None if memory_limit is None else parse_bytes(memory_limit),
        )
        return
    if points is not None:
        raise UsageError("--points: says how many points of a front; expected --front")
    memory = None if memory_limit is None else parse_bytes(memory_limit)
    check_target(output, (".json", ".csv"), source=file)
    check_report_target(report, as_json, source=file)
    if minimize is not None and reading["scratchpad"] is not None:
        raise UsageError("--scratchpad: a capacity, which --minimize looks for; expected one")
    problem = read_problem(file, reading)
    _check_kind(output, problem)
    search: dict[str, Any] = {
        "minimize": minimize,
        "time_limit": time_limit,
        "gap": gap,
        "methods": list(methods) or None,
        "seed": seed,
        "workers": workers,
        "memory_limit": memory,
    }
    try:
        result = _search(problem, quiet=quiet, **search)
    except UsageError:  # a call that cannot be understood is no run
        raise
    except Exception as error:
        if report is not None:
            _report_failure(problem, error, search, report, file)
        raise
    result = replace(result, command=command_line())
    failure = _failure(result, require_optimal)
    written = reported = None
    try:
        if output is not None and failure is None:
            _write(_sized(problem, result, minimize), result, output)
            written = output
        if report is not None:
            sized = problem if result.plan is None else _sized(problem, result, minimize)
            write_run(sized, result, report, file, written)
            reported = report
    except MapcError as error:  # the result is worth printing all the same
        failure = failure or error
    if as_json:
        files = {"output": written, "report": reported}
        print_json({**result.to_dict(), **result_keys(problem, result), **files})
    elif result.plan is not None and report != STREAM:  # which has standard output for itself
        rows = with_gap_over_time(result_rows(problem, result), result)
        names = [name for name in (written, reported) if name and name != STREAM]
        print_table([*rows, *(("written", name) for name in names)])
    if failure is not None:
        raise failure


def _refuse_beside_front(
    methods: tuple[str, ...], require_optimal: bool, minimize: str | None, report: str | None
) -> None:
    for given, name in (
        (methods, "--method"),
        (require_optimal, "--require-optimal"),
        (minimize, "--minimize"),
        (report, "--report"),
    ):
        if given:
            raise UsageError(f"{name} does not apply to --front, which has a method of its own")


def _check_kind(output: str | None, problem: Any) -> None:
    from mapc.models import family_of

    kind = family_of(problem).kind
    if output is not None and output.lower().endswith(".csv") and kind != "allocation":
        raise UsageError(f"{output}: a CSV holds buffers; expected .json for a {kind} plan")


def _sized(problem: Any, result: Result, minimize: str | None) -> Any:
    """Return the problem to write: of memory with the capacity that was found to be least."""
    from mapc.models import family_of
    from mapc.models.base import aimed

    family = family_of(problem)
    if minimize is not None and family.kind == "memory":
        return family.with_capacity(problem, int(result.facts["peak_bytes"]))
    return aimed(family, problem, minimize)[1]


def _search(problem: Any, *, minimize: str | None, quiet: bool, **options: Any) -> Result:
    from mapc import api
    from mapc.models import family_of
    from mapc.models.base import aimed

    family, asked = aimed(family_of(problem), problem, minimize)
    with contextlib.nullcontext() if quiet else Progress(family, problem=asked) as progress:
        try:
            return api.solve(problem, minimize=minimize, on_event=progress, **options)
        except InfeasibleError as error:
            from mapc.visual.loading import failed  # costs start-up, and is seldom asked for

            return failed(problem, error, {"minimize": minimize, **options})


def _write(problem: Any, result: Result, output: str) -> None:
    from mapc import api, instances

    if output.lower().endswith(".csv"):
        instances.write_csv(problem, output, result.plan)
    else:
        api.write(result, output, problem=problem)


def _report_failure(
    problem: Any, error: Exception, search: Mapping[str, Any], report: str, label: str
) -> None:
    """Leave the report of a run that failed; what is wrong with writing it is not the news."""
    from mapc.visual.loading import failed

    with contextlib.suppress(MapcError):
        result = replace(failed(problem, error, search), command=command_line())
        write_run(problem, result, report, label)


def _failure(result: Result, require_optimal: bool) -> MapcError | None:
    """Return how the command ends, or None where it has a plan that will do."""
    from mapc.solvers.base import Status

    if result.status is Status.INFEASIBLE:
        return OutcomeError(f"proven infeasible: {result.reason}", ExitCode.INFEASIBLE)
    if result.plan is None:
        if result.interrupted:
            return interrupted()
        if _no_solver():
            return OutcomeError(f"no plan: {result.reason}", ExitCode.UNAVAILABLE)
        return OutcomeError(f"no plan: {result.reason}", ExitCode.NO_PLAN)
    if require_optimal and result.status is not Status.OPTIMAL:
        gap = "no bound" if result.gap is None else f"gap {percent(result.gap)}"
        return OutcomeError(f"not proven optimal ({gap}); no plan written", ExitCode.REGRESSION)
    return None


def _no_solver() -> bool:
    """Whether no plan may be due to there being no solver at all."""
    from mapc.solvers import catalogue

    return all(catalogue.missing(name) for name in catalogue.NAMES)
