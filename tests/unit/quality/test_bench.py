"""Suites as tasks, and the same records wherever they run, whoever dies on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benching import DIE_AT, MARKER, build_library, run_or_die
from mapc.errors import UnavailableError, UsageError
from mapc.quality import bench as module
from mapc.quality.bench import bench, crowding, tasks_of
from mapc.quality.journal import Journal, encode_line, read_records
from mapc.quality.running import Record, Task
from mapc.quality.suite import Suite

needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="needs the package distributed"
)
VARYING = ("seconds", "primal_integral")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def suite(library: Path) -> Suite:
    return Suite.read(library)


@pytest.fixture(scope="module")
def tasks(suite: Suite) -> list[Task]:
    return tasks_of(suite, time_limit=None, seeds=[0, 1])


@pytest.fixture(scope="module")
def serial(tasks: list[Task]) -> list[Record]:
    return bench(tasks)


def timeless(records: list[Record]) -> list[Record]:
    """All of the records but times."""
    return [msgspec.structs.replace(one, **dict.fromkeys(VARYING, 0.0)) for one in records]


# -- tasks -----------------------------------------------------------------------------------------


def test_every_instance_with_every_seed(tasks: list[Task], library: Path) -> None:
    names = ["pack", "tiny-0", "tiny-1", "tiny-2"]
    assert [(one.name, one.seed) for one in tasks] == [(n, s) for n in names for s in (0, 1)]
    assert {one.folder for one in tasks} == {str(library / k) for k in ("allocation", "bits")}
    assert all(one.best is not None and one.carried is None for one in tasks)


def test_models_are_those_of_the_index_or_the_first(tasks: list[Task]) -> None:
    named = {one.name: one.models for one in tasks}
    assert named["tiny-0"]
    assert named["tiny-1"] is None


def test_methods_of_the_index_are_for_runs_without_a_clock(suite: Suite) -> None:
    from dataclasses import replace

    entry = msgspec.structs.replace(
        suite.cases[0].entry, run=msgspec.structs.replace(suite.cases[0].entry.run, methods=("a",))
    )
    changed = replace(suite, cases=(replace(suite.cases[0], entry=entry),))
    assert tasks_of(changed, time_limit=None)[0].methods == ("a",)
    assert tasks_of(changed, time_limit=5.0)[0].methods is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": []}, "no seeds"),
        ({"methods": ["simplex"]}, "method 'simplex': unknown for allocation; expected "),
        ({"models": ["cube"]}, "formulation 'cube': unknown for allocation; expected "),
    ],
)
def test_what_a_suite_cannot_be_asked(suite: Suite, options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tasks_of(suite, **options)


@pytest.mark.parametrize(
    ("jobs", "threads", "expected"),
    [
        (1, 4, None),
        (4, 1, None),
        (2, 3, "2 jobs of 3 threads on 4 cores: they slow each other down, and times say little"),
        (1, 5, "1 job of 5 threads on 4 cores: they slow each other down, and times say little"),
    ],
)
def test_more_threads_than_cores(jobs: int, threads: int, expected: str | None) -> None:
    assert crowding(jobs, threads, 4) == expected


def test_crowding_is_told_before_the_run(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 1)
    notes: list[str] = []
    bench(tasks_of(suite, time_limit=None, workers=2)[:1], on_note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("1 job of 2 threads on 1 core:")


# -- the same everywhere ---------------------------------------------------------------------------


def test_serial_records_are_in_order(tasks: list[Task], serial: list[Record]) -> None:
    assert [(one.name, one.seed) for one in serial] == [(one.name, one.seed) for one in tasks]
    assert {one.status for one in serial} == {"optimal"}
    assert {one.to_best for one in serial} == {0.0}


def test_processes_find_the_same_and_one_killed_at_work_loses_nothing(
    tasks: list[Task], serial: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run", run_or_die)
    monkeypatch.setenv(DIE_AT, "tiny-1")
    monkeypatch.setenv(MARKER, str(tmp_path / "died"))
    path = tmp_path / "out.jsonl"
    with Journal(path) as journal:
        found = bench(tasks, executor="process", jobs=2, journal=journal)
    assert (tmp_path / "died").exists()
    assert timeless(found) == timeless(serial)
    assert sorted(map(encode_line, read_records(path))) == sorted(map(encode_line, found))


def test_a_task_that_is_given_up_is_a_failed_record(
    tasks: list[Task], serial: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_all(crew: Any, function: Any, items: Any, done: Any, gave_up: Any) -> None:
        gave_up(1, "its worker died, 3 times")
        done(0, serial[0])

    monkeypatch.setattr(module, "run_all", run_all)
    path = tmp_path / "out.jsonl"
    with Journal(path) as journal:
        found = bench(tasks[:2], journal=journal)
    assert found[0] == serial[0]
    assert (found[1].status, found[1].error) == ("failed", "its worker died, 3 times")
    assert (found[1].name, found[1].seed) == (tasks[1].name, tasks[1].seed)
    assert read_records(path) == [found[1], found[0]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler here and two worker processes, one of which dies at an instance, once."""
    from distributed import LocalCluster

    before = dict(os.environ)
    os.environ[DIE_AT] = "tiny-1"
    os.environ[MARKER] = str(tmp_path_factory.mktemp("marker") / "died")
    try:
        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
        ) as started:
            yield started.scheduler_address.replace("tcp://", "dask://")
    finally:
        os.environ.clear()
        os.environ.update(before)


@needs_dask
def test_dask_finds_the_same(cluster: str, tasks: list[Task], serial: list[Record]) -> None:
    notes: list[str] = []
    assert timeless(bench(tasks, executor=cluster, on_note=notes.append)) == timeless(serial)
    assert notes == []


@needs_dask
def test_dask_workers_need_not_see_the_suite(
    cluster: str, suite: Suite, serial: list[Record], tmp_path: Path
) -> None:
    sent = tasks_of(suite, time_limit=None, carried=True)
    moved = [msgspec.structs.replace(one, folder=str(tmp_path / "not here")) for one in sent]
    assert timeless(bench(moved, executor=cluster)) == timeless(serial[::2])


@needs_dask
def test_a_dask_worker_killed_at_work_loses_nothing(
    cluster: str, tasks: list[Task], serial: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = Path(os.environ[MARKER])
    assert not marker.exists()
    monkeypatch.setattr(module, "run", run_or_die)
    found = bench(tasks, executor=cluster)
    assert marker.exists()
    assert timeless(found) == timeless(serial)


@needs_dask
def test_a_scheduler_that_does_not_answer(
    tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mapc.quality.executors.CONNECT", 0.2)
    with pytest.raises(UnavailableError, match=r"dask://127\.0\.0\.1:9: no scheduler answers"):
        bench(tasks, executor="dask://127.0.0.1:9")


# -- journals --------------------------------------------------------------------------------------


def test_what_is_in_the_journal_is_not_run_again(
    tasks: list[Task], serial: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    lines = [encode_line(one) for one in serial]
    path.write_bytes(b"".join(lines[3:6]) + lines[6][: len(lines[6]) // 2])
    ran: list[Task] = []

    def counted(task: Task) -> Record:
        ran.append(task)
        return serial[tasks.index(task)]

    monkeypatch.setattr(module, "run", counted)
    notes: list[str] = []
    progress: list[tuple[int, int]] = []
    with Journal(path) as journal:
        found = bench(
            tasks,
            journal=journal,
            on_note=notes.append,
            on_progress=lambda now: progress.append((now.done, now.total)),
        )
    assert found == serial
    assert ran == [*tasks[:3], *tasks[6:]]
    assert progress == [(done, 8) for done in range(4, 9)]
    assert notes == [f"3 of 8 runs are in {path} already"]
    assert path.read_bytes() == b"".join([*lines[3:6], *lines[:3], *lines[6:]])
    with Journal(path) as journal:
        assert bench(tasks, journal=journal) == serial
    assert len(ran) == 5


def test_records_are_on_disk_when_the_run_is_interrupted(
    tasks: list[Task], serial: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(task: Task) -> Record:
        if task == tasks[2]:
            raise KeyboardInterrupt
        return serial[tasks.index(task)]

    monkeypatch.setattr(module, "run", interrupted)
    path = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt), Journal(path) as journal:
        bench(tasks, journal=journal)
    assert read_records(path) == serial[:2]


def test_no_tasks_are_no_records() -> None:
    assert bench([], executor="process", jobs=2) == []
