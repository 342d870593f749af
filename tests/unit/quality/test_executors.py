"""Crews: every item ends once, in order or not, whatever happens to workers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

import pytest

from benching import double
from mapc.errors import UnavailableError, UsageError
from mapc.quality.executors import Crew, check_executor, open_crew, run_all


class Outcomes:
    """Collects what `run_all` tells."""

    def __init__(self) -> None:
        self.done: dict[int, Any] = {}
        self.lost: dict[int, str] = {}

    def take(self, at: int, outcome: Any) -> None:
        assert at not in self.done | self.lost
        self.done[at] = outcome

    def give_up(self, at: int, reason: str) -> None:
        assert at not in self.done | self.lost
        self.lost[at] = reason


def outcomes(crew: Crew, function: Any, items: list[Any]) -> Outcomes:
    found = Outcomes()
    run_all(crew, function, items, found.take, found.give_up)
    return found


@pytest.mark.parametrize(("executor", "jobs"), [("serial", 1), ("process", 2)])
def test_every_item_is_run_once(executor: str, jobs: int) -> None:
    with open_crew(executor, jobs) as crew:
        found = outcomes(crew, double, [1, "wrong", 2.5, [3]])
    assert found.done == {0: 2, 2: 5.0, 3: [3, 3]}
    assert found.lost == {1: "ValueError: wrong"}


def test_serial_runs_here_and_in_order() -> None:
    seen: list[int] = []
    with open_crew("serial") as crew:
        outcomes(crew, seen.append, [3, 1, 2])
    assert seen == [3, 1, 2]


def test_ctrl_c_ends_a_serial_run() -> None:
    def interrupt(item: int) -> int:
        if item == 1:
            raise KeyboardInterrupt
        return item

    found = Outcomes()
    with pytest.raises(KeyboardInterrupt), open_crew("serial") as crew:
        run_all(crew, interrupt, [0, 1, 2], found.take, found.give_up)
    assert found.done == {0: 0}


def test_a_task_that_kills_every_worker_costs_only_itself() -> None:
    with open_crew("process", 2) as crew:
        crew.attempts = 2
        found = outcomes(crew, double, [None, 1, 2])
    assert found.done == {1: 2, 2: 4}
    assert found.lost == {0: "its worker died, 2 times"}


def test_a_task_is_given_up_after_three_workers() -> None:
    crew = Scripted(LostError(), LostError(), LostError(), "run")
    found = outcomes(crew, double, [1, 2])
    assert found.lost == {0: "its worker died, 3 times"}
    assert found.done == {1: 4}


# -- a crew in the hands of the test ---------------------------------------------------------------


class LostError(Exception):
    pass


class Script(Executor):
    """Ends every submission at once, as the script says: an exception, or ``"run"``."""

    def __init__(self, script: Iterator[Any], submitted: list[Any]) -> None:
        self.script, self.submitted = script, submitted

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        step = next(self.script)
        if step == "refuse":
            raise LostError
        self.submitted.append(args[0])
        future: Future[Any] = Future()
        if step == "run":
            future.set_result(fn(*args))
        else:
            future.set_exception(step)
        return future


class Scripted(Crew):
    lost = (LostError,)
    together = True

    def __init__(self, *steps: Any, slots: int = 1) -> None:
        self.submitted: list[Any] = []
        self.executor = Script(iter(steps), self.submitted)
        self.renewed, self.room = 0, slots

    def slots(self) -> int:
        return self.room

    def renew(self) -> None:
        self.renewed += 1


def test_what_ended_before_a_break_keeps_its_outcome_and_the_rest_goes_alone() -> None:
    crew = Scripted("run", LostError(), "run", "run", "run", slots=3)
    found = outcomes(crew, double, [1, 2, 3, 4])
    assert found.done == {0: 2, 1: 4, 2: 6, 3: 8}
    assert crew.submitted == [1, 2, 3, 2, 4]
    assert crew.renewed == 1


def test_a_pool_that_broke_before_it_took_a_task_is_replaced() -> None:
    crew = Scripted("refuse", "run", "run")
    found = outcomes(crew, double, [1, 2])
    assert found.done == {0: 2, 1: 4}
    assert (crew.renewed, crew.submitted) == (1, [1, 2])


def test_a_scheduler_that_is_gone_ends_the_run() -> None:
    with pytest.raises(UnavailableError, match="executor is gone"):
        outcomes(Scripted("run", CancelledError()), double, [1, 2])


class Slow(Executor):
    """Ends the oldest future when the second is there, and all with the last."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.futures: list[Future[Any]] = []
        self.most = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.futures.append(Future())
        under_way = [one for one in self.futures if not one.done()]
        self.most = max(self.most, len(under_way))
        for one in under_way if len(self.futures) == self.total else under_way[:-1]:
            one.set_result(None)
        return self.futures[-1]


def test_only_as_many_are_under_way_as_there_are_slots() -> None:
    crew = Scripted(slots=2)
    crew.executor = slow = Slow(5)
    found = outcomes(crew, double, [0, 1, 2, 3, 4])
    assert len(found.done) == len(slow.futures) == 5
    assert slow.most == 2


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("executor", "jobs", "message"),
    [
        ("threads", 1, "expected serial, process or dask://HOST:PORT"),
        ("dask://", 1, "expected serial, process or dask://HOST:PORT"),
        ("dask://host", 1, "expected serial, process or dask://HOST:PORT"),
        ("dask://host:port", 1, "expected serial, process or dask://HOST:PORT"),
        ("serial", 2, "does not go with the executor serial"),
        ("dask://host:1", 2, "does not go with the executor dask://host:1"),
        ("process", 0, "expected at least 1"),
    ],
)
def test_what_is_no_executor(executor: str, jobs: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_executor(executor, jobs)


def test_dask_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with (
        pytest.raises(UnavailableError, match=r"pip install mapc\[distributed\]"),
        open_crew("dask://127.0.0.1:1"),
    ):
        pass


def test_importing_loads_no_dask() -> None:
    import subprocess

    script = "import sys, mapc.quality.bench; sys.exit('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
