"""``mapc lower``: the optimisation model itself, as a file or as its size."""

from __future__ import annotations

import time
from typing import Any

import click

from mapc.cli.completing import formulations
from mapc.cli.output import print_json, print_table
from mapc.cli.reading import FILE_HELP, json_option, read_problem, reading_options
from mapc.cli.target import check_target
from mapc.wording.common import fact_rows

SUFFIXES = (".mps", ".lp", ".pb", ".pb.txt")


@click.command(epilog=FILE_HELP)
@click.argument("file")
@reading_options
@click.option(
    "--formulation",
    shell_complete=formulations,
    metavar="NAME",
    help="Memory: gap (the default), cosma, forced-spans. Buffers: "
    "no-overlap-2d, banks (of those with banks).",
)
@click.option("-o", "--output", metavar="MODEL", help="Write .mps, .lp, .pb or .pb.txt (CP-SAT).")
@json_option
def lower(
    file: str, formulation: str | None, output: str | None, as_json: bool, **reading: Any
) -> None:
    """Write the optimisation model of FILE, or its size."""
    from mapc import api
    from mapc.models import family_of

    check_target(output, SUFFIXES, source=file)
    problem = read_problem(file, reading)
    started = time.perf_counter()
    program, _ = api.lower(problem, formulation)
    size = program.statistics()  # concatenates the blocks: part of building
    seconds = time.perf_counter() - started
    family = family_of(problem)
    found = {
        "kind": family.kind,
        "formulation": formulation or next(iter(family.formulations)),
        "model": program.name,
        **size,
        "build_seconds": round(seconds, 6),
    }
    if output is not None:
        api.write(program, output)
        found["output"] = output
    if as_json:
        print_json(found)
    else:
        print_table(fact_rows(found))
