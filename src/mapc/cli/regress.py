"""``mapc regress``: the gate on solution quality, for a developer's machine and for CI."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from mapc.cli.completing import families
from mapc.cli.output import print_json, say, wrapped
from mapc.cli.reading import json_option, parse_seconds
from mapc.cli.terminal import cells, table_width
from mapc.errors import CheckError, UsageError
from mapc.files import write_whole

if TYPE_CHECKING:
    from mapc.quality.report import Checked


@click.command(
    epilog="Limits are counted work, with one worker and a fixed seed, so that the report is the "
    "same on every machine with the same versions. Exit code 7 if an instance fails; what is "
    "better or inconclusive is no failure."
)
@click.argument("suite")
@click.option(
    "--tier",
    "tiers",
    type=click.IntRange(1, 2),
    multiple=True,
    help="Only these instances. Repeatable. [default: 1 and 2]",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="FAMILY",
    shell_complete=families,
    help="Only this family. Repeatable.",
)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Only this instance. Repeatable."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Instances to check at a time.",
)
@click.option(
    "--wall",
    callback=parse_seconds,
    metavar="SECONDS",
    help="Give up an instance after so long: it is inconclusive, and never fails for that.",
)
@click.option("--timings", is_flag=True, help="Print seconds as well, which differ every time.")
@click.option("-o", "--output", metavar="REPORT", help="Write the report to this file as well.")
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@json_option
def regress(
    suite: str,
    tiers: tuple[int, ...],
    kinds: tuple[str, ...],
    names: tuple[str, ...],
    jobs: int,
    wall: float | None,
    timings: bool,
    output: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Check that nothing in SUITE is solved worse than recorded.

    Fails for an objective above its ceiling, a bound or a proof that is lost, a bound above a plan,
    a plan that breaks a rule, backends that disagree, a model that has grown, an instance that is
    another one, and a verifier that lets a broken plan through. What is better than the index says
    comes with the command that records it.
    """
    from mapc.quality.gate import TIERS
    from mapc.quality.gate import regress as run
    from mapc.quality.suite import Suite

    chosen = Suite.read(suite, names=names or None, tiers=tiers or TIERS, kinds=kinds or None)
    if not len(chosen):
        raise UsageError(f"{suite}: no such instances; expected some of tier 1 or 2")

    def announce(one: Checked, done: int) -> None:
        if not quiet:
            say(f"{done}/{len(chosen)} {one.label}: {one.outcome}", err=True)

    report = run(chosen, jobs=jobs, wall=wall, on_case=announce)
    text = report.text(timings=timings)
    if output is not None:
        write_whole(output, text.encode())
    if as_json:
        print_json(report.document(timings=timings))
    else:
        say("".join(f"{line}\n" for line in _fitting(text)), nl=False)
    if not report.ok:
        raise CheckError(f"quality has got worse: {report.summary}")


def _fitting(text: str) -> list[str]:
    """Return the lines of a report, sentences wrapped; tables, commands and JSON stay."""
    lines = []
    for line in text.splitlines():
        verbatim = "  " in line.strip() or line.startswith(("  $ ", '  "'))
        fits = cells(line) <= table_width(sys.stdout)
        lines += [line] if verbatim or fits else wrapped(line, table_width(sys.stdout), "    ")
    return lines
