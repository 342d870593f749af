"""A suite as tasks, and their records: run somewhere, kept in a journal, given back in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from mapc.errors import MapcError, UsageError
from mapc.quality.executors import DASK, PROCESS, SERIAL, check_executor, open_crew, run_all
from mapc.quality.journal import Journal
from mapc.quality.machine import cores
from mapc.quality.running import Record, Task, carry, failed, run
from mapc.quality.suite import Case, Suite

TIME_LIMIT: Final = 10.0
"""Seconds for each task, unless said otherwise."""
ALL: Final = "all"
"""As the name of a formulation: all that there are."""


@dataclass(frozen=True)
class Progress:
    """What a bench has come to.

    Attributes
    ----------
    record : Record
        The one that was just made.
    done, total : int
        Tasks; those that a journal already had are done.
    """

    record: Record
    done: int
    total: int


def tasks_of(
    suite: Suite,
    *,
    seeds: Sequence[int] = (0,),
    time_limit: float | None = TIME_LIMIT,
    methods: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    workers: int = 1,
    models: Sequence[str] | None = None,
    carried: bool = False,
) -> list[Task]:
    """Return the tasks of a suite: every instance with every seed.

    Parameters
    ----------
    suite : Suite
    seeds : sequence of int
    time_limit : float or None
        Seconds for each. None: no clock; without ``methods`` an instance is then solved by those
        that its index names, as the gate does.
    methods, backends, workers
        As `mapc.solve` takes them.
    models : sequence of str, optional
        Formulations whose size to record, `ALL` for all; by default those whose size the index
        keeps, or else the family's first that takes the instance.
    carried : bool
        Tasks carry the files of instances, for machines that do not see the suite.

    Raises
    ------
    UsageError
        For methods or formulations that a family of the suite does not have, or no seed.
    """
    if not seeds:
        raise UsageError("no seeds; expected one or more")
    for kind in {case.kind: None for case in suite}:
        _check_names(kind, methods, models)
    return [
        Task(
            kind=case.kind,
            name=case.name,
            sha256=case.entry.sha256,
            source=case.entry.source,
            folder=str(case.folder.resolve()),
            carried=_carried(case) if carried else None,
            **_known(case),
            seed=seed,
            time_limit=time_limit,
            methods=_methods(case, methods, time_limit),
            backends=None if backends is None else tuple(backends),
            workers=workers,
            models=_models(case, models),
        )
        for case in suite
        for seed in dict.fromkeys(seeds)
    ]


def bench(
    tasks: Sequence[Task],
    *,
    executor: str = SERIAL,
    jobs: int = 1,
    journal: Journal | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> list[Record]:
    """Run tasks and return their records, in the order of the tasks.

    Parameters
    ----------
    tasks : sequence of Task
    executor : str
        ``"serial"``, ``"process"``, or ``"dask://HOST:PORT"``. Processes are spawned: a script
        that asks for them needs ``if __name__ == "__main__":``.
    jobs : int
        Worker processes.
    journal : Journal, optional
        Open; what it has is not run again, and every record goes into it as it comes.
    on_progress : callable, optional
        Receives a `Progress` after every task.
    on_note : callable, optional
        Receives what the user should know, one line each.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C; what runs is ended, and the journal has what was done.
    UsageError
        For an executor that there is not, or a journal that cannot be written.
    UnavailableError
        For a cluster that does not answer, or is gone.
    """
    check_executor(executor, jobs)
    found: dict[int, Record] = journal.done(tasks) if journal else {}
    if found:
        on_note(f"{len(found)} of {len(tasks)} runs are in {journal and journal.path} already")
    left = [at for at in range(len(tasks)) if at not in found]
    threads = max((task.workers for task in tasks), default=1)
    if left and not executor.startswith(DASK):
        crowded = crowding(jobs if executor == PROCESS else 1, threads)
        if crowded:
            on_note(crowded)

    def done(at: int, record: Record) -> None:
        found[left[at]] = record
        if journal:
            journal.append(record)
        on_progress(Progress(record, len(found), len(tasks)))

    def gave_up(at: int, reason: str) -> None:
        done(at, failed(tasks[left[at]], reason))

    with open_crew(executor, jobs, on_note) if left else nullcontext() as crew:
        if crew is not None:
            run_all(crew, run, [tasks[at] for at in left], done, gave_up)
    return [found[at] for at in range(len(tasks))]


def crowding(jobs: int, threads: int, available: int | None = None) -> str | None:
    """Return a warning where jobs times threads exceed the cores; None where they do not.

    Parameters
    ----------
    jobs, threads : int
        Tasks at a time, and threads of the solver of each.
    available : int, optional
        Cores; by default those that this process may use.
    """
    have = cores() if available is None else available
    if jobs * threads <= have:
        return None
    return (
        f"{_count(jobs, 'job')} of {_count(threads, 'thread')} on {_count(have, 'core')}: they "
        "slow each other down, and times say little"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _known(case: Case) -> dict[str, Any]:
    best = case.entry.best
    if best is None:
        return {}
    return {
        "best": best.objective,
        "best_bound": best.bound,
        "without_plan": best.proven and best.objective is None,
    }


def _carried(case: Case) -> bytes | None:
    try:
        return None if case.missing else carry(case)
    except MapcError:
        return None  # whoever runs it will say what is wrong


def _methods(
    case: Case, methods: Sequence[str] | None, time_limit: float | None
) -> tuple[str, ...] | None:
    if methods is not None:
        return tuple(methods)
    return case.entry.run.methods if time_limit is None else None


def _models(case: Case, models: Sequence[str] | None) -> tuple[str, ...] | None:
    from mapc.models import family

    if models is None:
        return tuple(case.entry.gate.models) or None
    return tuple(family(case.kind).formulations) if ALL in models else tuple(models)


def _check_names(kind: str, methods: Sequence[str] | None, models: Sequence[str] | None) -> None:
    from mapc.models import family

    one = family(kind)
    known = {
        "method": ([method.name for method in one.methods], methods),
        "formulation": ([*one.formulations, ALL], models),
    }
    for what, (names, asked) in known.items():
        for name in asked or ():
            if name not in names:
                raise UsageError(
                    f"{what} {name!r}: unknown for {kind}; expected {', '.join(names)}, or "
                    "another kind"
                )
