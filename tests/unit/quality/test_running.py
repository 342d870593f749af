"""Tasks: what is found where, what a record says, and that a failure is a record, too."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

import mapc
from benching import build_library
from mapc.errors import InstanceError
from mapc.instances import content_hash
from mapc.quality import running
from mapc.quality.bench import tasks_of
from mapc.quality.running import LIBRARY, Record, Task, find, run
from mapc.quality.suite import Suite
from mapc.solvers.base import Status
from mapc.solvers.result import Result


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("library"))


def task(library: Path, name: str, **options: Any) -> Task:
    options = {"time_limit": None, "carried": False, **options}
    return tasks_of(Suite.read(library, names=[name]), **options)[0]


def other(one: Task, **changes: Any) -> Task:
    return msgspec.structs.replace(one, **changes)


def test_a_record_says_what_a_solve_finds(library: Path) -> None:
    one = task(library, "tiny-1")
    found = run(one)
    result = mapc.solve(find(one), time_limit=None)
    assert found.status == "optimal"
    assert (found.objective, found.bound) == (result.objective, result.bound)
    assert (found.gap, found.to_best) == (0.0, 0.0)
    assert (found.method, found.bound_method) == (result.method, result.bound_method)
    assert (found.kind, found.name, found.sha256) == ("bits", "tiny-1", one.sha256)
    assert found.best == result.objective
    assert found.seconds is not None
    assert found.primal_integral is not None
    assert 0 <= found.primal_integral <= found.seconds
    assert found.versions["mapc"] == mapc.__version__
    assert found.versions["highspy"]
    assert found.machine["cores"] >= 1
    assert found.error is None


def test_sizes_of_models_are_those_of_lowering(library: Path) -> None:
    one = task(library, "tiny-1")
    problem = find(one)
    first = next(iter(mapc.models.family("bits").formulations))
    counts = mapc.lower(problem, first)[0].statistics()
    found = run(one).models
    assert list(found) == [first]
    assert (found[first].rows, found[first].columns) == (counts["rows"], counts["columns"])
    assert found[first].nonzeros == counts["nonzeros"]


def test_a_named_formulation_that_does_not_apply_is_a_note(library: Path) -> None:
    found = run(task(library, "tiny-1", models=["all"]))
    assert found.error is None
    named = set(mapc.models.family("bits").formulations)
    refused = {name for name in named if any(f"formulation {name}:" in n for n in found.notes)}
    assert set(found.models) | refused == named
    assert set(found.models) & refused == set()


def test_seed_limit_and_methods_are_handed_on(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def solve(problem: Any, **options: Any) -> Result:
        asked.update(options)
        return Result("bits", Status.UNKNOWN, reason="nothing was tried")

    monkeypatch.setattr("mapc.api.solve", solve)
    found = run(
        task(
            library,
            "tiny-1",
            time_limit=3.0,
            seeds=[7],
            methods=["greedy"],
            backends=["highs"],
            workers=2,
        )
    )
    assert asked == {
        "time_limit": 3.0,
        "methods": ("greedy",),
        "backends": ("highs",),
        "seed": 7,
        "workers": 2,
    }
    assert (found.status, found.reason) == ("unknown", "nothing was tried")
    assert found.primal_integral == 3.0
    assert found.to_best is None


def test_an_error_is_a_record(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def solve(problem: Any, **options: Any) -> Result:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("mapc.api.solve", solve)
    found = run(task(library, "tiny-1"))
    assert (found.status, found.error) == ("failed", "RuntimeError: two lines")
    assert found.objective is None


def test_a_run_cut_short_is_no_record(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def solve(problem: Any, **options: Any) -> Result:
        return Result("bits", Status.UNKNOWN, interrupted=True)

    monkeypatch.setattr("mapc.api.solve", solve)
    with pytest.raises(KeyboardInterrupt):
        run(task(library, "tiny-1"))


# -- finding the instance --------------------------------------------------------------------------


def test_what_is_generated_needs_no_folder(library: Path) -> None:
    one = other(task(library, "tiny-2"), folder=None)
    assert content_hash(find(one)) == one.sha256


def test_a_library_of_the_worker_is_asked_by_hash(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(library, moved)
    one = other(task(library, "pack"), folder=str(tmp_path / "not here"), name="renamed")
    with pytest.raises(InstanceError, match=r"pack\.json: cannot be read"):
        find(one)
    monkeypatch.setenv(LIBRARY, os.pathsep.join([str(tmp_path / "nothing"), str(moved)]))
    assert content_hash(find(one)) == one.sha256


def test_else_the_task_brings_the_file_along(library: Path, tmp_path: Path) -> None:
    one = other(task(library, "pack", carried=True), folder=str(tmp_path / "not here"))
    sent = pickle.loads(pickle.dumps(one))
    assert content_hash(find(sent)) == one.sha256


def test_a_file_that_is_carried_is_believed_as_little_as_others(
    library: Path, tmp_path: Path
) -> None:
    one = task(library, "pack", carried=True)
    wrong = other(one, folder=None, sha256="0" * 64)
    with pytest.raises(InstanceError, match="gives another problem"):
        find(wrong)
    assert "gives another problem" in str(run(wrong).error)


def test_another_problem_under_the_name_is_refused(library: Path) -> None:
    one = other(task(library, "tiny-2"), sha256="0" * 64)
    found = run(one)
    assert found.status == "failed"
    assert "gives another problem" in str(found.error)


def test_tasks_and_records_travel(library: Path) -> None:
    one = task(library, "tiny-0")
    assert pickle.loads(pickle.dumps(one)) == one
    found = run(one)
    assert pickle.loads(pickle.dumps(found)) == found
    assert msgspec.json.decode(msgspec.json.encode(found), type=Record) == found


def test_a_failed_record_keeps_what_was_asked(library: Path) -> None:
    one = task(library, "tiny-0", seeds=[3])
    found = running.failed(one, "its worker died")
    assert all(getattr(found, name) == getattr(one, name) for name in running.ASKED)
    assert found.error == "its worker died"
