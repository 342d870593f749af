"""Suites: which cases they hold, what a case gives, and every fault that checking finds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.errors import InstanceError, UsageError
from mapc.instances import content_hash
from mapc.quality.index import Source
from mapc.quality.recording import record
from mapc.quality.suite import Suite, check_suite

OPTIONS = {"groups": 4, "formats": 3}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two families: generated bits with budgets, an allocation problem in a file."""
    folder = tmp_path_factory.mktemp("library")
    for seed, tier in ((0, 2), (1, 3)):
        record(
            folder / "bits",
            f"tiny-{seed}",
            source=Source(generate={**OPTIONS, "seed": seed}, budgets=("size=4bpw",)),
            kind="bits",
            origin="generated",
            tier=tier,
            time_limit=5.0 if tier == 3 else None,
        )
    packing = mapc.generate("allocation", buffers=5, capacity=16, steps=16)
    record(folder / "allocation", "pack", problem=packing, origin="generated", methods=["greedy"])
    return folder


@pytest.fixture
def library(built: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    for path in built.rglob("*.json"):
        target = tmp_path / path.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


def edit(path: Path, change: Any) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def plan_file(library: Path, kind: str, name: str) -> Path:
    index = json.loads((library / kind / "index.json").read_text())
    best = next(one["best"] for one in index["instances"] if one["name"] == name)
    return library / kind / best["plan"]


# -- reading ---------------------------------------------------------------------------------------


def test_a_folder_of_folders_is_read_by_name(built: Path) -> None:
    suite = Suite.read(built)
    assert [one.label for one in suite] == ["allocation/pack", "bits/tiny-0", "bits/tiny-1"]
    assert [one.name for one in suite.folders] == ["allocation", "bits"]


@pytest.mark.parametrize("path", ["bits", "bits/index.json"])
def test_one_index_is_a_suite(built: Path, path: str) -> None:
    assert [one.name for one in Suite.read(built / path)] == ["tiny-0", "tiny-1"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"names": ["tiny-1"]}, ["bits/tiny-1"]),
        ({"names": ["bits/tiny-0", "pack"]}, ["allocation/pack", "bits/tiny-0"]),
        ({"tiers": [2]}, ["allocation/pack", "bits/tiny-0"]),
        ({"kinds": ["allocation"]}, ["allocation/pack"]),
        ({"kinds": ["bits"], "tiers": [1]}, []),
    ],
)
def test_a_part_of_a_suite(built: Path, choice: dict[str, Any], expected: list[str]) -> None:
    assert [one.label for one in Suite.read(built, **choice)] == expected


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"names": ["tiny-9"]}, "instance 'tiny-9': not in"),
        ({"tiers": [4]}, "tier 4: expected 1, 2 or 3"),
        ({"kinds": ["sudoku"]}, "kind 'sudoku': no such family"),
    ],
)
def test_a_choice_of_nothing_is_refused(built: Path, choice: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Suite.read(built, **choice)


def test_no_library(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match=r"no library; expected a folder with an index\.json"):
        Suite.read(tmp_path)
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(InstanceError, match="no index of a library"):
        Suite.read(tmp_path / "net.json")


# -- cases -----------------------------------------------------------------------------------------


def test_a_case_generates_its_problem_under_its_budgets(built: Path) -> None:
    (case,) = Suite.read(built, names=["tiny-0"])
    problem = case.problem()
    same = mapc.with_budgets(mapc.generate("bits", **OPTIONS, seed=0), ["size=4bpw"])
    assert content_hash(problem) == content_hash(same) == case.entry.sha256
    assert mapc.check(problem, case.best_plan()) == []


def test_a_case_reads_its_file(built: Path) -> None:
    (case,) = Suite.read(built, names=["pack"])
    assert case.entry.source.file == "files/pack.json"
    problem = case.problem()
    assert np.array_equal(case.best_plan(problem).offset, case.best_plan().offset)


def test_another_problem_than_the_index_says_is_refused(library: Path) -> None:
    def other_seed(index: Any) -> None:
        index["instances"][0]["source"]["generate"]["seed"] = 7

    edit(library / "bits/index.json", other_seed)
    (case,) = Suite.read(library, names=["tiny-0"])
    with pytest.raises(InstanceError, match=r"its source gives another problem, [0-9a-f]{64}; exp"):
        case.problem()


def test_options_that_do_not_apply_are_the_fault_of_the_index(library: Path) -> None:
    def unknown(index: Any) -> None:
        index["instances"][0]["source"]["generate"]["colour"] = "red"

    edit(library / "bits/index.json", unknown)
    (case,) = Suite.read(library, names=["tiny-0"])
    with pytest.raises(InstanceError, match="'tiny-0': generator bits: unknown option 'colour'"):
        case.problem()


def test_a_plan_for_another_problem_is_refused(library: Path) -> None:
    first, second = (plan_file(library, "bits", f"tiny-{i}") for i in range(2))
    first.write_bytes(second.read_bytes())
    (case,) = Suite.read(library, names=["tiny-0"])
    with pytest.raises(InstanceError, match="is not the hash of the instance"):
        case.best_plan()


# -- checking --------------------------------------------------------------------------------------


def test_a_sound_library(built: Path) -> None:
    audit = check_suite(Suite.read(built))
    assert audit.sound
    assert (audit.faults, audit.missing) == ((), ())
    assert (audit.checked, audit.plans) == (3, 3)
    assert audit.bytes == sum(p.stat().st_size for p in built.rglob("*") if p.is_file())


def test_a_missing_file_is_told_and_the_others_are_checked(library: Path) -> None:
    (library / "allocation/files/pack.json").unlink()
    audit = check_suite(Suite.read(library))
    assert audit.missing == ("allocation/pack",)
    assert audit.faults == ()
    assert not audit.sound
    assert audit.checked == 2


def change_best(key: str, value: Any) -> Any:
    def change(index: Any) -> None:
        for one in index["instances"]:
            one["best"].update({key: value, "proven": False})

    return change


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (
            lambda at: edit(at / "bits/index.json", change_best("objective", 1e9)),
            r"bits/tiny-0: the best plan costs \d.*, the index says 1000000000.0",
        ),
        (
            lambda at: plan_file(at, "bits", "tiny-0").unlink(),
            "bits/tiny-0: .*cannot be read",
        ),
        (
            lambda at: edit(
                plan_file(at, "allocation", "pack"), lambda d: d["plan"].update(offset=[0] * 5)
            ),
            "allocation/pack: the best plan breaks a rule: ",
        ),
        (
            lambda at: edit(
                at / "bits/index.json",
                lambda d: d["instances"][0]["facts"].update(groups=5),
            ),
            "bits/tiny-0: groups is 4, the index says 5",
        ),
        (
            lambda at: edit(
                at / "allocation/files/pack.json", lambda d: d["problem"].update(capacity=17)
            ),
            "allocation/pack: .*its source gives another problem",
        ),
        (
            lambda at: (at / "bits/plans/left-over.json").write_text("{}"),
            r"bits/plans/left-over\.json: in no index",
        ),
    ],
    ids=["objective", "no plan", "broken plan", "facts", "instance", "stray file"],
)
def test_every_fault_is_found(library: Path, damage: Any, fault: str) -> None:
    damage(library)
    audit = check_suite(Suite.read(library))
    assert not audit.sound
    assert any(re.search(fault, text) for text in audit.faults)


def test_a_library_that_is_too_large(built: Path) -> None:
    size = check_suite(Suite.read(built)).bytes
    assert check_suite(Suite.read(built), max_bytes=size).sound
    assert f"{size} bytes; expected at most {size - 1}" in "".join(
        check_suite(Suite.read(built), max_bytes=size - 1).faults
    )
