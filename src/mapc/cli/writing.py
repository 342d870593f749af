"""Instance files written by commands, and what they say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mapc.cli.output import print_json, print_table, streaming
from mapc.cli.show import figures
from mapc.files import STREAM
from mapc.wording.families import fact_rows

Command = TypeVar("Command", bound=Callable[..., Any])


def output_option(command: Command) -> Command:
    """Add ``-o``, which is required."""
    return click.option(
        "-o",
        "--output",
        required=True,
        metavar="INSTANCE",
        help="The .json file to write, or - for standard output.",
    )(command)


def write_instance(problem: Any, output: str, as_json: bool) -> None:
    """Write a problem and print its figures; on standard output the instance stands alone."""
    from mapc import api

    with streaming():
        api.write(problem, output)
    if output == STREAM:
        return
    found = {**figures(problem, details=False), "output": output}
    if as_json:
        print_json(found)
    else:
        print_table(fact_rows(found))
