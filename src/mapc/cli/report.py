"""``mapc report``: plans as one HTML file that opens anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.output import one_line, print_json, print_table, say, streaming
from mapc.cli.reading import json_option
from mapc.cli.target import check_target
from mapc.errors import UsageError
from mapc.files import STREAM

if TYPE_CHECKING:
    from mapc.visual.view import View

SUFFIXES = (".html", ".htm")


@click.command(
    epilog="PLAN is a file of mapc solve -o; several plans of one family are shown side by side, "
    "on common axes. For a run that ends without a plan: mapc solve --report FILE."
)
@click.argument("plans", nargs=-1, required=True, metavar="PLAN...")
@click.option("-o", "--output", required=True, metavar="FILE", help=".html, or - for stdout.")
@click.option("--front", metavar="FILE", help="Front to draw, of mapc solve --front -o FILE.json.")
@click.option("--comparison", metavar="FILE", help="Methods to show, of mapc compare --json.")
@json_option
def report(
    plans: tuple[str, ...],
    output: str,
    front: str | None,
    comparison: str | None,
    as_json: bool,
) -> None:
    """Draw plans in one self-contained HTML file."""
    from mapc.visual.loading import load_all
    from mapc.visual.report import make

    for source in (*plans, front, comparison):
        check_report_target(output, as_json, source=source or "")
    views = load_all(plans, front, comparison)
    document = make(views)
    with streaming():
        document.write(output)
    for view in views:
        if view.violations:
            rules = "a rule" if len(view.violations) == 1 else f"{len(view.violations)} rules"
            say(f"mapc: note: {one_line(view.label)} breaks {rules}; the report says so", err=True)
    size = len(document.html.encode())
    if as_json:
        print_json({"output": output, "bytes": size, "plans": [_plan(view) for view in views]})
    elif output != STREAM:
        print_table([("plans", _words(views)), ("written", f"{output} ({size / 1000:,.0f} kB)")])


def check_report_target(output: str | None, as_json: bool, source: str = "") -> None:
    """Refuse a place for a report that could not be written, or that ``--json`` needs itself.

    Raises
    ------
    UsageError
    """
    if output == STREAM:
        if as_json:
            raise UsageError("--json and -: standard output holds one of them; give a file name")
    else:
        check_target(output, SUFFIXES, source=source)


def _plan(view: View) -> dict[str, Any]:
    return {
        "plan": view.label,
        "kind": view.kind,
        "status": view.record.status,
        "objective": view.objective,
        "bound": view.record.bound,
        "valid": not view.violations,
    }


def _words(views: list[View]) -> str:
    found = []
    for view in views:
        text = "breaks rules" if view.objective is None else view.phrase(view.objective)
        found.append(f"{view.label}: {text}" if len(views) > 1 else text)
    return "; ".join(found)


def write_run(
    problem: Any, result: Any, output: str, source: str, written: str | None = None
) -> None:
    """Write the report of a run, whatever its end.

    Parameters
    ----------
    problem : problem of any family
    result : Result
    output : str
    source : str
        Where the problem came from.
    written : str, optional
        Where the plan has been written.
    """
    from mapc.visual.loading import carrier, of_result
    from mapc.visual.report import make

    view = of_result(problem, result, written or source)
    document = make([replace(view, plan_file=carrier(written))])
    with streaming():
        document.write(output)
