"""``mapc plot``: a picture of a plan as a figure for a paper."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.output import print_columns, print_json, print_table
from mapc.cli.reading import json_option
from mapc.cli.target import check_target
from mapc.errors import CheckError, UsageError
from mapc.files import STREAM

if TYPE_CHECKING:
    from mapc.visual.figure import Figure
    from mapc.visual.view import View

SUFFIXES = (".pdf", ".png", ".svg")


@click.command(
    epilog="PLAN is a file of mapc solve -o, or - for standard input. It is replayed first: a plan "
    "that breaks a rule is not drawn (exit code 7); mapc report shows what it breaks."
)
@click.argument("plan")
@click.option("-o", "--output", metavar="FILE", help=".pdf, .png or .svg.")
@click.option("--figure", "key", metavar="KEY", help="Which one. [default: the family's first]")
@click.option("--list", "listing", is_flag=True, help="List the figures of PLAN.")
@click.option("--front", metavar="FILE", help="Front to draw, of mapc solve --front -o FILE.json.")
@click.option("--comparison", metavar="FILE", help="Methods to show, of mapc compare --json.")
@click.option("--width", type=float, default=7.0, show_default=True, metavar="IN", help="Inches.")
@click.option("--height", type=float, metavar="IN", help="Inches. [default: as in a report]")
@click.option(
    "--dpi", type=float, default=300.0, show_default=True, metavar="N", help="Of a PNG, per inch."
)
@click.option("--title/--no-title", default=True, help="Above the picture. [default: title]")
@json_option
def plot(
    plan: str,
    output: str | None,
    key: str | None,
    listing: bool,
    front: str | None,
    comparison: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw a picture of PLAN for a paper."""
    if listing:
        if output is not None:
            raise UsageError("--list and -o: expected one of them")
        _list(_load(plan, front, comparison), as_json)
        return
    if output is None:
        raise click.UsageError("expected -o FILE, or --list")
    if output == STREAM:
        raise UsageError("-o -: does not say what to draw; expected a file, .pdf, .png or .svg")
    for source in (plan, front, comparison):
        check_target(output, SUFFIXES, source=source or "")
    # what matplotlib logs of its caches and fonts is for those who write code against it
    for name in ("matplotlib", "fontTools"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    from mapc.visual import plots

    plots.check_size(options["width"], options["height"], None)
    plots.require()
    drawn = plots.plot(_load(plan, front, comparison), output, key, **options)
    _say(drawn, output, as_json)


def _load(plan: str, front: str | None, comparison: str | None) -> View:
    from mapc.visual.loading import load

    view = load(plan, front, comparison)
    if view.violations:
        more = len(view.violations) - 1
        extra = f" (and {more} more)" if more else ""
        raise CheckError(f"the plan breaks a rule: {view.violations[0]}{extra}")
    return view


def _list(view: View, as_json: bool) -> None:
    from mapc.visual.plots import there

    found = there(view)
    if as_json:
        print_json({"figures": [_about(figure) for figure in found]})
    else:
        print_columns(("figure", "title"), [(figure.key, figure.title) for figure in found])


def _say(figure: Figure, output: str, as_json: bool) -> None:
    """Say what was drawn: the summary and the note are what a caption needs."""
    about = _about(figure)
    if as_json:
        print_json({**about, "output": output})
        return
    rows = [(name, text) for name, text in about.items() if text]
    print_table([*rows, ("written", output)])


def _about(figure: Figure) -> dict[str, str]:
    from mapc.markup import clean

    return {
        "figure": figure.key,
        "title": clean(figure.title),
        "summary": clean(figure.summary, 2000),
        "note": clean(figure.note, 2000),
    }
