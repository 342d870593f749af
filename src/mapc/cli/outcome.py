"""Ends of a command that are no plain success, each with its exit code."""

from __future__ import annotations

from mapc.errors import ExitCode, MapcError


class OutcomeError(MapcError):
    """An end with an exit code of its own; the message is one line for standard error."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def interrupted() -> OutcomeError:
    """Return the end of a command that the user stopped before it had anything to show."""
    return OutcomeError("interrupted", ExitCode.INTERRUPTED)
