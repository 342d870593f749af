"""``mapc compare``: every method of a family on one instance, each alone, in one table."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.completing import methods as methods_named
from mapc.cli.live import Live, LiveLine, clock, duration
from mapc.cli.outcome import OutcomeError, interrupted
from mapc.cli.output import one_line, print_json, say, say_wrapped
from mapc.cli.reading import FILE_HELP, json_option, parse_seconds, read_problem, reading_options
from mapc.cli.tables import columns
from mapc.cli.terminal import can_rewrite
from mapc.errors import ExitCode, MapcError
from mapc.wording.common import brief, percent
from mapc.wording.families import compared

if TYPE_CHECKING:
    from mapc.solvers.result import Result

_NOTHING = "-"


@click.command(epilog=FILE_HELP)
@click.argument("file")
@reading_options
@click.option(
    "--time-limit",
    default="10",
    callback=parse_seconds,
    show_default=True,
    metavar="SECONDS",
    help="Wall time of each method; 0 or none: no clock, the same answer on every machine.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    shell_complete=methods_named,
    help="Compare only this. Repeatable.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@json_option
def compare(
    file: str,
    time_limit: float | None,
    methods: tuple[str, ...],
    seed: int,
    quiet: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Run every method on FILE, one after the other.

    Gaps are to the best bound that any of them proved. Methods that are not for such a problem
    find nothing.
    """
    from mapc import api

    problem = read_problem(file, reading)

    with contextlib.nullcontext() if quiet else _Announcer() as announce:
        results = api.compare(
            problem, time_limit=time_limit, methods=methods or None, seed=seed, on_method=announce
        )
    if as_json:
        print_json(_document(problem, results, time_limit, seed))
    else:
        _print(results)
    failure = _failure(results)
    if failure is not None:
        raise failure


class _Announcer(Live):
    """Says on standard error which method runs: in a live line on a terminal, or a line each."""

    def __init__(self) -> None:
        self._name = ""
        if can_rewrite(sys.stderr):
            self._line = LiveLine(self._candidates, alarm=clock())

    def __call__(self, name: str) -> None:
        self._name = name
        if self._line is None:
            say(f"{one_line(name)} ...", err=True)
        else:
            self._line.draw()

    def _candidates(self, seconds: float) -> list[str]:
        return [f"{duration(seconds)}  {self._name} ..."]


def best_method(results: Mapping[str, Result]) -> str | None:
    """Return the name of the method with the best plan, the first of several."""
    found = {name: one.objective for name, one in results.items() if one.objective is not None}
    return min(found, key=found.__getitem__) if found else None


def best_bound(results: Mapping[str, Result]) -> float | None:
    """Return the largest lower bound that any method proved."""
    return max((one.bound for one in results.values() if one.bound is not None), default=None)


def _failure(results: Mapping[str, Result]) -> MapcError | None:
    from mapc.solvers.base import Status

    if best_method(results) is not None:
        return None
    if any(one.interrupted for one in results.values()):
        return interrupted()
    for one in results.values():
        if one.status is Status.INFEASIBLE:
            return OutcomeError(f"proven infeasible: {one.reason}", ExitCode.INFEASIBLE)
    return OutcomeError("no method found a plan", ExitCode.NO_PLAN)


def _gap(result: Result, bound: float | None) -> float | None:
    from mapc.solvers.base import relative_gap

    return relative_gap(result.objective, bound)


# -- for machines ----------------------------------------------------------------------------------


def _document(
    problem: Any, results: Mapping[str, Result], time_limit: float | None, seed: int
) -> dict[str, Any]:
    from mapc import instances
    from mapc.models import family_of

    family, bound = family_of(problem), best_bound(results)
    shared = family.facts(problem)
    stages = {method.name: method.stage for method in family.methods}
    return {
        "kind": family.kind,
        "instance_sha256": instances.content_hash(problem),
        "time_limit": time_limit,
        "seed": seed,
        **shared,
        "best": best_method(results),
        "bound": bound,
        "methods": [
            {
                "method": name,
                "stage": stages[name],
                **{k: v for k, v in _figures(result).items() if k not in shared},
                "gap": _gap(result, bound),
            }
            for name, result in results.items()
        ],
    }


def _figures(result: Result) -> dict[str, Any]:
    """Return the keys of a result that belong to a method; ``gap`` is to the best bound of all."""
    known = result.to_dict()
    del known["kind"], known["method"], known["bound_method"]
    return known


# -- for people ------------------------------------------------------------------------------------


def _print(results: Mapping[str, Result]) -> None:
    best, bound = best_method(results), best_bound(results)
    table = {
        "method": [f"{name} *" if name == best else name for name in results],
        "objective": [_number(one, one.objective) for one in results.values()],
        "bound": [_number(one, one.bound) for one in results.values()],
        "gap": [_percent(_gap(one, bound)) for one in results.values()],
        **_own_columns(results),
        "seconds": [f"{one.seconds:.2f}" for one in results.values()],
    }
    say(columns(table))
    if best is not None:
        say_wrapped(f"* {results[best].phrase(results[best].objective or 0)}, the best plan")
    for name, result in results.items():
        for note in (*result.notes, *([result.reason] if _worth_saying(result) else [])):
            say_wrapped(f"{name}: {note}")


def _own_columns(results: Mapping[str, Result]) -> dict[str, list[str]]:
    """Return what the family shows of plans, without columns that say nothing."""
    kinds = {one.kind for one in results.values()}
    found: dict[str, list[str]] = {}
    before: list[str] = []
    for header, (key, form) in compared(kinds.pop()).items() if kinds else ():
        values = [one.facts.get(key) if one.plan else None for one in results.values()]
        cells = [_NOTHING if value is None else format(value, form) for value in values]
        # the worst of one profile is its mean, and without a placement in force nothing moves
        if cells != before and set(cells) != {_NOTHING}:
            found[header] = cells
        before = cells
    return found


def _worth_saying(result: Result) -> bool:
    """Whether why there is no plan says more than that there is none."""
    return result.reason.startswith("failed") or result.status.value == "infeasible"


def _number(result: Result, value: float | None) -> str:
    return _NOTHING if value is None else brief(result.phrase(value))


def _percent(gap: float | None) -> str:
    return _NOTHING if gap is None else percent(gap).replace(" ", "")
