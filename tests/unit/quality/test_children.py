"""Work in processes that can be given up: answers, ends and deadlines."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from mapc.quality.children import Died, Late, each


def work(thing: tuple[str, int]) -> int:
    what, number = thing
    if what == "hang":
        time.sleep(3600)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exit":
        os._exit(3)
    return number


def results(things: list[tuple[str, int]], **options: float) -> dict[int, object]:
    return dict(each(work, things, **options))  # type: ignore[arg-type]


def test_every_thing_is_answered_once() -> None:
    found = list(each(work, [("add", n) for n in range(5)], jobs=2))
    assert sorted(found) == [(n, n) for n in range(5)]


def test_no_things_need_no_process() -> None:
    assert list(each(work, [], jobs=4)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_dies_costs_nothing_else(jobs: int) -> None:
    found = results([("add", 0), ("die", 1), ("exit", 2), ("add", 3)], jobs=jobs)
    assert found == {0: 0, 1: Died(-signal.SIGKILL), 2: Died(3), 3: 3}


def test_one_that_is_late_is_given_up() -> None:
    found = results([("hang", 0), ("add", 1)], jobs=1, wall=0.5)
    assert found[0] == Late(0.5)
    assert found[1] in (1, Late(0.5))


def test_who_stops_listening_leaves_no_process_behind() -> None:
    answers = each(work, [("add", 0), ("hang", 1), ("hang", 2)], jobs=2)
    assert next(answers) == (0, 0)
    assert multiprocessing.active_children()
    answers.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []
