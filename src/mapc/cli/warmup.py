"""``mapc warmup``: compile the kernels, so that no run has to wait for them."""

from __future__ import annotations

import os
import tempfile
import time

import click

from mapc.cli.outcome import OutcomeError
from mapc.cli.output import one_line, say
from mapc.errors import ExitCode


@click.command()
@click.option("--check", is_flag=True, help="Compile nothing; exit code 7 if a kernel is cold.")
def warmup(check: bool) -> None:
    """Compile the kernels once, a few seconds each, on all cores.

    Without it, the first run that needs a kernel compiles it on the side.
    """
    from mapc import kernels

    if kernels.plain():
        say("nothing to compile: NUMBA_DISABLE_JIT is set")
        return
    cold = [name for name in kernels.MODULES if not kernels.warm(name)]
    if check and cold:
        raise OutcomeError(f"not compiled: {', '.join(cold)}; run mapc warmup", ExitCode.REGRESSION)
    failed = _failures(cold)
    warm = len(kernels.MODULES) - len(failed)
    say(f"{warm} of {len(kernels.MODULES)} kernel modules are compiled")
    if failed:
        raise OutcomeError(f"not compiled: {', '.join(failed)}", ExitCode.INTERNAL)


class _Child:
    """A process that compiles a module."""

    def __init__(self, name: str) -> None:
        from mapc import kernels

        self.name, self.start = name, time.monotonic()
        # a pipe that nobody reads could fill up
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self.process = kernels.child(name, self.errors.fileno())

    def ended(self) -> bool:
        return self.process.poll() is not None

    def report(self) -> bool:
        """Say how long it took, or why it failed; return whether it succeeded."""
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        self.errors.close()
        if self.process.returncode == 0:
            say(f"{self.name}: {time.monotonic() - self.start:.1f} s")
            return True
        say(f"{self.name}: {one_line((said or ['killed'])[-1])}", err=True)
        return False

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.errors.close()


def _failures(cold: list[str]) -> list[str]:
    """Compile modules, as many at a time as there are cores; return those that failed.

    A module waits for those it calls, for it would compile them once more.
    """
    from mapc import kernels

    calls = {name: set(kernels.callees(name)) for name in cold}
    waiting, running, failed = list(cold), dict[str, _Child](), []
    try:
        while waiting or running:
            unfinished = {*waiting, *running}
            ready = [name for name in waiting if not calls[name] & unfinished]
            for name in ready[: _cores() - len(running)]:
                waiting.remove(name)
                running[name] = _Child(name)
            time.sleep(kernels.POLL)
            for name in [name for name, child in running.items() if child.ended()]:
                if not running.pop(name).report():
                    failed.append(name)
    finally:
        for child in running.values():
            child.end()
    return [name for name in cold if name in failed]


def _cores() -> int:
    """Return how many processes may run at once."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1
