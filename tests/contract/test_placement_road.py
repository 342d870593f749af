"""The whole road of placement problems: solve, verify, write, read, check; beside enumeration."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import mapc
from mapc.instances import read_plan
from mapc.models import family_of
from mapc.models.placement.methods import METHODS
from mapc.models.placement.problem import (
    ADAPTIVE,
    CHAIN,
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    NONE,
    PlacementProblem,
)
from mapc.models.placement.verify import verify
from mapc.solvers.base import Status
from mapc.solvers.portfolio import Portfolio
from mapc.solvers.result import Result
from oracles import judging
from oracles.placement_cases import Best, brute_force, problems, random_problem

LAYERS_OF_ONE = {"experts": 4, "ranks": 2, "slots": 2}
"""One slot per expert."""
FREE = {"rules": False, "max_moves": -1, "max_imbalance": 0.0, "dead": 0}
SINGLE = FREE | {
    **{"experts": 3, "ranks": 3, "slots": 1, "speeds": False, "transfer": True},
    **{"overlap": False, "goal": EXPECTED},
}
"""One expert per rank, ranks of one speed."""
KINDS: dict[str, tuple[dict[str, Any], ...]] = {
    "stay": ({"current": True, "rules": True, "max_moves": 3, "max_imbalance": 0.0},),
    "assignment": (
        SINGLE | {"traffic": CHAIN, "nodes": 1, "whole": True},
        SINGLE | {"traffic": HOME, "links": "sum"},
    ),
    "pairs": (LAYERS_OF_ONE | {"traffic": CHAIN, "layers": 3, "profiles": 1},),
    "chain": (LAYERS_OF_ONE, LAYERS_OF_ONE | {"traffic": CHAIN, "layers": 3, "profiles": 1}),
    "descent": ({"rules": False, "max_moves": -1, "traffic": NONE},),
    "anneal": (FREE | {"traffic": NONE, "dispatch": EQUAL},),
    "split": tuple(FREE | {"dispatch": ADAPTIVE, "traffic": t, "ranks": 2} for t in (NONE, HOME)),
    "nodes": (FREE | {"traffic": CHAIN, "transfer": True, "ranks": 3, "layers": 2},),
    "home": (FREE | {"traffic": HOME, "transfer": True, "dispatch": LOCAL, "ranks": 3},),
    "coordinate": (LAYERS_OF_ONE | {"traffic": CHAIN},),
    "migrate": tuple({"current": True, "max_moves": k, "traffic": NONE} for k in (0, 1, 3)),
    "migration-floor": tuple(
        {"current": True, "max_moves": k, "traffic": NONE, "dispatch": EQUAL} for k in (0, 1, 3)
    ),
    "traffic": ({"traffic": CHAIN, "transfer": True}, {"traffic": HOME, "transfer": True}),
    "moetuner": (LAYERS_OF_ONE | {"traffic": CHAIN},),
    "milp": (LAYERS_OF_ONE | {"traffic": CHAIN}, {"traffic": NONE, "dispatch": EQUAL}),
}
"""Problems that a method takes up, beside any problem at all."""
NAMES = [method.name for method in METHODS]
MOST = 2_000
"""Tables or pairs of them that enumeration looks at in a layer."""


def oracle(problem: PlacementProblem) -> Best | None:
    try:
        return brute_force(problem, MOST)
    except ValueError:  # more than enumeration can do
        reject()


def judge(problem: PlacementProblem, result: Result, best: Best | None) -> None:
    """What holds for whatever methods ran."""
    judging.judge(problem, result, None if best is None else best.objective, verify)


# -- beside enumeration ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_method_alone_is_sound(name: str) -> None:
    own = [problems(**fixed) for fixed in KINDS.get(name, ())]

    @settings(max_examples=20, deadline=None, derandomize=True, database=None)
    @given(problem=st.one_of(*own, problems()), start=st.booleans(), seed=st.integers(0, 3))
    def check(problem: PlacementProblem, start: bool, seed: int) -> None:
        names = ["stay", name] if start else [name]  # under rules some only improve a plan
        result = mapc.solve(problem, time_limit=None, methods=names, seed=seed)
        judge(problem, result, oracle(problem))

    check()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(problem=problems(), seed=st.integers(0, 3))
def test_the_default_methods_are_sound(problem: PlacementProblem, seed: int) -> None:
    result = mapc.solve(problem, time_limit=None, seed=seed)
    judge(problem, result, oracle(problem))
    assert result.bound is not None or result.plan is None


class Impatient(Portfolio):
    """A run that is over after it has been asked a number of times."""

    asked = 0
    patience = 0

    def done(self) -> bool:
        self.asked += 1
        return self.asked > self.patience or super().done()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problem=problems(), patience=st.integers(0, 60), methods=st.sampled_from([None, *NAMES]))
def test_a_run_may_end_at_any_moment(
    problem: PlacementProblem, patience: int, methods: str | None
) -> None:
    run = Impatient(family_of(problem), problem, time_limit=None)
    run.patience = patience
    judge(problem, run.run(None if methods is None else ["contiguous", methods]), oracle(problem))


@pytest.mark.parametrize("seed", [70, 276, 328, 355, 374, 9494])
def test_cases_that_once_failed(seed: int) -> None:
    """Plans beyond a load limit were proposed, and shares in fractions of tokens overlooked."""
    problem = random_problem(seed)
    result = mapc.solve(problem, time_limit=None)
    try:
        best = brute_force(problem, MOST)
    except ValueError:  # more than enumeration can do
        assert result.plan is None or mapc.check(problem, result.plan) == []
        assert not any("refused" in note for note in result.notes)
        return
    judge(problem, result, best)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_answers_problems_of_its_kind(name: str) -> None:
    """Without that the tests above would hold for a method that never says anything."""
    cases = [random_problem(k, **fixed) for fixed in KINDS.get(name, ({},)) for k in range(4)]
    found = [mapc.solve(case, time_limit=None, methods=[name]) for case in cases]
    assert sum(r.plan is not None or r.bound is not None for r in found) >= len(cases) / 2


# -- exact methods ---------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    problem=st.one_of(
        problems(**LAYERS_OF_ONE, traffic=CHAIN, max_moves=-1, activated=False),
        problems(**LAYERS_OF_ONE, traffic=NONE, max_moves=-1, activated=False, rules=True),
        problems(experts=4, ranks=4, slots=1, dead=0, layers=2, traffic=CHAIN, current=False),
    )
)
def test_chains_without_replicas_are_proven(problem: PlacementProblem) -> None:
    if problem.cost.profiles != EXPECTED and problem.n_profiles > 1:
        reject()  # a bound by weights on profiles: not always the optimum
    best = oracle(problem)
    result = mapc.solve(problem, time_limit=None, methods=["chain"])
    judge(problem, result, best)
    if best is not None:
        assert result.status is Status.OPTIMAL
        assert result.objective == result.bound == best.objective


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    problem=problems(**(SINGLE | {"dead": None}), traffic=CHAIN, nodes=1, whole=True, links="sum")
)
def test_chains_of_one_expert_per_rank_are_proven(problem: PlacementProblem) -> None:
    best = oracle(problem)
    assert best is not None
    result = mapc.solve(problem, time_limit=None, methods=["assignment"])
    judge(problem, result, best)
    assert result.objective == result.bound == best.objective


# -- files -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problem=problems(), seed=st.integers(0, 2**20))
def test_from_file_to_file(problem: PlacementProblem, seed: int) -> None:
    """A problem read back is solved alike; its plan read back passes and costs the same."""
    with tempfile.TemporaryDirectory() as folder:
        instance, file = Path(folder, "problem.json"), Path(folder, "plan.json")
        mapc.write(problem, instance)
        again = mapc.read(instance)
        first, second = (
            mapc.solve(one, time_limit=None, methods=["floor", "stay", "descent", "split"])
            for one in (problem, again)
        )
        assert (first.objective, first.bound) == (second.objective, second.bound)
        assert first.plan == second.plan
        if first.plan is None:
            return
        mapc.write(first, file, problem=problem)
        read, plan, _ = read_plan(file)
        assert plan == first.plan
        assert mapc.check(read, plan) == []
        assert verify(read, plan).objective == first.objective
        assert json.loads(file.read_bytes())["kind"] == "placement"


# -- names mean nothing ----------------------------------------------------------------------------


def relabelled(problem: PlacementProblem, seed: int) -> PlacementProblem:
    """The same with other numbers for experts, and for ranks inside a node."""
    rng = np.random.default_rng(seed)
    expert, rank = rng.permutation(problem.n_experts), np.arange(problem.n_ranks)
    for n in range(problem.n_nodes):
        mine = np.flatnonzero(problem.node == n)
        rank[mine] = rng.permutation(mine)
    old_expert, old_rank = np.argsort(expert), np.argsort(rank)
    cluster, sources, pairs = problem.cluster, problem.sources, problem.transitions
    if sources is not None:
        by_rank = sources.shape[2] == problem.n_ranks
        sources = np.ascontiguousarray((sources[:, :, old_rank] if by_rank else sources)
                                       [..., old_expert])  # fmt: skip
    if pairs is not None:
        pairs = np.ascontiguousarray(pairs[:, :, old_expert][..., old_expert])
    current = problem.current
    if current is not None:
        current = np.append(expert, -1)[current][:, old_rank]

    def triples(rows: Any) -> Any:
        return np.stack([rows[:, 0], expert[rows[:, 1]], rank[rows[:, 2]]], axis=1)

    return problem.replace(
        counts=np.ascontiguousarray(problem.counts[..., old_expert]),
        cluster=replace(
            cluster,
            speed=cluster.speed[old_rank],
            link_source=rank[cluster.link_source],
            link_target=rank[cluster.link_target],
        ),
        transitions=pairs,
        sources=sources,
        current=current,
        pinned=triples(problem.pinned),
        forbidden=triples(problem.forbidden),
        dead=problem.dead[old_rank],
    )


def same(problem: PlacementProblem, a: float | None, b: float | None) -> bool:
    """Whether two figures are equal, but for sums of quotients rounded to ticks.

    Where all costs are whole numbers of some power of two, and nothing is divided by a number of
    sources or replicas, they are equal to the last bit.
    """
    if a is None or b is None:
        return a is b
    exact = problem.n_slots == problem.n_experts and not problem.cost.expert
    exact = exact and (problem.traffic != HOME or problem.balance_only)
    doubt = 0 if exact else 2 * problem.n_profiles * problem.n_layers
    return abs(a - b) <= doubt * problem.tick + (0 if exact else 2.0**-48 * abs(a))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problem=problems(), seed=st.integers(0, 2**20))
def test_numbers_of_ranks_and_experts_do_not_change_the_optimum(
    problem: PlacementProblem, seed: int
) -> None:
    other = relabelled(problem, seed)
    assert other.tick == problem.tick
    before, after = oracle(problem), oracle(other)
    if before is None or after is None:
        assert before is after
        return
    assert same(problem, before.objective, after.objective)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problem=problems(), seed=st.integers(0, 2**20))
def test_numbers_of_ranks_and_experts_do_not_change_the_bound(
    problem: PlacementProblem, seed: int
) -> None:
    bounds = [
        mapc.solve(one, time_limit=None, methods=["floor", "traffic"]).bound
        for one in (problem, relabelled(problem, seed))
    ]
    assert same(problem, *bounds)


# -- the same seed ---------------------------------------------------------------------------------


@cache
def larger(kind: str) -> PlacementProblem:
    """Problems in which searches draw many numbers."""
    options: dict[str, Any] = {"layers": 2, "experts": 12, "ranks": 4, "nodes": 2, "seed": 3}
    if kind in ("chain", "replicated chain"):
        return mapc.generate(
            "placement", **options, transitions=0.2, slots=3 + (kind != "chain"), tokens=5000
        )
    problem = mapc.generate("placement", **options, slots=4, profiles=2, tokens=5000)
    return problem.replace(dispatch=ADAPTIVE) if kind == "adaptive" else problem


@pytest.mark.parametrize("kind", ["chain", "replicated chain", "profiles", "adaptive"])
def test_same_seed_same_answer_without_a_clock(kind: str) -> None:
    first, second = (mapc.solve(larger(kind), time_limit=None, seed=7) for _ in range(2))
    assert (first.objective, first.bound, first.method, first.bound_method) == (
        second.objective,
        second.bound,
        second.method,
        second.bound_method,
    )
    assert first.plan == second.plan
