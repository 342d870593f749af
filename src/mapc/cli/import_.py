"""``mapc import``: any readable file to an instance file."""

from __future__ import annotations

from typing import Any

import click

from mapc.cli.describe import fact_rows
from mapc.cli.output import print_json, print_table
from mapc.cli.reading import FILE_HELP, json_option, read_problem, reading_options
from mapc.cli.show import figures
from mapc.cli.target import check_target
from mapc.errors import UsageError
from mapc.files import STREAM


@click.command("import", epilog=FILE_HELP)
@click.argument("file")
@reading_options
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="INSTANCE",
    help="The .json file to write, or - for standard output.",
)
@json_option
def import_(file: str, output: str, as_json: bool, **reading: Any) -> None:
    """Write FILE as an instance file."""
    if output == STREAM and as_json:
        raise UsageError("--json and -o -: standard output holds one of them; give a file name")
    if output != STREAM:
        check_target(output, (".json",), source=file)
    problem = read_problem(file, reading)
    _write(problem, output)
    if output == STREAM:
        return
    found = {**figures(problem, details=False), "output": output}
    if as_json:
        print_json(found)
    else:
        print_table(fact_rows(found))


def _write(problem: Any, output: str) -> None:
    from mapc import api

    api.write(problem, output)
