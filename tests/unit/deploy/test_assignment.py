from __future__ import annotations

import numpy as np
import pytest

from mapc.deploy.assignment import assignments, known_formats
from mapc.errors import InstanceError, UsageError
from mapc.graph.formats import Format
from mapc.models.bits.plan import BitsPlan


def anything(format: Format) -> bool:
    return True


def integers(format: Format) -> bool:
    return format.kind == "integer"


def names(problem, plan, **options):
    return {
        entry.name: entry.format.name
        for entry in assignments(problem, plan, "vllm", anything, **options)
    }


def test_names_stay_without_rules(build) -> None:
    assert names(*build({"a": "int4", "b": "bf16"})) == {"a": "int4", "b": "bf16"}


def test_the_plan_decides_not_the_order_of_options(build) -> None:
    problem, _ = build({"a": "int4", "b": "int8"})
    plan = BitsPlan(np.array([1, 2]))
    assert names(problem, plan) == {"a": "int8", "b": "int4"}


def test_the_first_rule_that_matches_the_whole_name_renames(build) -> None:
    rules = [r"l(\d+)=>layers.\1", r"l.*=>other", r"x=>z"]
    found = names(*build({"l7": "int4", "last": "int8", "xx": "int8"}), rename=rules)
    assert list(found) == ["layers.7", "other", "xx"]


@pytest.mark.parametrize("rule", ["a", "=>b", "(=>b", r"a=>\1", r"(a)=>\2", r"a=>\g<n>"])
def test_a_rule_that_is_none_is_refused(build, rule: str) -> None:
    with pytest.raises(UsageError, match=r"rename .*expected"):
        names(*build({"a": "int4"}), rename=[rule])


def test_groups_expand_to_their_modules(build) -> None:
    problem, plan = build(
        {"attn": "int4", "mlp": "int8"}, {"modules": {"attn": ["m.q_proj", "m.k_proj"]}}
    )
    assert names(problem, plan) == {"m.q_proj": "int4", "m.k_proj": "int4", "mlp": "int8"}


def test_listed_modules_are_renamed_too(build) -> None:
    problem, plan = build({"g": "int4"}, {"modules": {"g": ["a", "b"]}})
    assert list(names(problem, plan, rename=["(.)=>m.\\1"])) == ["m.a", "m.b"]


def test_names_are_split_at_the_separator(build) -> None:
    found = names(*build({"a|b": "int4", "c": "int8"}), separator="|")
    assert found == {"a": "int4", "b": "int4", "c": "int8"}


@pytest.mark.parametrize("modules", ["a", [], [""], [1], {"a": 1}])
def test_modules_that_are_no_names_are_refused(build, modules) -> None:
    problem, plan = build({"g": "int4"}, {"modules": {"g": modules}})
    with pytest.raises(InstanceError, match="modules of group 'g'"):
        names(problem, plan)


def test_one_name_twice_needs_one_format(build) -> None:
    rules = ["e.=>experts"]
    assert names(*build({"e0": "int4", "e1": "int4"}), rename=rules) == {"experts": "int4"}
    with pytest.raises(UsageError, match="'experts' is int4 by group 'e0' and int8 by group 'e1'"):
        names(*build({"e0": "int4", "e1": "int8"}), rename=rules)


def test_an_alias_is_no_other_format(build) -> None:
    found = names(*build({"a": "fp8", "b": "fp8_e4m3"}), rename=[".=>x"])
    assert found == {"x": "fp8_e4m3"}


@pytest.mark.parametrize("format", ["bf16", "w4.5"])
def test_a_format_the_runtime_lacks_is_refused_by_name(build, format: str) -> None:
    problem, plan = build({"a": "int4", "b": format})
    with pytest.raises(UsageError) as caught:
        assignments(problem, plan, "vllm", integers)
    assert f"group 'b': vllm does not know format '{format}'; it takes int2, int3" in str(
        caught.value
    )


def test_a_format_that_no_group_takes_does_not_matter(build) -> None:
    problem, _ = build({"a": "int4", "b": "w4.5"})
    assert len(assignments(problem, BitsPlan(np.array([0, 2])), "vllm", integers)) == 2


def test_group_sizes_are_summed_up_in_messages() -> None:
    found = known_formats(integers)
    assert "int4_gN" in found
    assert "int4" in found
    assert len(found) == len(set(found)) == 14


def test_fused_siblings_must_agree(build) -> None:
    chosen = {"l.q_proj": "int4", "l.k_proj": "int4", "l.v_proj": "int8"}
    with pytest.raises(UsageError, match=r"'l\.q_proj' and 'l\.v_proj' as one: int4 and int8"):
        names(*build(chosen))
    assert len(names(*build(dict.fromkeys(chosen, "int4")))) == 3


@pytest.mark.parametrize("option", [[0], [0, 1], [0, 4], [-1, 2], [[0, 2]]])
def test_a_plan_of_another_problem_is_refused(build, option) -> None:
    problem, _ = build({"a": "int4", "b": "int8"})
    with pytest.raises(InstanceError, match="plan"):
        names(problem, BitsPlan(np.array(option)))
