"""``mapc export``: a plan as the file that a runtime loads."""

from __future__ import annotations

import click

from mapc.cli.declared import parse_settings
from mapc.cli.output import print_columns, print_json
from mapc.cli.reading import json_option
from mapc.cli.registries import exporters
from mapc.cli.target import check_target
from mapc.errors import UsageError
from mapc.files import STREAM, write_whole


@click.command(
    epilog="PLAN is a plan file of mapc, or - for standard input. It is replayed first: a plan "
    "that breaks a rule is not exported (exit code 7)."
)
@click.argument("plan", required=False)
@click.option("--to", "runtime", metavar="RUNTIME", help="Who loads the file; see --list.")
@click.option(
    "--option",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the runtime's exporter; see --list. Repeatable.",
)
@click.option("-o", "--output", default=STREAM, metavar="FILE", help="[default: standard output]")
@click.option("--list", "listing", is_flag=True, help="List the runtimes and their options.")
@json_option
def export(
    plan: str | None,
    runtime: str | None,
    settings: tuple[str, ...],
    output: str,
    listing: bool,
    as_json: bool,
) -> None:
    """Write PLAN as the file a runtime loads."""
    if listing:
        _list(as_json)
        return
    if plan is None or runtime is None:
        raise click.UsageError("expected PLAN and --to RUNTIME, or --list")
    if output == STREAM and as_json:
        raise UsageError("--json without -o: standard output holds one of them; give a file name")
    if output != STREAM:
        check_target(output, (), source=plan)
    found = _exported(plan, runtime, settings)
    data = found.encode() if isinstance(found, str) else found
    write_whole(output, data)
    if as_json:
        print_json({"runtime": runtime, "output": output, "bytes": len(data)})


def _exported(plan_file: str, runtime: str, settings: tuple[str, ...]) -> str | bytes:
    from mapc import api, instances

    known = exporters()
    options = {}
    if runtime in known:
        options = parse_settings(settings, known[runtime].options, f"exporter {runtime}")
    problem, plan, _ = instances.read_plan(plan_file)
    return api.export(problem, plan, runtime, **options)


def _list(as_json: bool) -> None:
    known = exporters()
    if as_json:
        listing = [
            {
                "name": name,
                "kind": one.kind,
                "suffix": one.suffix,
                "summary": one.summary,
                "options": [
                    {"name": option.name, "help": option.help, "required": option.required}
                    for option in one.options
                ],
            }
            for name, one in known.items()
        ]
        print_json({"runtimes": listing})
        return
    rows = []
    for name, one in known.items():
        rows.append((name, one.kind, one.suffix, one.summary))
        rows += [("", "", "", f"{option.name}: {option.help}") for option in one.options]
    print_columns(("runtime", "family", "file", "what it is; options"), rows)
