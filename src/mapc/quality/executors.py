"""Where tasks run: here, in worker processes, or on a Dask cluster; and what a lost worker costs.

All three are a `concurrent.futures.Executor` within a `Crew`, which says how many tasks to hand out
at a time and which exceptions mean that a worker is gone. `run_all` hands a lost task out again.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext
from typing import Any, Final, TypeVar

from mapc.errors import UnavailableError, UsageError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

SERIAL, PROCESS, DASK = "serial", "process", "dask://"
ATTEMPTS: Final = 3
"""How often a task may lose its worker before it is given up."""
CONNECT: Final = 10.0
"""Seconds in which a scheduler has to answer."""


class Crew:
    """An executor, and what `run_all` has to know of it."""

    executor: Executor
    lost: tuple[type[BaseException], ...] = ()
    """What a future raises whose worker is gone."""
    attempts: int = ATTEMPTS
    """Losses of one task after which it is given up."""
    together: bool = False
    """Whether one lost worker takes along all the others, and the executor."""

    def slots(self) -> int:
        """Return how many tasks to have under way at a time, 1 or more."""
        return 1

    def renew(self) -> None:
        """Replace an executor that a lost worker has broken."""

    def close(self, *, now: bool) -> None:
        """End it; ``now`` means without waiting for what runs."""
        self.executor.shutdown(wait=not now, cancel_futures=True)


class SerialExecutor(Executor):
    """Runs what is submitted at once, in this thread; Ctrl-C ends it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call the function and return its outcome as a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Serial(Crew):
    def __init__(self) -> None:
        self.executor = SerialExecutor()


# -- processes -------------------------------------------------------------------------------------


class _Tracked(SpawnContext):
    """Spawns processes and remembers them: a pool does not say whom to end."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[Any] = []

    def Process(self, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # noqa: N802
        """Return a process, not yet started."""
        made = multiprocessing.get_context("spawn").Process(*args, **kwargs)
        self.started.append(made)
        return made


class _Processes(Crew):
    lost = (BrokenProcessPool,)
    together = True

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.renew()

    def slots(self) -> int:
        return self._jobs  # no more than are worked on: a break then suspects nobody else

    def renew(self) -> None:
        self._context = _Tracked()
        self.executor = ProcessPoolExecutor(
            self._jobs, mp_context=self._context, initializer=_begin_worker
        )

    def close(self, *, now: bool) -> None:
        if now:
            for process in self._context.started:
                with contextlib.suppress(ValueError, AttributeError, OSError):
                    process.kill()
        self.executor.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# -- Dask ------------------------------------------------------------------------------------------


class _Dask(Crew):
    attempts = 1  # the scheduler itself has tried again

    def __init__(self, address: str, on_note: Callable[[str], None]) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise UnavailableError(
                f"{DASK}{address}: needs the package distributed; pip install mapc[distributed]"
            )
        distributed: Any = importlib.import_module("distributed")
        self.lost = (distributed.KilledWorker,)
        self._address = address
        try:
            self._client = distributed.Client(
                f"tcp://{address}", timeout=CONNECT, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            raise UnavailableError(
                f"{DASK}{address}: no scheduler answers: {type(error).__name__}; expected one "
                "started by `dask scheduler`"
            ) from None
        self.executor = self._client.get_executor(pure=False)
        threads = self._client.nthreads()
        if not threads:
            on_note(f"{DASK}{address}: no worker yet; tasks wait for `dask worker {address}`")
        if any(count > 1 for count in threads.values()):
            on_note(
                "workers with several threads measure tasks beside each other; expected "
                "`dask worker --nthreads 1`"
            )

    def slots(self) -> int:
        # as many again wait at the scheduler, so that no worker waits for us; workers come and go
        try:
            threads = sum(int(count) for count in self._client.nthreads().values())
            return max(1, 2 * threads)
        except OSError:
            raise UnavailableError(
                f"{DASK}{self._address}: the scheduler is gone; what was done is kept"
            ) from None

    def close(self, *, now: bool) -> None:
        with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to cancel
            self.executor.shutdown(wait=False)
        self._client.close(timeout=CONNECT)


@contextlib.contextmanager
def open_crew(
    executor: str = SERIAL, jobs: int = 1, on_note: Callable[[str], None] = lambda text: None
) -> Iterator[Crew]:
    """Lend a crew for a ``with`` block; an exception in the block ends what runs at once.

    Parameters
    ----------
    executor : str
        ``"serial"``, ``"process"``, or ``"dask://HOST:PORT"``.
    jobs : int
        Worker processes; a cluster has as many as it has.
    on_note : callable, optional
        Receives what the user should know, one line each.

    Raises
    ------
    UsageError
        For another name, or a number of jobs that does not go with it.
    UnavailableError
        If Dask is not installed, or no scheduler answers.
    """
    crew = _crew(executor, jobs, on_note)
    try:
        yield crew
    except BaseException:
        crew.close(now=True)
        raise
    crew.close(now=False)


def check_executor(executor: str, jobs: int) -> None:
    """Refuse a name that is no executor, and jobs that do not go with it.

    Raises
    ------
    UsageError
    """
    if jobs < 1:
        raise UsageError(f"jobs {jobs}: expected at least 1")
    address = executor.removeprefix(DASK)
    host, _, port = address.rpartition(":")
    named = executor.startswith(DASK) and host and port.isascii() and port.isdigit()
    if executor not in (SERIAL, PROCESS) and not named:
        raise UsageError(f"executor {executor!r}: expected serial, process or dask://HOST:PORT")
    if jobs > 1 and executor != PROCESS:
        raise UsageError(f"jobs {jobs}: does not go with the executor {executor}; expected process")


def _crew(executor: str, jobs: int, on_note: Callable[[str], None]) -> Crew:
    check_executor(executor, jobs)
    if executor == SERIAL:
        return _Serial()
    if executor == PROCESS:
        return _Processes(jobs)
    return _Dask(executor.removeprefix(DASK), on_note)


# -- running ---------------------------------------------------------------------------------------


def run_all(
    crew: Crew,
    function: Callable[[Item], Outcome],
    items: Sequence[Item],
    done: Callable[[int, Outcome], None],
    gave_up: Callable[[int, str], None],
) -> None:
    """Run a function on every item; each ends in one call of ``done`` or of ``gave_up``.

    A worker that dies costs its task an attempt. Processes of one pool die together, so that
    nobody can say whose fault it was: all tasks under way are tried again, each alone, before
    the others go on.

    Parameters
    ----------
    crew : Crew
    function : callable
        Importable by workers.
    items : sequence
    done : callable
        Receives position and outcome, in the order in which they come.
    gave_up : callable
        Receives position and reason of an item that lost its worker too often, or whose
        function raised.

    Raises
    ------
    UnavailableError
        If the executor as a whole is gone; what has been done has been told.
    """
    _Shift(crew, function, items, done, gave_up).work()


class _Shift:
    """The state of `run_all`."""

    def __init__(
        self,
        crew: Crew,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        done: Callable[[int, Any], None],
        gave_up: Callable[[int, str], None],
    ) -> None:
        self.crew, self.function, self.items = crew, function, items
        self.done, self.gave_up = done, gave_up
        self.waiting = deque(range(len(items)))
        self.suspects: deque[int] = deque()
        self.running: dict[Future[Any], int] = {}
        self.losses: Counter[int] = Counter()

    def work(self) -> None:
        while self.waiting or self.suspects or self.running:
            if not self._hand_out():
                self._recover([])
                continue
            finished, _ = wait(self.running, return_when=FIRST_COMPLETED)
            lost = [at for future in finished if (at := self._take(future)) is not None]
            if lost:
                self._recover(lost)

    def _hand_out(self) -> bool:
        """Submit what there is room for; False if the executor is broken."""
        while True:
            if self.suspects:
                queue, room = self.suspects, 1
            else:
                queue, room = self.waiting, self.crew.slots()
            if not queue or len(self.running) >= room:
                return True
            try:
                future = self.crew.executor.submit(self.function, self.items[queue[0]])
            except self.crew.lost:
                return False
            self.running[future] = queue.popleft()

    def _take(self, future: Future[Any]) -> int | None:
        """Pass on how a future ended; return the item if its worker was lost."""
        at = self.running.pop(future)
        try:
            outcome = future.result()
        except self.crew.lost:
            return at
        except CancelledError:
            raise UnavailableError("the executor is gone; what was done is kept") from None
        except Exception as error:
            self.gave_up(at, f"{type(error).__name__}: {error}")
            return None
        self.done(at, outcome)
        return None

    def _recover(self, lost: list[int]) -> None:
        """Begin with a new executor; give up what was lost too often, retry the rest alone."""
        if self.crew.together:
            # what ended before keeps its outcome
            wait(self.running)
            lost += [at for one in list(self.running) if (at := self._take(one)) is not None]
            self.crew.renew()
        for at in sorted(lost):
            self.losses[at] += 1
            if self.losses[at] < self.crew.attempts:
                self.suspects.append(at)
            else:
                times = "" if self.losses[at] == 1 else f", {self.losses[at]} times"
                self.gave_up(at, f"its worker died{times}")
