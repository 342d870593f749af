"""``mapc export``: a plan as the file that a runtime loads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.completing import runtimes
from mapc.cli.declared import flag, given
from mapc.cli.output import print_columns, print_json, streaming
from mapc.cli.reading import json_option
from mapc.cli.target import check_target
from mapc.errors import UsageError
from mapc.files import STREAM, write_whole

if TYPE_CHECKING:
    from mapc.deploy import Exporter


class Export(click.Command):
    """Takes the options of the runtime that ``--to`` names, beside its own."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Add the flags of the runtime before anything is parsed."""
        from mapc.deploy import EXPORTERS

        runtime = _runtime(args)
        if runtime in EXPORTERS:
            return self._with(EXPORTERS[runtime]).make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def _with(self, exporter: Exporter) -> click.Command:
        return click.Command(
            self.name,
            callback=self.callback,
            params=[*self.params, *map(flag, exporter.options)],
            help=self.help,
            epilog=f"{exporter.summary} {self.epilog}",
        )


def _runtime(args: Sequence[str]) -> str:
    """Return what ``--to`` says, or nothing."""
    found = ""
    for at, arg in enumerate(args):
        if arg.startswith("--to="):
            found = arg.removeprefix("--to=")
        elif arg == "--to" and at + 1 < len(args):
            found = args[at + 1]
    return found


@click.command(
    cls=Export,
    epilog="PLAN is a plan file of mapc, or - for standard input. It is replayed first: a plan "
    "that breaks a rule is not exported (exit code 7).",
)
@click.argument("plan", required=False)
@click.option(
    "--to",
    metavar="RUNTIME",
    shell_complete=runtimes,
    help="Who loads the file; with --help: its options.",
)
@click.option("-o", "--output", default=STREAM, metavar="FILE", help="[default: standard output]")
@click.option("--list", "listing", is_flag=True, help="List the runtimes.")
@json_option
def export(
    plan: str | None, to: str | None, output: str, listing: bool, as_json: bool, **options: Any
) -> None:
    """Write PLAN as the file a runtime loads."""
    if listing:
        _list(as_json)
        return
    if plan is None or to is None:
        raise click.UsageError("expected PLAN and --to RUNTIME, or --list")
    if output == STREAM and as_json:
        raise UsageError("--json without -o: standard output holds one of them; give a file name")
    if output != STREAM:
        check_target(output, (), source=plan)
    found = _exported(plan, to, given(options))
    if isinstance(found, bytes) and output == STREAM and sys.stdout.isatty():
        raise UsageError(f"{to} writes a binary file, no text; give a file name with -o")
    data = found if isinstance(found, bytes) else found.encode()
    with streaming():
        write_whole(output, data)
    if as_json:
        print_json({"runtime": to, "output": output, "bytes": len(data)})


def _exported(plan_file: str, runtime: str, options: dict[str, Any]) -> str | bytes:
    from mapc import api, instances

    problem, plan, _ = instances.read_plan(plan_file)
    return api.export(problem, plan, runtime, **options)


def _list(as_json: bool) -> None:
    from mapc.deploy import EXPORTERS

    if not as_json:
        rows = [
            (one.name, ", ".join(one.kinds), one.suffix, one.summary) for one in EXPORTERS.values()
        ]
        print_columns(("runtime", "family", "file", "what it is"), rows)
        return
    listing = [
        {
            "name": one.name,
            "kind": one.kind,
            "suffix": one.suffix,
            "summary": one.summary,
            "options": {option.name: option.help for option in one.options},
        }
        for one in EXPORTERS.values()
    ]
    print_json({"runtimes": listing})
