"""``mapc show``: what can be said about a problem without solving it."""

from __future__ import annotations

from typing import Any

import click

from mapc.cli.output import print_json, print_table
from mapc.cli.reading import FILE_HELP, json_option, read_problem, reading_options
from mapc.wording.families import fact_rows


def figures(problem: Any, *, details: bool) -> dict[str, Any]:
    """Return the figures of a problem: kind, facts, and with ``details`` what costs some work."""
    from mapc import instances
    from mapc.models import family_of

    family = family_of(problem)
    found = {"kind": family.kind, **family.facts(problem)}
    if details:
        found |= family.details(problem)
    return {**found, "sha256": instances.content_hash(problem)}


@click.command(epilog=FILE_HELP)
@click.argument("file")
@reading_options
@json_option
def show(file: str, as_json: bool, **reading: Any) -> None:
    """Print the figures of FILE: M_R, M_P, peak, bound."""
    found = figures(read_problem(file, reading), details=True)
    if as_json:
        print_json(found)
    else:
        print_table(fact_rows(found))
