"""``mapc warmup``: compile the kernels, so that no run has to wait for them."""

from __future__ import annotations

import subprocess
import time

import click

from mapc.cli.outcome import OutcomeError
from mapc.cli.output import one_line, say
from mapc.errors import ExitCode


@click.command()
@click.option("--check", is_flag=True, help="Compile nothing; exit code 7 if a kernel is cold.")
def warmup(check: bool) -> None:
    """Compile the kernels once, a few seconds to a minute each.

    Without it, the first run that needs a kernel compiles it on the side.
    """
    from mapc import kernels

    if kernels.plain():
        say("nothing to compile: NUMBA_DISABLE_JIT is set")
        return
    cold = [name for name in kernels.MODULES if not kernels.warm(name)]
    if check and cold:
        raise OutcomeError(f"not compiled: {', '.join(cold)}; run mapc warmup", ExitCode.REGRESSION)
    failed = [name for name in cold if not _compiled(name)]
    warm = len(kernels.MODULES) - len(failed)
    say(f"{warm} of {len(kernels.MODULES)} kernel modules are compiled")
    if failed:
        raise OutcomeError(f"not compiled: {', '.join(failed)}", ExitCode.INTERNAL)


def _compiled(name: str) -> bool:
    """Compile a module in a process of its own and say how long it took, or why it failed."""
    from mapc import kernels

    start = time.monotonic()
    process = kernels.child(name, subprocess.PIPE)
    try:
        _, errors = process.communicate()
    finally:
        process.kill()
    if process.returncode == 0:
        say(f"{name}: {time.monotonic() - start:.1f} s")
        return True
    last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["killed"]
    say(f"{name}: {one_line(last[0])}", err=True)
    return False
