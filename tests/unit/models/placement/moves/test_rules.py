from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InfeasibleError
from mapc.models.placement import FAMILY
from mapc.models.placement.moves.rules import (
    LayerRules,
    feasible_table,
    feasible_tables,
    improve,
    layer_rules,
    members,
    run,
)
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import ADAPTIVE, EQUAL, NONE, PlacementProblem
from mapc.models.placement.rows import plan_of
from mapc.models.placement.verify import verify
from oracles.placement_cases import random_problem, tables

many = settings(max_examples=150, deadline=None, derandomize=True)
few = settings(max_examples=40, deadline=None, derandomize=True)


class Recorder:
    """A search that verifies and keeps everything."""

    seed, deterministic, plan, objective, bound = 0, True, None, None, None

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem, self.refused, self.bounds = problem, [], []

    def remaining(self) -> float:
        return float("inf")

    def done(self) -> bool:
        return False

    def propose(self, plan: PlacementPlan, source: str) -> bool:
        verdict = verify(self.problem, plan)
        if verdict.violations:
            self.refused.append(verdict.violations)
            return False
        if self.objective is not None and verdict.objective >= self.objective:
            return False
        self.plan, self.objective = plan, verdict.objective
        return True

    def prove(self, bound: float, source: str) -> None:
        self.bounds.append(bound)

    def note(self, text: str) -> None:
        raise AssertionError(text)


@st.composite
def rules_of(draw: st.DrawFn, current: bool = True) -> LayerRules:
    n_ranks, n_experts = draw(st.integers(1, 3)), draw(st.integers(2, 5))
    least = -(-n_experts // n_ranks)
    slots = draw(st.integers(least, min(least + 1, n_experts)))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    allowed = rng.random((n_experts, n_ranks)) < draw(st.sampled_from([0.5, 0.75, 1.0]))
    pinned = allowed & (rng.random(allowed.shape) < draw(st.sampled_from([0.0, 0.1, 0.3])))
    table = None
    if current and draw(st.booleans()):
        table = np.stack([rng.permutation(n_experts)[:slots] for _ in range(n_ranks)])
        table[rng.random(table.shape) < draw(st.sampled_from([0.0, 0.2]))] = -1
    return LayerRules(slots, allowed, pinned, table)


def every_table(rules: LayerRules):
    rows = [
        [
            row
            for row in itertools.combinations(range(rules.n_experts), rules.slots)
            if rules.allowed[list(row), h].all()
            and set(np.flatnonzero(rules.pinned[:, h])) <= set(row)
        ]
        for h in range(rules.n_ranks)
    ]
    for table in itertools.product(*rows):
        if len(set(itertools.chain.from_iterable(table))) == rules.n_experts:
            yield np.array(table)


# -- one table -------------------------------------------------------------------------------------


@many
@given(rules_of())
def test_a_table_is_found_whenever_there_is_one_with_the_fewest_new_pairs(rules) -> None:
    fewest = min(map(rules.new_pairs, every_table(rules)), default=None)
    if fewest is None:
        with pytest.raises(InfeasibleError):
            feasible_table(rules)
        return
    table = feasible_table(rules)
    assert rules.obeyed(table)
    if rules.table is not None:
        assert rules.new_pairs(table) == fewest


@many
@given(rules_of(current=False), st.integers(0, 2**20))
def test_a_preferred_table_is_mended_with_the_fewest_changes(rules, seed) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(rules.n_experts)[: rules.slots] for _ in range(rules.n_ranks)]
    preferred = np.stack(rows)
    wanted = members(preferred, rules.n_experts, rules.n_ranks)

    def changes(table):
        return int((members(table, rules.n_experts, rules.n_ranks) & ~wanted).sum())

    fewest = min(map(changes, every_table(rules)), default=None)
    if fewest is not None:
        assert changes(feasible_table(rules, preferred)) == fewest


@few
@given(rules_of(), st.integers(0, 2**20))
def test_among_as_few_moves_the_preferred_table_is_followed(rules, seed) -> None:
    if rules.table is None:
        return
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(rules.n_experts)[: rules.slots] for _ in range(rules.n_ranks)]
    wanted = members(np.stack(rows), rules.n_experts, rules.n_ranks)

    def key(table):
        held = members(table, rules.n_experts, rules.n_ranks)
        return rules.new_pairs(table), int((held & ~wanted).sum())

    best = min(map(key, every_table(rules)), default=None)
    if best is not None:
        assert key(feasible_table(rules, np.stack(rows))) == best


@many
@given(rules_of())
def test_obeyed_agrees_with_enumeration(rules) -> None:
    held = {tuple(map(tuple, table)) for table in every_table(rules)}
    rows = list(itertools.combinations(range(rules.n_experts), rules.slots))
    for table in itertools.islice(itertools.product(rows, repeat=rules.n_ranks), 50):
        assert rules.obeyed(np.array(table)) == (table in held)


def test_tables_with_holes_or_duplicates_are_not_obeyed() -> None:
    free = np.ones((2, 1), dtype=np.bool_)
    rules = LayerRules(2, free, ~free)
    assert rules.obeyed(np.array([[1, 0]]))
    assert not rules.obeyed(np.array([[1, -1]]))
    assert not rules.obeyed(np.array([[1, 1]]))
    assert not rules.obeyed(np.array([[1, 0], [1, 0]]))


def test_pins_lock_their_slots() -> None:
    pinned = np.zeros((3, 2), dtype=np.bool_)
    pinned[2, 1] = True
    rules = LayerRules(2, np.ones_like(pinned), pinned)
    assert rules.locked(np.array([[2, 0], [1, 2]])).tolist() == [[False, False], [False, True]]


# -- reasons ---------------------------------------------------------------------------------------


def rules_with(allowed, slots, pinned=()) -> LayerRules:
    allowed = np.array(allowed, dtype=np.bool_)
    must = np.zeros_like(allowed)
    for pair in pinned:
        must[pair] = True
    return LayerRules(slots, allowed, must, where="layer 3", names=("a", "b"))


def test_the_reason_names_experts_that_fit_nowhere() -> None:
    with pytest.raises(InfeasibleError, match=r"^layer 3: expert 1 fits nowhere$"):
        feasible_table(rules_with([[1, 1], [0, 0], [1, 1]], 2))


def test_the_reason_names_experts_crowded_onto_too_few_slots() -> None:
    allowed = [[1, 0], [1, 0], [1, 0], [1, 1], [1, 1]]
    with pytest.raises(InfeasibleError) as caught:
        feasible_table(rules_with(allowed, 2))
    assert str(caught.value) == (
        "layer 3: expert 0, expert 1, expert 2 fit only on a, with 2 slots beside what is pinned"
    )


def test_the_reason_names_a_rank_that_cannot_be_filled() -> None:
    with pytest.raises(InfeasibleError, match="b may hold 1 experts and has 2 slots"):
        feasible_table(rules_with([[1, 0], [1, 0], [0, 1]], 2))


def test_the_reason_names_a_rank_with_too_many_pins() -> None:
    rules = rules_with([[1, 1], [1, 1]], 1, pinned=[(0, 0), (1, 0)])
    with pytest.raises(InfeasibleError, match=r"2 experts are pinned to a, which has room for 1"):
        feasible_table(rules)


def test_long_lists_are_cut() -> None:
    allowed = np.ones((20, 2), dtype=np.bool_)
    allowed[:12, 1] = False
    with pytest.raises(InfeasibleError, match=r"12 experts \(expert 0, .*, expert 7, \.\.\.\)"):
        feasible_table(LayerRules(10, allowed, np.zeros_like(allowed)))


# -- problems --------------------------------------------------------------------------------------


@few
@given(st.integers(0, 2**20))
def test_layer_rules_say_what_the_problem_says(seed) -> None:
    problem = random_problem(seed, rules=True, dead=1, current=True)
    rules = layer_rules(problem)
    for layer, rule in enumerate(rules):
        found = {tuple(map(tuple, table)) for table in every_table(rule)}
        assert found == {tuple(map(tuple, t.tolist())) for t in tables(problem, layer)}
        assert rule.table.tolist() == problem.current[layer, problem.live].tolist()


@few
@given(st.integers(0, 2**20))
def test_a_budget_that_is_too_small_is_proven_infeasible(seed) -> None:
    problem = random_problem(seed, rules=True, current=True, max_moves=-1, max_imbalance=0.0)
    fewest = []
    for layer, rule in enumerate(layer_rules(problem)):
        fewest.append(min(map(rule.new_pairs, tables(problem, layer)), default=None))
    if None in fewest:
        with pytest.raises(InfeasibleError):
            feasible_tables(problem)
        return
    needed = sum(fewest)
    _, found = feasible_tables(problem.replace(max_moves=needed))
    plan = plan_of(problem, found)
    assert verify(problem.replace(max_moves=needed), plan).violations == ()
    if needed:
        with pytest.raises(InfeasibleError, match=f"needs at least {needed} moves"):
            feasible_tables(problem.replace(max_moves=needed - 1))


@few
@given(st.integers(0, 2**20))
def test_stay_proposes_a_valid_plan_under_every_rule(seed) -> None:
    problem = random_problem(seed)
    search = Recorder(problem)
    try:
        run(problem, search)
    except InfeasibleError:
        layers = range(problem.n_layers)
        fewest = [
            min(map(rule.new_pairs, tables(problem, layer)), default=np.inf)
            for layer, rule in zip(layers, layer_rules(problem), strict=True)
        ]
        assert sum(fewest) > (np.inf if problem.max_moves is None else problem.max_moves) or (
            np.inf in fewest
        )
        return
    assert not search.refused
    if problem.max_imbalance is None:
        assert (search.plan is None) == (problem.free and problem.current is None)


def test_staying_is_staying() -> None:
    problem = random_problem(5, rules=False, dead=0, max_moves=0, current=True, max_imbalance=0.0)
    search = Recorder(problem)
    run(problem, search)
    assert verify(problem, search.plan).facts["moves"] == 0


def test_adaptive_dispatch_gets_the_best_split() -> None:
    """In force: expert 0 with all the tokens on both ranks, and one more on the second."""
    base = random_problem(
        1, experts=3, ranks=2, slots=2, layers=1, profiles=1, traffic=NONE, dispatch=ADAPTIVE,
        dead=0, rules=False, current=False, whole=True, activated=False, max_imbalance=0.0,
        sources="none",
    )  # fmt: skip
    problem = base.replace(counts=np.array([[[10, 0, 4]]]), current=np.array([[[0, 1], [0, 2]]]))
    search = Recorder(problem)
    run(problem, search)
    assert search.plan.split[0, 0, 0].tolist() == [[7, 0], [3, 4]]


def test_a_dead_rank_costs_only_what_was_lost() -> None:
    problem = random_problem(
        3, experts=4, ranks=2, slots=3, dead=1, rules=False, current=False, max_imbalance=0.0,
        layers=1,
    )  # fmt: skip
    dead, (a, b) = int(np.flatnonzero(problem.dead)[0]), problem.live.tolist()
    current = np.full((1, 3, 3), -1)
    current[0, a], current[0, b], current[0, dead] = (0, 1, 2), (0, 1, 2), (0, 1, 3)
    problem = problem.replace(current=current, max_moves=1)
    search = Recorder(problem)
    run(problem, search)
    assert verify(problem, search.plan).facts["moves"] == 1
    with pytest.raises(InfeasibleError, match="needs at least 1 moves"):
        run(problem.replace(max_moves=0), search)


@few
@given(st.integers(0, 2**20))
def test_improvement_stays_within_the_rules_and_never_loses(seed) -> None:
    problem = random_problem(
        seed, rules=True, traffic=NONE, dispatch=EQUAL, goal="expected", current=False,
        max_imbalance=0.0,
    )  # fmt: skip
    try:
        rules, found = feasible_tables(problem)
    except InfeasibleError:
        return
    better = improve(problem, rules, [found])
    assert all(rule.obeyed(table) for rule, table in zip(rules, better, strict=True))
    before, after = (verify(problem, plan_of(problem, t)).objective for t in (found, better))
    assert after <= before * (1 + 1e-12)


def test_improvement_finds_the_balance_that_pins_leave() -> None:
    """Experts of work 4, 3, 2, 1 with 4 pinned beside 1: only one balance of 5 and 5 is left."""
    base = random_problem(
        1, experts=4, ranks=2, slots=2, layers=1, profiles=1, traffic=NONE, dispatch=EQUAL,
        dead=0, rules=False, current=False, whole=True, activated=False, max_imbalance=0.0,
        sources="none",
    )  # fmt: skip
    problem = base.replace(
        counts=np.array([[[4, 3, 2, 1]]]), pinned=np.array([[0, 0, 1], [0, 1, 0]])
    )
    search = Recorder(problem)
    run(problem, search)
    assert sorted(search.plan.slots[0, 1].tolist()) == [0, 3]
    assert FAMILY.kind == "placement"
