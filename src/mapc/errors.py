"""Errors a user can meet, each with the exit code the command line gives it.

The message is one line: what is wrong, where, and what would be right.
"""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """What the process says to a shell or a CI job."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    INFEASIBLE = 3
    NO_PLAN = 4
    BAD_INPUT = 5
    UNAVAILABLE = 6
    REGRESSION = 7
    INTERRUPTED = 130


class MapcError(Exception):
    """Base of every error mapc raises on purpose."""

    exit_code: ExitCode = ExitCode.INTERNAL


class UsageError(MapcError):
    """A call that cannot be understood: an unknown method, a size that is no size."""

    exit_code = ExitCode.USAGE


class InstanceError(MapcError):
    """An input that breaks a rule of its format.

    Parameters
    ----------
    what : str
        What is wrong, with the offending value.
    where : str
        File, field and entity, e.g. ``"tensor 'conv1'"``.
    right : str
        What would be right, e.g. ``"an integer >= 0"``.
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, what: str, where: str = "", right: str = "") -> None:
        self.what, self.where, self.right = what, where, right
        message = f"{where}: {what}" if where else what
        if right:
            message += f"; expected {right}"
        super().__init__(" ".join(message.split()))

    def inside(self, where: str) -> InstanceError:
        """Return the same error with a wider place, such as the file, put in front."""
        return InstanceError(
            self.what, f"{where}: {self.where}" if self.where else where, self.right
        )


class InfeasibleError(MapcError):
    """A problem proven to have no plan; the message names the reason."""

    exit_code = ExitCode.INFEASIBLE


class UnavailableError(MapcError):
    """A solver or an optional package that is needed and not there."""

    exit_code = ExitCode.UNAVAILABLE


class CheckError(MapcError):
    """A plan that breaks a rule, or a quality gate that failed."""

    exit_code = ExitCode.REGRESSION
