"""One measurement: a `Task` says what to solve and how, `run` solves it, a `Record` says what came.

Both travel between processes and machines. A task names its instance by hash: whoever runs it
finds the instance in the suite's folder, in a library of its own, or in the task itself.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import field

from mapc.errors import InstanceError, MapcError
from mapc.instances.columns import Strict
from mapc.quality.index import Number, Size, Source
from mapc.quality.machine import machine, versions
from mapc.quality.measures import primal_integral, to_best
from mapc.quality.suite import Case, Suite, load

LIBRARY: Final = "MAPC_LIBRARY"
"""Environment variable: where a worker keeps libraries; folders, separated like those of PATH."""
FAILED: Final = "failed"
"""Status of a record whose task ended with an error."""


class Task(Strict, frozen=True, kw_only=True):
    """What to measure.

    Attributes
    ----------
    kind, name, sha256 : str
        The instance: family, name in its index, content hash.
    source : Source
        As the index has it.
    folder : str or None
        Folder of the index, as the process that made the task sees it.
    carried : bytes or None
        The file of the source, compressed by `carry`, for who does not see that folder.
    best : number or None
        Best objective known, which the measures refer to.
    best_bound : number or None
        Best bound known.
    without_plan : bool
        Whether it is proven that there is no plan.
    seed : int
    time_limit : float or None
        Seconds; None: no clock.
    methods, backends : tuple of str or None
        As `mapc.solve` takes them; None: the default ones.
    workers : int
        Threads for each solver.
    models : tuple of str or None
        Formulations whose size to record; None: the family's first that takes the problem.
    """

    kind: str
    name: str
    sha256: str
    source: Source
    folder: str | None = None
    carried: bytes | None = None
    best: Number | None = None
    best_bound: Number | None = None
    without_plan: bool = False
    seed: int = 0
    time_limit: float | None = None
    methods: tuple[str, ...] | None = None
    backends: tuple[str, ...] | None = None
    workers: int = 1
    models: tuple[str, ...] | None = None

    @property
    def label(self) -> str:
        """Family and name."""
        return f"{self.kind}/{self.name}"


class Record(Strict, frozen=True, kw_only=True):
    """What a run of a task found; one line of a journal.

    Attributes
    ----------
    kind, name, sha256, best, best_bound, without_plan
        As in the task: what is measured, and what was known of it.
    seed, time_limit, methods, backends, workers
        As in the task: how.
    status : str
        ``optimal``, ``feasible``, ``infeasible``, ``unknown``, or ``failed``.
    objective, bound : number or None
        In the family's unit.
    gap : float or None
        Between the two, as a part of the objective.
    to_best : float or None
        `mapc.quality.measures.to_best`.
    primal_integral : float or None
        Seconds, up to the time limit; `mapc.quality.measures.primal_integral`.
    seconds : float or None
        Wall time of the solve alone.
    models : mapping
        Rows, columns and nonzeros by formulation.
    method, bound_method : str
        Who found the plan, and who proved the bound.
    reason : str
        Why there is no plan.
    notes : tuple of str
        What failed on the way.
    versions, machine : mapping
        `mapc.quality.machine`, of where it ran.
    error : str or None
        Why the task failed, one line.
    """

    schema: Literal["mapc/bench"] = "mapc/bench"
    version: Literal[1] = 1
    kind: str
    name: str
    sha256: str
    best: Number | None = None
    best_bound: Number | None = None
    without_plan: bool = False
    seed: int = 0
    time_limit: float | None = None
    methods: tuple[str, ...] | None = None
    backends: tuple[str, ...] | None = None
    workers: int = 1
    status: str
    objective: Number | None = None
    bound: Number | None = None
    gap: float | None = None
    to_best: float | None = None
    primal_integral: float | None = None
    seconds: float | None = None
    models: dict[str, Size] = field(default_factory=dict)
    method: str = ""
    bound_method: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def label(self) -> str:
        """Family and name."""
        return f"{self.kind}/{self.name}"


ASKED: Final = (
    "kind",
    "name",
    "sha256",
    "best",
    "seed",
    "time_limit",
    "methods",
    "backends",
    "workers",
)
"""What a task asks for: a record with the same values answers it."""


def run(task: Task) -> Record:
    """Run a task; whatever goes wrong is the record's ``error``.

    Raises
    ------
    KeyboardInterrupt
        If it is stopped: a run cut short is no measurement.
    """
    from mapc import api

    try:
        problem = find(task)
        result = api.solve(
            problem,
            time_limit=task.time_limit,
            methods=task.methods,
            backends=task.backends,
            seed=task.seed,
            workers=task.workers,
        )
        if result.interrupted:
            raise KeyboardInterrupt
        sizes, refused = _sizes(problem, task.models)
    except Exception as error:  # one instance must not cost the suite
        return failed(task, error)
    return _record(
        task,
        status=result.status.value,
        objective=_plain(result.objective),
        bound=_plain(result.bound),
        gap=result.gap,
        to_best=to_best(result.objective, task.best),
        primal_integral=_integral(task, result),
        seconds=result.seconds,
        models=sizes,
        method=result.method,
        bound_method=result.bound_method,
        reason=result.reason,
        notes=(*result.notes, *refused),
    )


def failed(task: Task, error: BaseException | str) -> Record:
    """Return the record of a task that ended with an error."""
    if isinstance(error, BaseException):
        said = str(error) if isinstance(error, MapcError) else f"{type(error).__name__}: {error}"
    else:
        said = error
    return _record(task, status=FAILED, error=" ".join(said.split()))


def _record(task: Task, **found: Any) -> Record:
    copied = {name: getattr(task, name) for name in (*ASKED, "best_bound", "without_plan")}
    return Record(**copied, **found, versions=versions(), machine=machine())


def _plain(value: Any) -> Number | None:
    """Return a number of Python for one of numpy."""
    number: Number | None = value.item() if hasattr(value, "item") else value
    return number


def _integral(task: Task, result: Any) -> float | None:
    if result.status.value == "infeasible":
        return None
    return primal_integral(result.trajectory, task.best, result.seconds, task.time_limit)


def _sizes(problem: Any, names: tuple[str, ...] | None) -> tuple[dict[str, Size], list[str]]:
    """Return sizes by formulation, and why those that were named have none."""
    from mapc.models import family_of
    from mapc.quality.ceilings import model_sizes

    found: dict[str, Size] = {}
    refused = []
    for name in family_of(problem).formulations if names is None else names:
        try:
            found.update(model_sizes(problem, [name]))
        except MapcError as error:
            refused.append(f"formulation {name}: {error}")
        if names is None and found:
            break
    return found, refused if names is not None else []


# -- finding the instance --------------------------------------------------------------------------


def carry(case: Case) -> bytes | None:
    """Return the file of a case for `Task.carried`; None for what a generator makes.

    Raises
    ------
    InstanceError
        If it cannot be read.
    """
    from mapc.files import read_bytes

    if case.entry.source.file is None:
        return None
    return zlib.compress(read_bytes(case.folder.joinpath(*case.entry.source.file.split("/"))))


def find(task: Task) -> Any:
    """Return the problem of a task: the first place wins that has one of its hash.

    Tried are the source itself in the suite's folder, the libraries that `LIBRARY` names, and
    the file that the task carries.

    Raises
    ------
    InstanceError
        If none has it: what is wrong with the first.
    """
    from mapc.instances import content_hash

    first: str | None = None
    for look in _places(task):
        try:
            problem = look()
            sha256 = content_hash(problem)
        except MapcError as error:
            first = first or str(error)
            continue
        if sha256 == task.sha256:
            return problem
        first = first or f"its source gives another problem, {sha256}; expected {task.sha256}"
    raise InstanceError(first or "found nowhere", f"instance {task.label!r}")


def _places(task: Task) -> Iterator[Callable[[], Any]]:
    if task.folder is not None or task.source.file is None:
        yield lambda: load(task.source, task.folder or "", task.kind)
    for path in filter(None, os.environ.get(LIBRARY, "").split(os.pathsep)):
        yield lambda path=path: _of_library(path, task)  # type: ignore[misc]
    if task.carried is not None:
        yield lambda: _unpacked(task)


def _of_library(path: str, task: Task) -> Any:
    for case in Suite.read(path):
        if case.entry.sha256 == task.sha256 and not case.missing:
            return case.problem()
    raise InstanceError(f"no instance of the hash {task.sha256}", path, task.label)


def _unpacked(task: Task) -> Any:
    assert task.carried is not None
    assert task.source.file is not None
    name = task.source.file.rpartition("/")[2]
    with tempfile.TemporaryDirectory() as folder:
        # as a file again: its ending says what it is
        (Path(folder) / name).write_bytes(zlib.decompress(task.carried))
        return load(msgspec.structs.replace(task.source, file=name), folder, task.kind)
