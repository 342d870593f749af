"""The entry point: finds the command, turns every end into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from mapc import __version__
from mapc.cli import signals
from mapc.cli.invocation import COMMAND_LINE
from mapc.cli.outcome import interrupted
from mapc.cli.output import complain, finish, lenient
from mapc.errors import ExitCode, MapcError
from mapc.shell import shell_line

DEBUG = "MAPC_DEBUG"
"""Environment variable: set, an internal error shows its traceback."""

COMPLETE = "_MAPC_COMPLETE"
"""Environment variable: set by shells that ask how a line could go on."""

COMMANDS = {
    "solve": "mapc.cli.solve:solve",
    "check": "mapc.cli.check:check",
    "compare": "mapc.cli.compare:compare",
    "simulate": "mapc.cli.simulate:simulate",
    "import": "mapc.cli.import_:import_",
    "generate": "mapc.cli.generate:generate",
    "export": "mapc.cli.export:export",
    "show": "mapc.cli.show:show",
    "plot": "mapc.cli.plot:plot",
    "report": "mapc.cli.report:report",
    "lower": "mapc.cli.lower:lower",
    "bench": "mapc.cli.bench:bench",
    "record": "mapc.cli.record:record",
    "regress": "mapc.cli.regress:regress",
    "solvers": "mapc.cli.solvers:solvers",
    "warmup": "mapc.cli.warmup:warmup",
    "schema": "mapc.cli.schema:schema",
    "completion": "mapc.cli.completion:completion",
}
"""Commands by name, in the order in which help lists them; ``module:attribute``."""


class App(click.Group):
    """A group that loads a command when it is needed and ends as `mapc.errors.ExitCode` says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return it."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an interrupt that nobody caught is an end like others."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise interrupted() from None

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Keep the command line, which plan files and reports carry along."""
        line = shell_line(["mapc", *args])  # before parsing uses the arguments up
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[COMMAND_LINE] = line
        return context

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; unless ``standalone_mode`` is off, leave with the exit code."""

        def run() -> Any:
            return super(App, self).main(
                args, prog_name, complete_var, standalone_mode=False, **extra
            )

        if not standalone_mode:
            return run()

        lenient()
        if os.environ.get(COMPLETE):
            from mapc.cli.completing import register

            register()
        code = guarded(run)
        finish()
        sys.exit(int(code))


def guarded(run: Callable[[], Any]) -> int:
    """Run a command and return its exit code; whatever went wrong is one line on stderr."""
    debug = bool(os.environ.get(DEBUG))
    if not debug and not sys.warnoptions:
        # warnings of libraries are for those who write code against them
        warnings.simplefilter("ignore")
    try:
        code = run()
        return code if isinstance(code, int) else ExitCode.OK
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except MapcError as error:
        complain(str(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        complain(str(interrupted()))
        return ExitCode.INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        hint = "" if debug else f"; set {DEBUG}=1 to see where"
        complain(f"{what}{hint}", kind="internal error")
        return ExitCode.INTERNAL


@click.group(
    cls=App,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 a verified plan, 1 internal error, 2 usage, 3 proven infeasible, "
    "4 limit reached without a plan, 5 bad input, 6 solver unavailable, 7 check failed, "
    "130 interrupted without a plan.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def app() -> None:
    """Map DNN graphs onto devices: verified plans with proven bounds."""


def main() -> NoReturn:
    """Run ``mapc`` and leave the process with its exit code."""
    signals.catch()
    try:
        app.main(prog_name="mapc")
    except KeyboardInterrupt:  # between the end of the command and the end of the process
        sys.exit(int(ExitCode.INTERRUPTED))
    finally:
        signals.ignore()
    raise AssertionError("app.main leaves by sys.exit")
