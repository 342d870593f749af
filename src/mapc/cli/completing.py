"""What a shell is offered for a word that is not finished.

Commands, their options, and values of those with choices come from click; what it does not know is
here: methods, runtimes and importers by name, and names of files for everything else. Commands
are loaded one by one as they are needed, and nothing here imports numpy but the names of methods.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

Items = list[CompletionItem[str]]


class _Files(ShellComplete):
    """Falls back to names of files, and to nothing where a line makes no sense."""

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        try:
            found = super().get_completions(args, incomplete)
        except Exception:  # a complaint would end up in the line that is being typed
            return []
        if found or incomplete.startswith("-") or not args:
            return found
        return [CompletionItem(incomplete, type="file")]


class _Bash(_Files, BashComplete):
    @staticmethod
    def _check_version() -> None:
        """Do not start a bash to see how old it is: scripts may be made where there is none."""


class _Zsh(_Files, ZshComplete):
    pass


class _Fish(_Files, FishComplete):
    pass


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register() -> None:
    """Have click answer with the classes of this module."""
    for name, one in SHELLS.items():
        add_completion_class(one, name)


def script(shell: str) -> str:
    """Return the script that a shell has to load."""
    from mapc.cli.app import COMPLETE, app

    return SHELLS[shell](app, {}, "mapc", COMPLETE).source()


def _items(named: Iterable[tuple[str, str]], incomplete: str) -> Items:
    return [
        CompletionItem(name, help=help or None)
        for name, help in named
        if name.startswith(incomplete)
    ]


def runtimes(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete ``mapc export --to``."""
    from mapc.deploy import EXPORTERS

    return _items(((name, one.summary) for name, one in EXPORTERS.items()), incomplete)


def importers(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete the first word after ``mapc import``: an importer, or a file."""
    from mapc.instances.importers import IMPORTERS

    return _items(((name, one.summary) for name, one in IMPORTERS.items()), incomplete)


def methods(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete ``--method``: of all families, for the file is not read."""
    from mapc.models import KINDS, family

    named: dict[str, list[str]] = {}
    for kind in KINDS:
        for method in family(kind).methods:
            named.setdefault(method.name, []).append(kind)
    return _items(((name, ", ".join(kinds)) for name, kinds in named.items()), incomplete)


def families(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete ``--kind``."""
    from mapc.models import KINDS

    return _items(((kind, "") for kind in KINDS), incomplete)


def formulations(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Complete ``mapc lower --formulation``: of all families, as `methods` does."""
    from mapc.models import KINDS, family

    named: dict[str, list[str]] = {}
    for kind in KINDS:
        for name in family(kind).formulations:
            named.setdefault(name, []).append(kind)
    return _items(((name, ", ".join(kinds)) for name, kinds in named.items()), incomplete)
