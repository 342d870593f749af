"""Every family has a codec, and a further family needs nothing but one."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest

from mapc import instances
from mapc.errors import InstanceError, UsageError
from mapc.instances import documents, schema
from mapc.instances.codec import Codec
from mapc.instances.codecs import CODECS, codec, codec_of
from mapc.instances.columns import Index, Size, Strict, check_indices, check_length, int64
from mapc.models import KINDS, family
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem

# -- a third family: which bin each item goes to -------------------------------------------------


@dataclass(frozen=True, eq=False)
class BinProblem:
    name: str
    weight: np.ndarray
    bins: int
    remark: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if self.bins < 1:
            raise InstanceError(f"{self.bins} bins", self.name, "at least 1")


@dataclass(frozen=True, eq=False)
class BinPlan:
    bin: np.ndarray


class BinUnits(Strict, frozen=True, kw_only=True):
    weight: Literal["grams"] = "grams"


class BinBody(Strict, frozen=True, kw_only=True):
    weight: list[Size]
    bins: int
    remark: str = ""


class BinColumns(Strict, frozen=True, kw_only=True):
    bin: list[Index]


def bin_plan(columns, problem, where):
    check_length(columns.bin, len(problem.weight), f"{where}.bin")
    check_indices(columns.bin, problem.bins, f"{where}.bin")
    return BinPlan(int64(columns.bin))


BINS = Codec(
    kind="bins",
    problem_type=BinProblem,
    plan_type=BinPlan,
    body_type=BinBody,
    columns_type=BinColumns,
    to_body=lambda p: BinBody(weight=p.weight.tolist(), bins=p.bins, remark=p.remark),
    from_body=lambda body, name, provenance, where: BinProblem(
        name, int64(body.weight), body.bins, body.remark, provenance
    ),
    to_columns=lambda plan: BinColumns(bin=plan.bin.tolist()),
    from_columns=bin_plan,
    units=BinUnits(),
    silent={"remark": ""},
)


@pytest.fixture(autouse=True)
def third_family(monkeypatch):
    """What adding a family comes to: a module with ``CODEC``, and its name."""
    module = ModuleType("codec_of_bins")
    module.CODEC = BINS
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(CODECS, "bins", module.__name__)


@pytest.fixture
def problem():
    return BinProblem("three", np.array([5, 7, 9]), 2, "by hand", {"source": "scales"})


def test_an_instance_of_a_third_family_makes_the_round_trip(problem, tmp_path):
    instances.write_instance(problem, tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert list(document.items()) == [
        ("schema", "mapc/instance"),
        ("version", 1),
        ("kind", "bins"),
        ("name", "three"),
        ("units", {"weight": "grams"}),
        ("provenance", {"source": "scales"}),
        ("problem", {"weight": [5, 7, 9], "bins": 2, "remark": "by hand"}),
    ]
    again = instances.read(tmp_path / "a.json")
    assert type(again) is BinProblem
    assert (again.name, again.bins, again.remark) == ("three", 2, "by hand")
    assert again.weight.tolist() == [5, 7, 9]
    assert again.provenance == problem.provenance


def test_a_plan_of_a_third_family_makes_the_round_trip(problem, tmp_path):
    result = {"status": "optimal"}
    instances.write_plan(problem, BinPlan(np.array([0, 0, 1])), tmp_path / "p.json", result=result)
    again, plan, info = instances.read_plan(tmp_path / "p.json")
    assert type(plan) is BinPlan
    assert plan.bin.tolist() == [0, 0, 1]
    assert again.weight.tolist() == [5, 7, 9]
    assert info.result == {"status": "optimal"}
    assert info.instance_sha256 == instances.content_hash(problem)
    assert instances.read(tmp_path / "p.json").bins == 2


def test_what_is_silent_does_not_count_for_the_hash(problem):
    digest = instances.content_hash(problem)
    assert instances.content_hash(replace(problem, remark="", name="other")) == digest
    assert instances.content_hash(replace(problem, bins=3)) != digest


def test_the_json_schema_has_the_third_family(problem):
    published = instances.json_schema()
    references = [entry["$ref"].rpartition("/")[2] for entry in published["oneOf"]]
    assert {"BinsInstance", "BinsPlanFile", "MemoryInstance"} <= set(references)
    instance = published["$defs"]["BinsInstance"]["properties"]
    assert instance["kind"] == {"enum": ["bins"]}
    assert instance["units"]["$ref"] == "#/$defs/BinUnits"


BAD = {
    "section": ({"problem": {"weight": [1.5], "bins": 2}}, r"\$\.problem\.weight\[0\]: Expected"),
    "unit": ({"units": {"weight": "pounds"}}, r"\$\.units\.weight: Invalid enum value 'pounds'"),
    "refused": ({"problem": {"weight": [1], "bins": 0}}, "three: 0 bins; expected at least 1"),
    "kind": ({"kind": "boxes"}, r"\$\.kind: Invalid enum value 'boxes'; expected memory, .*bins"),
    "other": ({"kind": "memory"}, r"\$\.\S*: Object contains unknown field|missing required"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_instances_name_path_and_culprit(problem, tmp_path, case):
    change, message = BAD[case]
    file = tmp_path / "a.json"
    instances.write_instance(problem, file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(InstanceError, match=message) as caught:
        instances.read(file)
    assert str(caught.value).startswith(f"{file}: ")


def test_malformed_plans_name_path_and_culprit(problem, tmp_path):
    for column, message in (
        ([0, 1], r"\$\.plan\.bin: 2 entries; expected 3"),
        ([0, 1, 2], r"\$\.plan\.bin\[2\]: index 2; expected 0 to 1"),
    ):
        with pytest.raises(InstanceError, match=message):
            instances.write_plan(problem, BinPlan(np.array(column)), tmp_path / "p.json")
    with pytest.raises(UsageError, match="AllocationPlan is no plan for a BinProblem"):
        instances.write_plan(problem, AllocationPlan(np.zeros(3)), tmp_path / "p.json")
    assert list(tmp_path.iterdir()) == []


def test_an_option_a_family_knows_nothing_of_is_refused(problem, tmp_path):
    instances.write_instance(problem, tmp_path / "a.json")
    with pytest.raises(UsageError, match="option alignment does not apply to an instance file"):
        instances.read(tmp_path / "a.json", alignment=64)


# -- the registry --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_has_its_codec(kind):
    assert codec(kind).kind == kind
    assert codec(kind).problem_type is family(kind).problem_type


def test_a_problem_finds_its_codec(problem):
    buffers = AllocationProblem("b", ("x",), np.array([0]), np.array([1]), np.array([4]))
    assert codec_of(problem) is BINS
    assert codec_of(buffers).kind == "allocation"
    with pytest.raises(UsageError, match="dict is not a problem of any family"):
        codec_of({})


@pytest.mark.parametrize("module", [documents, schema])
def test_the_general_part_names_no_family(module):
    with open(module.__file__, encoding="utf-8") as file:
        text = file.read().lower()
    assert [kind for kind in KINDS if kind in text] == []
