"""``mapc generate``: seeded instances of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mapc.cli.declared import flag, given
from mapc.cli.reading import json_option
from mapc.cli.target import check_instance_target
from mapc.cli.writing import output_option, write_instance

if TYPE_CHECKING:
    from mapc.instances.generators import Generator


class Generators(click.Group):
    """One command for each generator, with the options it declares."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the kinds of problems there are generators for."""
        from mapc.instances.generators import GENERATORS

        return list(GENERATORS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of a generator."""
        from mapc.instances.generators import GENERATORS

        found = GENERATORS.get(cmd_name)
        return None if found is None else command_of(found)


def command_of(generator: Generator) -> click.Command:
    """Return the command that runs a generator."""

    def run(output: str, as_json: bool, **options: Any) -> None:
        from mapc import api

        check_instance_target(output, as_json)
        write_instance(api.generate(generator.kind, **given(options)), output, as_json)

    command = json_option(output_option(click.command(generator.kind)(run)))
    command.help = generator.summary
    command.params = [*map(flag, generator.options), *command.params]
    return command


@click.group(cls=Generators)
def generate() -> None:
    """Write a random instance; equal seeds give equal instances."""
