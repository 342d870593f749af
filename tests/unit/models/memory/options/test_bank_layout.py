"""Several scratchpads: verified plans, sound bounds, and what is proven to have no plan."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc import instances
from mapc.errors import InfeasibleError, InstanceError, UsageError
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.models.memory import FAMILY
from mapc.models.memory.options import Options, methods
from mapc.models.memory.options.bank_layout import nothing_kept
from mapc.models.memory.options.bank_sets import Item, pack
from mapc.models.memory.options.rules import apply_rules
from mapc.models.memory.options.timeline import Timeline
from mapc.models.memory.plan import MemoryPlan
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.solvers.base import Status
from mapc.solvers.result import Result
from oracles.memory_banks import banked_memory, least_cost


@settings(max_examples=40, deadline=None)
@given(problem=banked_memory(), seed=st.integers(0, 3))
def test_plans_are_verified_and_bounds_are_sound(problem: MemoryProblem, seed: int) -> None:
    least = least_cost(problem)
    result = mapc.solve(problem, time_limit=None, seed=seed)
    assert not any("failed" in note or "refused" in note for note in result.notes)
    assert (result.plan is None) == (least is None)
    if least is None:
        assert result.status is Status.INFEASIBLE
        return
    assert mapc.check(problem, result.plan) == []
    assert verify(problem, result.plan).objective == result.objective
    assert 0 <= result.bound <= least <= result.objective


@settings(max_examples=60, deadline=None)
@given(problem=banked_memory(prefetch=True))
def test_what_is_refused_has_no_plan_and_else_nothing_need_be_kept(problem: MemoryProblem) -> None:
    least = least_cost(problem)
    try:
        FAMILY.precheck(problem)
    except InfeasibleError:
        assert least is None
        return
    plan = nothing_kept(Timeline(problem, problem.graph.given_order))
    if problem.options.prefetch:
        assert plan is None
    elif not problem.options.pinned:
        assert plan is not None
    if plan is not None:
        assert verify(problem, plan).violations == ()
        assert least is not None


def waiting(banks: tuple[int, ...], workspace: int = 0, **options: object) -> MemoryProblem:
    """t0 waits while o1 makes t2 of t1; o2 reads both. Four bytes each, t3 has two."""
    graph = OperatorGraph(
        name="waiting",
        operator_names=("o0", "o1", "o2"),
        operator_kinds=("any",) * 3,
        workspace=np.array([0, workspace, 0]),
        inputs=Ragged.of([[0], [1], [0, 2]]),
        outputs=Ragged.of([[1], [2], [3]]),
        tensor_names=("t0", "t1", "t2", "t3"),
        tensor_bytes=np.array([4, 4, 4, 2]),
        is_output=np.array([False, False, False, True]),
        is_constant=np.zeros(4, dtype=np.bool_),
    )
    named = tuple((f"m{b}", size) for b, size in enumerate(banks))
    return MemoryProblem(graph, None, options=Options(banks=named, **options))  # type: ignore[arg-type]


def solved(problem: MemoryProblem) -> Result:
    result = mapc.solve(problem, time_limit=None)
    assert mapc.check(problem, result.plan) == []
    assert result.objective == least_cost(problem)
    return result


@pytest.mark.parametrize(("banks", "extra"), [((12,), 0), ((6, 6), 4), ((8, 4), 0), ((4, 4, 4), 0)])
def test_splitting_the_scratchpad_costs(banks: tuple[int, ...], extra: int) -> None:
    """At o1 three tensors of 4 bytes are there: 12 bytes hold them, 6 + 6 only two of them."""
    result = solved(waiting(banks))
    assert result.objective == extra
    assert result.bound == 0  # that of one scratchpad of 12 bytes


def test_pairs_in_place_share_a_bank() -> None:
    """In 4 + 4 + 2 o1 has room for two tensors; t0 stays if the other two are in one place."""
    assert solved(waiting((4, 4, 2))).objective == 4
    result = solved(waiting((4, 4, 2), in_place=((1, 1, 2),)))
    assert result.objective == 0
    bank = dict(zip(result.plan.tensor.tolist(), result.plan.bank.tolist(), strict=True))
    assert bank[1] == bank[2] != bank[0]


def test_a_workspace_takes_a_bank() -> None:
    """With 4 bytes of workspace o1 needs 12 bytes: in 8 + 4 + 2 none are left for t0."""
    result = solved(waiting((8, 4, 2), workspace=4))
    assert result.objective == 4
    plan = result.plan
    there = {1: plan.bank[plan.tensor == 1][-1], 2: plan.bank[plan.tensor == 2][0]}
    assert sorted([*there.values(), plan.workspace_bank[1]]) == [0, 0, 1]
    assert solved(waiting((8, 4, 4), workspace=4)).objective == 0


def test_confined_tensors() -> None:
    """t0 and t2 only in the bank of 4 bytes, where o2 needs both: no plan; one of them may."""
    assert solved(waiting((8, 4), confined=((0, 1),))).objective == 0
    result = mapc.solve(waiting((8, 4), confined=((0, 1), (2, 1))), time_limit=None)
    assert result.status is Status.INFEASIBLE
    assert "operator 'o2'" in result.reason
    assert "cannot be split among the banks (m0 8, m1 4 bytes)" in result.reason
    assert solved(waiting((8, 4), confined=((0, 1), (2, 1), (2, 0)))).objective == 0


def test_sets_that_do_not_split_are_named() -> None:
    result = mapc.solve(waiting((3, 3, 3, 3)), time_limit=None)
    assert result.status is Status.INFEASIBLE
    assert "operator 'o0'" in result.reason


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 6), min_size=0, max_size=5),
    rooms=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    data=st.data(),
)
def test_packing_is_exact(sizes: list[int], rooms: list[int], data: st.DataObject) -> None:
    banks = st.sets(st.sampled_from(range(len(rooms))), min_size=0)
    items = [Item((i,), size, tuple(sorted(data.draw(banks)))) for i, size in enumerate(sizes)]
    ways = product(*(item.takes for item in items))

    def holds(way: tuple[int, ...]) -> bool:
        used = [0] * len(rooms)
        for item, b in zip(items, way, strict=True):
            used[b] += item.size
        return all(u <= room for u, room in zip(used, rooms, strict=True))

    expected = any(holds(way) for way in ways)
    bank, impossible = pack(items, tuple(rooms))
    assert impossible == (not expected)
    if bank is not None:
        assert holds(tuple(bank[i] for i in range(len(items))))
    assert (bank is not None) == expected


def test_the_verifier_knows_banks() -> None:
    problem = waiting((8, 4), confined=((3, 0),))
    plan = solved(problem).plan
    for change, said in (
        ({"bank": plan.bank * 0}, "overlaps"),
        ({"bank": plan.bank + 1}, "plan: bank.* is 2, of 2 banks"),
        (
            {"bank": np.where(plan.tensor == 3, 1, plan.bank)},
            "in bank 'm1', which does not take it",
        ),
        ({"workspace_bank": np.array([0, 5, 0])}, "workspace_bank.* is 5, of 2 banks"),
        ({"bank": plan.bank[:-1]}, "bank has"),
    ):
        verdict = verify(problem, replace(plan, **change))
        assert any(re.search(said, line) for line in verdict.violations), said


def test_rules_set_banks() -> None:
    plain = replace(waiting(()), capacity=100)
    problem = apply_rules(plain, ["confined=t1:tcm", "banks=tcm:1KiB+512"])
    assert problem.options.banks == (("tcm", 1024), ("bank1", 512))
    assert problem.options.confined == ((1, 0),)
    assert (problem.capacity, problem.room) == (1536, 1536)
    assert apply_rules(problem, ["banks=none"]).plain
    for text, said in (
        ("banks=1KiB+x", "sizes as 512KiB"),
        ("confined=t1:tcm", "a bank of the rule banks="),
        ("banks=a:1+a:2", "names, each once"),
    ):
        with pytest.raises(UsageError, match=said):
            apply_rules(plain, [text])


def test_malformed_banks_are_refused() -> None:
    with pytest.raises(InstanceError, match=r"capacity 9 beside banks.*none, or 12"):
        replace(waiting((8, 4)), capacity=9)
    with pytest.raises(InstanceError, match=r"bank 2 of tensor 't0'.*0 to 1"):
        waiting((8, 4), confined=((0, 2),))
    with pytest.raises(InstanceError, match="no entry without banks"):
        waiting((), confined=((0, 0),))


def test_files_bring_banks_back(tmp_path: Path) -> None:
    problem = waiting((8, 4), confined=((0, 1),))
    plan = solved(problem).plan
    instances.write_instance(problem, tmp_path / "problem.json")
    again = mapc.read(tmp_path / "problem.json")
    assert (again.options, again.capacity) == (problem.options, 12)
    assert instances.content_hash(again) == instances.content_hash(problem)
    instances.write_plan(problem, plan, tmp_path / "plan.json")
    assert plan.bank.any()
    assert instances.read_plan(tmp_path / "plan.json")[1] == plan


@pytest.mark.parametrize("problem", [waiting((12, 8)), replace(waiting(()), capacity=12)])
def test_a_first_plan_is_not_looked_for_behind_the_limit(
    problem: MemoryProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late:
        plan, objective, seed = None, None, 0

        def done(self) -> bool:
            return True

        def propose(self, plan: MemoryPlan, source: str) -> None:
            self.plan = plan

    def fit(*args: object) -> None:
        raise AssertionError("chosen for less room")

    monkeypatch.setattr(methods, "fit", fit)
    search = Late()
    methods.place_with_less(Timeline(problem, np.arange(3)), search, "late")  # type: ignore[arg-type]
    assert search.plan is not None
    assert mapc.check(problem, search.plan) == []
