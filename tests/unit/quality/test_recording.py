"""What enters an index, and what does not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mapc
from mapc.errors import CheckError, InstanceError, UsageError
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.quality.index import Index, Source, read_index
from mapc.quality.recording import Recorded, forget, record
from mapc.quality.suite import Suite, check_suite

# "a" lives beside both others, which do not meet: 8 bytes at their best, 10 one on another.
BUFFERS = AllocationProblem(
    name="three",
    names=("a", "b", "c"),
    lower=np.array([0, 0, 2]),
    upper=np.array([4, 2, 4]),
    size=np.array([4, 4, 2]),
)
STACKED = AllocationPlan(np.array([0, 4, 8]))
PACKED = AllocationPlan(np.array([0, 4, 4]))
OVERLAP = AllocationPlan(np.array([0, 0, 4]))
GENERATED = Source(generate={"groups": 4, "formats": 3, "seed": 0})


def put(folder: Path, name: str = "three", **given: Any) -> Recorded:
    """Record without a run but for what a test asks for: tier 3 is left out by the gate."""
    options = {"problem": BUFFERS, "origin": "a test", "tier": 3, "date": "2026-01-01"}
    return record(folder, name, **{**options, **given})


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def again(folder: Path, **given: Any) -> Recorded:
    return record(folder, "three", **{"date": "2026-02-02", **given})


# -- new instances ---------------------------------------------------------------------------------


def test_a_new_instance_is_solved_and_its_limits_are_set(tmp_path: Path) -> None:
    found = put(tmp_path, tier=1)
    best, gate = found.entry.best, found.entry.gate
    assert best is not None
    assert (best.objective, best.bound, best.proven) == (8, 8, True)
    assert (gate.objective, gate.bound, gate.proven) == (8, 8, True)
    assert set(gate.models) == {"no-overlap-2d"}
    assert found.changes == ("new", "objective 8", "bound 8", "proven")
    assert read_index(tmp_path).instances == (found.entry,)
    assert check_suite(Suite.read(tmp_path)).sound
    assert set(files(tmp_path)) == {"index.json", "files/three.json", best.plan}


def test_recording_again_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path, tier=1)
    before = files(tmp_path)
    assert again(tmp_path).changes == ()
    assert files(tmp_path) == before


def test_a_generated_instance_has_no_file(tmp_path: Path) -> None:
    found = record(tmp_path, "tiny", source=GENERATED, kind="bits", origin="generated", tier=2)
    assert found.entry.source == GENERATED
    assert found.entry.best is not None
    assert found.entry.best.proven
    assert not (tmp_path / "files").exists()
    assert found.entry.facts["groups"] == 4


def test_a_named_capacity_is_recorded_in_bytes(tmp_path: Path) -> None:
    options = {"network": "layered", "operators": 5, "width": 2, "seed": 1}
    found = record(
        tmp_path,
        "net",
        source=Source(generate=options, scratchpad="M_R"),
        kind="memory",
        origin="generated",
        tier=3,
    )
    expected = mapc.generate("memory", **options).smallest_capacity
    assert found.entry.source.scratchpad == expected
    assert check_suite(Suite.read(tmp_path)).sound


def test_what_has_no_plan_is_recorded_as_that(tmp_path: Path) -> None:
    short = dataclasses.replace(BUFFERS, capacity=7)
    found = put(tmp_path, problem=short, tier=2)
    best, gate = found.entry.best, found.entry.gate
    assert best is not None
    assert (best.objective, best.bound, best.plan, best.proven) == (None, None, None, True)
    assert "the capacity has 7" in best.bound_method
    assert (gate.objective, gate.bound, gate.proven) == (None, None, True)
    assert "proven to have no plan" in found.changes


def test_two_entries_share_a_file(tmp_path: Path) -> None:
    put(tmp_path)
    shared = Source(file="files/three.json", scratchpad=9)
    found = record(tmp_path, "nine", source=shared, origin="a test", tier=3)
    assert found.entry.facts != read_index(tmp_path).entry("three").facts
    assert [one.label for one in Suite.read(tmp_path)] == ["allocation/three", "allocation/nine"]
    assert check_suite(Suite.read(tmp_path)).sound


def test_a_folder_of_folders_gets_it_where_its_family_is(tmp_path: Path) -> None:
    put(tmp_path / "allocation")
    record(tmp_path, "tiny", source=GENERATED, kind="bits", origin="generated", tier=3)
    assert [one.label for one in Suite.read(tmp_path)] == ["allocation/three", "bits/tiny"]
    assert again(tmp_path, plans=[PACKED]).entry.best is not None


# -- plans -----------------------------------------------------------------------------------------


def test_a_better_plan_replaces_the_one_before(tmp_path: Path) -> None:
    first = put(tmp_path, plans=[STACKED])
    assert first.entry.best is not None
    assert first.entry.best.objective == 10
    better = again(tmp_path, plans=[PACKED])
    assert better.changes == ("objective 10 -> 8",)
    assert better.entry.best is not None
    assert better.entry.best.date == "2026-02-02"
    assert set(files(tmp_path)) == {"index.json", "files/three.json", better.entry.best.plan}
    assert check_suite(Suite.read(tmp_path)).sound


def test_a_worse_plan_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    put(tmp_path, plans=[PACKED])
    before = files(tmp_path)
    with pytest.raises(CheckError, match="plan: costs 10, and 8 is known; not recorded"):
        again(tmp_path, plans=[STACKED])
    assert files(tmp_path) == before


def test_an_equal_plan_leaves_the_first_one(tmp_path: Path) -> None:
    put(tmp_path, plans=[PACKED])
    before = files(tmp_path)
    assert again(tmp_path, plans=[AllocationPlan(np.array([4, 0, 0]))]).changes == ()
    assert files(tmp_path) == before


def test_a_plan_that_breaks_a_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match=r"plan: breaks a rule: .*overlap"):
        put(tmp_path, plans=[OVERLAP])
    assert files(tmp_path) == {}


def test_a_plan_file_is_replayed_and_its_bound_is_not_taken(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    mapc.write(STACKED, plan, problem=BUFFERS)
    document = json.loads(plan.read_text())
    claims = {"objective": 8, "bound": 8, "status": "optimal", "method": "somebody"}
    plan.write_text(json.dumps({**document, "result": claims}))
    found = put(tmp_path / "library", plans=[plan]).entry.best
    assert found is not None
    assert (found.objective, found.bound, found.proven) == (10, None, False)
    assert found.method == "somebody"


def test_a_result_gives_its_plan_and_not_its_bound(tmp_path: Path) -> None:
    result = mapc.solve(BUFFERS, time_limit=None)
    assert result.bound == 8
    found = put(tmp_path, plans=[result]).entry.best
    assert found is not None
    assert (found.objective, found.bound) == (8, None)


def test_a_plan_for_another_problem_is_refused(tmp_path: Path) -> None:
    mapc.write(PACKED, tmp_path / "plan.json", problem=dataclasses.replace(BUFFERS, capacity=9))
    with pytest.raises(InstanceError, match=r"plan\.json: a plan for another problem"):
        put(tmp_path / "library", plans=[tmp_path / "plan.json"])


def test_a_run_proves_the_bound_that_a_file_only_claimed(tmp_path: Path) -> None:
    put(tmp_path, plans=[PACKED])
    found = again(tmp_path, tier=2)
    assert found.changes[:2] == ("bound 8", "proven")
    assert found.entry.best is not None
    assert found.entry.best.mapc == mapc.__version__


# -- an index that has been tampered with ----------------------------------------------------------


def tamper(folder: Path, **values: Any) -> None:
    document = json.loads((folder / "index.json").read_text())
    document["instances"][0]["best"].update(values)
    (folder / "index.json").write_text(json.dumps(document))


def test_an_objective_that_its_plan_does_not_have(tmp_path: Path) -> None:
    put(tmp_path, plans=[PACKED])
    tamper(tmp_path, objective=7)
    with pytest.raises(CheckError, match="the best plan costs 8, the index says 7"):
        again(tmp_path)
    assert (
        again(tmp_path, problem=BUFFERS, origin="a test", replace=True, tier=3).entry.best is None
    )


def test_a_bound_above_a_plan_is_told(tmp_path: Path) -> None:
    put(tmp_path, plans=[STACKED])
    tamper(tmp_path, bound=9, bound_method="liar")
    with pytest.raises(CheckError, match="bound 9 of liar above a plan of 8"):
        again(tmp_path, plans=[PACKED])


def test_a_plan_of_what_is_said_to_have_none(tmp_path: Path) -> None:
    put(tmp_path, plans=[STACKED])
    tamper(tmp_path, objective=None, bound=None, plan=None, proven=True)
    with pytest.raises(CheckError, match="proven to have no plan, and one of 8 is known"):
        again(tmp_path, plans=[PACKED])


# -- whole or not at all ---------------------------------------------------------------------------


def test_an_index_that_cannot_be_written_keeps_the_old_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, plans=[STACKED])
    before = files(tmp_path)

    def full(index: Index, folder: Path) -> None:
        raise UsageError("disk full")

    monkeypatch.setattr("mapc.quality.recording.write_index", full)
    with pytest.raises(UsageError, match="disk full"):
        again(tmp_path, plans=[PACKED])
    assert before.items() <= files(tmp_path).items()
    # what is left over is told
    assert [text.split(": ")[1] for text in check_suite(Suite.read(tmp_path)).faults] == [
        "in no index; expected a file of an instance"
    ]


def test_another_problem_does_not_take_the_file_of_a_name(tmp_path: Path) -> None:
    put(tmp_path)
    wider = dataclasses.replace(BUFFERS, size=np.array([4, 4, 3]))
    with pytest.raises(UsageError, match="'three': another problem has that name"):
        put(tmp_path, problem=wider)
    found = put(tmp_path, problem=wider, replace=True)
    assert set(files(tmp_path)) == {"index.json", found.entry.source.file}
    assert check_suite(Suite.read(tmp_path)).sound


def test_an_instance_is_forgotten_and_shared_files_stay(tmp_path: Path) -> None:
    put(tmp_path, plans=[PACKED])
    shared = Source(file="files/three.json", scratchpad=9)
    record(tmp_path, "nine", source=shared, origin="a test", tier=3)
    forget(tmp_path, "three")
    assert [one.name for one in Suite.read(tmp_path)] == ["nine"]
    assert set(files(tmp_path)) == {"index.json", "files/three.json"}
    forget(tmp_path, "nine")
    assert set(files(tmp_path)) == {"index.json"}
    with pytest.raises(UsageError, match="'nine': not in"):
        forget(tmp_path, "nine")


# -- calls that say too little or too much ---------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"problem": None}, "not in .*; expected what it is made of"),
        ({"origin": None}, "no origin; expected where it is from"),
        ({"source": GENERATED}, "a source and a problem; expected one of them"),
        ({"problem": None, "source": GENERATED}, "of which family; expected a kind"),
        ({"tier": 4}, "tier 4: expected 1, 2 or 3"),
        ({"tier": 2, "models": ["sudoku"]}, "formulation 'sudoku': unknown"),
        ({"tier": 2, "methods": ["magic"]}, "method 'magic': unknown"),
    ],
)
def test_bad_calls(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        put(tmp_path, **given)
    assert files(tmp_path) == {}


def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match=r"\$\.instances\[0\]\.name"):
        put(tmp_path, name="no name")
    assert not (tmp_path / "index.json").exists()


def test_an_index_of_another_family_is_not_written_to(tmp_path: Path) -> None:
    put(tmp_path)
    with pytest.raises(UsageError, match="an index of allocation problems; expected one of bits"):
        record(tmp_path, "tiny", source=GENERATED, kind="bits", origin="generated", tier=3)
