"""What is moved and held, against the verifier and against a count byte by byte."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from mapc.visual.pictures.memory_transfers import KINDS, Transfers, flaw, kinds_of
from oracles.memory_banks import banked_memory
from oracles.memory_bruteforce import small_problems
from oracles.memory_cases import chain_with_skip, spilled_chain
from oracles.memory_options import optioned_problems
from oracles.memory_plans import any_plan, bytes_in_use, solved

OPTIONED = st.one_of(
    optioned_problems(max_operators=4, recompute=True), optioned_problems(max_operators=5)
)


def totals(moved: Transfers) -> dict[str, int]:
    """Return the bytes moved, named as the verifier does."""
    found = {f"{key}_bytes": int(values.sum()) for key, values in moved.per_step().items()}
    if not moved.plan.streamed.size:
        assert found.pop("streamed_bytes") == 0
    return found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), problem=OPTIONED)
def test_totals_are_those_of_the_verifier_whatever_the_plan(
    data: st.DataObject, problem: MemoryProblem
) -> None:
    plan = data.draw(any_plan(problem))
    verdict = verify(problem, plan)
    assume(verdict.objective is not None)
    assert flaw(problem, plan) == ""
    moved = Transfers(problem, plan)
    found = totals(moved)
    assert found == {key: verdict.facts[key] for key in found}
    if all("never written out" not in line for line in verdict.violations):
        assert moved.extra_cost() == verdict.objective


@settings(max_examples=25, deadline=None)
@given(problem=st.one_of(small_problems(), OPTIONED, banked_memory()), seed=st.integers(0, 3))
def test_bytes_in_use_are_those_counted_one_by_one(problem: MemoryProblem, seed: int) -> None:
    plan = solved(problem, seed)
    assume(plan is not None)
    assert plan is not None
    verdict = verify(problem, plan)
    assert verdict.violations == ()
    moved = Transfers(problem, plan)
    used = bytes_in_use(problem, plan)
    for bank in range(max(1, len(problem.options.banks))):
        here = [step[bank] for step in used]
        assert moved.live(bank).tolist() == [len(one) for one in here]
        assert moved.tops(bank).tolist() == [max(one, default=-1) + 1 for one in here]
    assert moved.live().tolist() == [sum(map(len, step)) for step in used]
    assert (moved.live() >= problem.working_set[plan.order]).all()
    found = totals(moved)
    assert found == {key: verdict.facts[key] for key in found}
    assert moved.extra_cost() == verdict.objective


@settings(max_examples=60, deadline=None)
@given(data=st.data(), problem=OPTIONED)
def test_steps_and_tensors_add_up_to_the_same(data: st.DataObject, problem: MemoryProblem) -> None:
    plan = data.draw(any_plan(problem))
    moved = Transfers(problem, plan)
    step, tensor = moved.per_step(), moved.per_tensor()
    extra = sum(int(step[key].sum()) for key in ("reloaded", "spilled", "streamed"))
    assert extra == int(tensor["extra"] @ problem.sizes)
    times = tensor["loads"] + tensor["writes"] + tensor["streams"]
    assert extra + int(step["compulsory"].sum()) == int(times @ problem.sizes)


def test_a_load_is_at_its_first_step_and_a_write_at_its_last() -> None:
    moved = Transfers(*spilled_chain())
    step = moved.per_step()
    assert step["spilled"].tolist() == [0, 5, 0, 0]
    assert step["reloaded"].tolist() == [0, 0, 0, 5]
    assert step["compulsory"].tolist() == [0, 0, 0, 1]
    assert moved.reloaded.tolist() == [False, False, False, True, False]
    assert moved.spilled.tolist() == [True, False, False, False, False]
    assert moved.live().tolist() == [5, 7, 5, 9]
    assert moved.tops().tolist() == [5, 7, 7, 9]


def test_a_load_of_what_nobody_reads_is_extra() -> None:
    problem, plan = spilled_chain()
    names = (*problem.graph.tensor_names, "unread")
    graph = replace(
        problem.graph,
        tensor_names=names,
        tensor_bytes=np.array([5, 2, 3, 1, 1]),
        is_output=np.array([False, False, False, True, False]),
        is_constant=np.array([False, False, False, False, True]),
    )
    idle = replace(problem, graph=graph, capacity=10)
    rows = {"tensor": 4, "start": 0, "stop": 1, "address": 9, "written": False, "bank": 0}
    more = {key: np.insert(getattr(plan, key), 1, value) for key, value in rows.items()}
    verdict = verify(idle, replace(plan, **more))
    assert verdict.violations == ()
    moved = Transfers(idle, replace(plan, **more))
    assert totals(moved) == {key: verdict.facts[key] for key in totals(moved)}
    assert moved.per_step()["reloaded"].tolist() == [1, 0, 0, 5]
    assert moved.extra_cost() == verdict.objective == 11


def test_kinds_of_tensors() -> None:
    graph = chain_with_skip().graph
    weights = replace(
        graph,
        tensor_names=("t0", "t1", "t2", "t3", "w", "x"),
        tensor_bytes=np.ones(6, dtype=np.int64),
        is_output=np.array([False, False, False, True, False, True]),
        is_constant=np.array([False] * 4 + [True, False]),
    )
    found = [KINDS[kind] for kind in kinds_of(weights)]
    assert found == ["activation"] * 3 + ["network output", "weight", "network input"]


BROKEN = {
    "different lengths": {"start": np.zeros(2, dtype=np.int64)},
    "every operator": {"order": np.array([0, 1, 2, 2])},
    "workspaces": {"workspace_address": np.zeros(1, dtype=np.int64)},
    "tensors": {"tensor": np.array([0, 1, 2, 0, 4])},
    "outside the steps": {"stop": np.array([2, 3, 4, 4, 5])},
    "banks": {"bank": np.array([0, 0, 0, 0, 1])},
    "streams": {"streamed": np.array([[4, 0]])},
}


@pytest.mark.parametrize("says", BROKEN)
def test_plans_that_cannot_be_drawn_are_known(says: str) -> None:
    problem, plan = spilled_chain()
    assert flaw(problem, plan) == ""
    assert says in flaw(problem, replace(plan, **BROKEN[says]))
