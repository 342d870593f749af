"""``mapc import``: any readable file to an instance file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.completing import importers
from mapc.cli.declared import flag, given
from mapc.cli.reading import FILE_HELP, budget_option, json_option, read_problem, reading_options
from mapc.cli.target import check_instance_target
from mapc.cli.writing import output_option, write_instance

if TYPE_CHECKING:
    from mapc.instances.importers.importer import Importer


class Import(click.Command):
    """Reads any file, or what one importer makes of it: ``import [IMPORTER] FILE``."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Hand over to the importer that is named first."""
        if args and not args[0].startswith("-"):
            known = _importers()
            if args[0] in known:
                chosen = command_of(known[args[0]])
                name = f"{info_name} {args[0]}"
                return chosen.make_context(name, args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the importers below the options."""
        super().format_options(ctx, formatter)
        listing = [(name, one.summary) for name, one in _importers().items()]
        with formatter.section("Importers (mapc import IMPORTER --help for their options)"):
            formatter.write_dl(listing)


def _importers() -> Mapping[str, Importer]:
    from mapc.instances import importers

    return importers.IMPORTERS


def command_of(importer: Importer) -> click.Command:
    """Return the command that runs an importer."""

    def run(file: str, output: str, as_json: bool, **options: Any) -> None:
        check_instance_target(output, as_json, source=file)
        problem = read_problem(file, {"importer": importer.name, **given(options)})
        write_instance(problem, output, as_json)

    command = click.command(importer.name)(run)
    if importer.budgeted:
        command = budget_option(command)
    command = json_option(output_option(command))
    command.help = importer.summary
    file = click.Argument(["file"])
    command.params = [file, *map(flag, importer.options), *command.params]
    return command


@click.command(
    "import",
    cls=Import,
    options_metavar="[IMPORTER] [OPTIONS]",
    epilog=f"{FILE_HELP} A file that is called like an importer: ./hawq.",
)
@click.argument("file", shell_complete=importers)
@reading_options
@output_option
@json_option
def import_(file: str, output: str, as_json: bool, **reading: Any) -> None:
    """Write FILE as an instance file."""
    check_instance_target(output, as_json, source=file)
    write_instance(read_problem(file, reading), output, as_json)
