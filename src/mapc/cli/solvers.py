"""``mapc solvers``: which backends are installed, and whether they work."""

from __future__ import annotations

import click

from mapc.cli.outcome import OutcomeError
from mapc.cli.output import print_columns, print_json
from mapc.cli.reading import json_option
from mapc.errors import ExitCode


@click.command()
@json_option
def solvers(as_json: bool) -> None:
    """List the solvers and whether they work.

    To count as working, a solver has to solve a tiny model.
    """
    from mapc.solvers import registry

    found = registry.all_availability()
    if as_json:
        listing = [
            {
                "name": one.name,
                "version": one.version,
                "works": one.works,
                "reason": one.reason,
                "supports": list(one.supports),
            }
            for one in found
        ]
        print_json({"solvers": listing})
    else:
        rows = [(one.name, one.version, "yes" if one.works else "no", one.reason) for one in found]
        print_columns(("solver", "version", "works", "why not"), rows)
    if not any(one.works for one in found):
        raise OutcomeError("no solver works; mapc needs at least one", ExitCode.UNAVAILABLE)
