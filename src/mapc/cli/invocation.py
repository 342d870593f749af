"""The command line as it was given, for what a run leaves behind."""

from __future__ import annotations

from typing import Final

import click

COMMAND_LINE: Final = "mapc.command_line"
"""Key under which the context keeps it."""


def command_line() -> str:
    """Return the command that is running, quoted for a shell; empty outside of one."""
    context = click.get_current_context(silent=True)
    return "" if context is None else str(context.meta.get(COMMAND_LINE, ""))
