from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    EQUAL,
    EXPECTED,
    HOME,
    LOCAL,
    NONE,
    PlacementProblem,
    StepTime,
)
from mapc.models.placement.verify import replay, verify
from oracles.placement_cases import brute_force, problems, random_plan, random_split

CHECKED = settings(max_examples=150, deadline=None, derandomize=True)
Flow = dict[tuple[int, int], Fraction]

# -- an oracle of its own: token by token, in fractions --------------------------------------------


def ranks_of(plan: PlacementPlan, layer: int, expert: int) -> list[int]:
    return [g for g, row in enumerate(plan.slots[layer].tolist()) if expert in row]


def goes_to(problem: PlacementProblem, holders: list[int], rank: int) -> list[int]:
    """The replicas that a token on a rank may go to, each as likely as the others."""
    if problem.dispatch == LOCAL:
        if rank in holders:
            return [rank]
        near = [h for h in holders if problem.cluster.node[h] == problem.cluster.node[rank]]
        return near or holders
    return holders


def homes(problem: PlacementProblem, q: int, by_node: bool) -> list[int]:
    if not by_node:
        return [q]
    return [g for g in problem.live.tolist() if problem.node[g] == q]


def starts(problem: PlacementProblem, p: int, layer: int) -> Iterator[tuple[int, int, Fraction]]:
    """Where tokens live: rank, expert, how many."""
    live = problem.live.tolist()
    for expert in range(problem.n_experts):
        if problem.sources is None:
            for g in live:
                yield g, expert, Fraction(int(problem.counts[p, layer, expert]), len(live))
            continue
        by_node = problem.sources.shape[2] != problem.n_ranks
        for q, tokens in enumerate(problem.sources[p, layer, :, expert].tolist()):
            ranks = homes(problem, q, by_node)
            for g in ranks:
                yield g, expert, Fraction(tokens, len(ranks))


def split_of(plan: PlacementPlan, p: int, layer: int, expert: int) -> dict[tuple[int, int], int]:
    """Tokens by source and rank that the plan's split says."""
    assert plan.split is not None
    found = {}
    for g, row in enumerate(plan.slots[layer].tolist()):
        for c, e in enumerate(row):
            if e == expert:
                for q in range(plan.split.shape[2]):
                    found[q, g] = int(plan.split[p, layer, q, g, c])
    return found


def exact_home(
    problem: PlacementProblem, plan: PlacementPlan, p: int, layer: int
) -> tuple[dict[tuple[int, int], Fraction], Flow]:
    """Tokens by expert and rank, and flow, where tokens come from home."""
    tokens: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    flow: Flow = defaultdict(Fraction)
    for g, expert, amount in starts(problem, p, layer):
        total = int(problem.counts[p, layer, expert])
        if plan.split is None:
            holders = goes_to(problem, ranks_of(plan, layer, expert), g)
            parts = {h: Fraction(1, len(holders)) for h in holders}
        elif plan.split.shape[2] == 1:
            split = split_of(plan, p, layer, expert)
            parts = {h: Fraction(n, max(total, 1)) for (_, h), n in split.items()}
        else:
            parts = {}
        for h, part in parts.items():
            tokens[expert, h] += amount * part
            flow[g, h] += amount * part
    if plan.split is not None and plan.split.shape[2] > 1:
        by_node = plan.split.shape[2] != problem.n_ranks
        for expert in range(problem.n_experts):
            for (q, h), amount in split_of(plan, p, layer, expert).items():
                tokens[expert, h] += amount
                for g in homes(problem, q, by_node):
                    flow[g, h] += Fraction(amount, len(homes(problem, q, by_node)))
    return tokens, flow


def exact_layers(problem: PlacementProblem, plan: PlacementPlan, p: int) -> Iterator[Any]:
    """Yield tokens by expert and rank, and flow, of every layer of a profile."""
    share: dict[tuple[int, int], Fraction] = {}
    for layer in range(problem.n_layers):
        if problem.traffic != CHAIN:
            yield exact_home(problem, plan, p, layer)
            continue
        mass: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
        flow: Flow = defaultdict(Fraction)
        for (e1, g), part in share.items():
            assert problem.transitions is not None
            for e2, pairs in enumerate(problem.transitions[p, layer - 1, e1].tolist()):
                holders = goes_to(problem, ranks_of(plan, layer, e2), g)
                for h in holders:
                    mass[e2, h] += part * pairs / len(holders)
                    flow[g, h] += part * pairs / len(holders)
        share = {}
        for e in range(problem.n_experts):
            holders = ranks_of(plan, layer, e)
            total = sum(mass[e, h] for h in holders) if problem.dispatch == LOCAL else 0
            for h in holders:
                share[e, h] = mass[e, h] / total if total else Fraction(1, len(holders))
        yield (
            {key: part * int(problem.counts[p, layer, key[0]]) for key, part in share.items()},
            flow,
        )


def exact_work(problem: PlacementProblem, p: int, layer: int, tokens: Any) -> Fraction:
    """Ticks of the busiest rank; activations are floats."""
    total = int(problem.counts[p, layer].sum()) / problem.top_k
    worst = Fraction(0)
    for g in problem.live.tolist():
        mine = [amount for (_, h), amount in tokens.items() if h == g]
        work = sum(mine, Fraction(0)) * int(problem.token_ticks[p, g])
        if problem.cost.expert:
            chances = [min(float(amount) / total, 1.0) for amount in mine]
            per_step = total * float(problem.scale[p])
            active = [1.0 if c == 1.0 else -math.expm1(per_step * math.log1p(-c)) for c in chances]
            work = max(work, Fraction(math.fsum(active)) * int(problem.expert_ticks[p, g]))
        worst = max(worst, work)
    return worst


def exact_transfers(problem: PlacementProblem, p: int, flow: Flow) -> Fraction:
    if problem.traffic == NONE:
        return Fraction(0)
    ticks = {pair: n * int(problem.pair_ticks[p][pair]) for pair, n in flow.items()}
    if problem.cost.links != BUSIEST:
        return sum(ticks.values(), Fraction(0))
    sides = [
        sum((t for pair, t in ticks.items() if pair[side] == g), Fraction(0))
        for g in range(problem.n_ranks)
        for side in (0, 1)
    ]
    return max(sides)


def exact_objective(problem: PlacementProblem, plan: PlacementPlan) -> int:
    """Objective in ticks."""
    steps = []
    for p in range(problem.n_profiles):
        step = 0
        for layer, (tokens, flow) in enumerate(exact_layers(problem, plan, p)):
            work = round(exact_work(problem, p, layer, tokens))
            transfers = round(exact_transfers(problem, p, flow))
            both = max(work, transfers) if problem.cost.overlap else work + transfers
            step += int(problem.layer_ticks[p]) + both
        steps.append(step)
    return sum(steps) if problem.cost.profiles == EXPECTED else max(steps)


def is_whole(problem: PlacementProblem) -> bool:
    """Whether every token is handled whole, so that nothing is rounded."""
    alone = problem.n_slots == problem.n_experts and problem.traffic != HOME
    return alone and not problem.cost.expert


# -- objective and figures -------------------------------------------------------------------------


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_the_objective_is_that_of_single_tokens(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    verdict = verify(problem, plan)
    assert verdict.objective is not None
    ticks, expected = verdict.objective / problem.tick, exact_objective(problem, plan)
    if is_whole(problem):
        assert ticks == expected
    # what a layer adds is rounded twice; the sums before it have 53 bits
    layers = 2 * problem.n_profiles * problem.n_layers
    assert abs(ticks - expected) <= layers + expected * 2.0**-50


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_the_figures_are_those_of_single_tokens(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    facts = verify(problem, plan).facts
    speed, node = problem.cluster.speed, problem.cluster.node
    even, rank, other = [], 0.0, 0.0
    for p in range(problem.n_profiles):
        balance, flow = [], defaultdict(float)
        for tokens, moved in exact_layers(problem, plan, p):
            load = [
                float(sum(amount for (_, h), amount in tokens.items() if h == g)) / speed[g]
                for g in problem.live
            ]
            balance.append(sum(load) / len(load) / max(load))
            for pair, amount in moved.items():
                flow[pair] += float(amount)
        even.append(balance)
        total = sum(flow.values()) or 1.0
        rank += problem.weight[p] * sum(n for (g, h), n in flow.items() if g != h) / total
        other += (
            problem.weight[p] * sum(n for (g, h), n in flow.items() if node[g] != node[h]) / total
        )
    means = [sum(balance) / len(balance) for balance in even]
    assert facts["balancedness"] == pytest.approx(np.dot(means, problem.weight))
    assert list(facts["balancedness_by_profile"].values()) == pytest.approx(means)
    assert facts["worst_balancedness"] == pytest.approx(min(means))
    assert facts["min_layer_balancedness"] == pytest.approx(min(min(row) for row in even))
    assert facts["cross_rank"] == pytest.approx(rank, abs=1e-12)
    assert facts["cross_node"] == pytest.approx(other, abs=1e-12)
    assert facts["redundant"] == problem.n_slots - problem.n_experts
    assert facts["most_replicas"] == plan.replicas(problem.n_experts).max()
    assert json.loads(json.dumps(facts)) == facts


@CHECKED
@given(problems(overlap=False), st.integers(0, 2**20))
def test_the_parts_add_up(problem: PlacementProblem, seed: int) -> None:
    verdict = verify(problem, random_plan(problem, seed))
    facts = verdict.facts
    assert facts["compute"] + facts["transfers"] + facts["fixed"] == verdict.objective


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_the_replay_is_what_the_verdict_says(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    seen = replay(problem, plan)
    assert np.allclose(seen.handled.sum(axis=(2, 3)), problem.counts.sum(axis=2))
    assert (seen.handled[:, :, problem.dead] == 0).all()
    assert (seen.flow >= 0).all()
    work, transfers = np.rint(seen.work.max(axis=2)), np.rint(seen.transfers)
    both = np.maximum(work, transfers) if problem.cost.overlap else work + transfers
    steps = (both + problem.layer_ticks[:, None]).sum(axis=1)
    ticks = steps.sum() if problem.cost.profiles == EXPECTED else steps.max()
    assert verify(problem, plan).objective == ticks * problem.tick


def relabelled(
    problem: PlacementProblem, plan: PlacementPlan, seed: int
) -> tuple[PlacementProblem, PlacementPlan]:
    """The same with other numbers for experts, for ranks inside a node, and for slots."""
    rng = np.random.default_rng(seed)
    expert = rng.permutation(problem.n_experts)  # new number of each
    rank = np.arange(problem.n_ranks)
    for n in range(problem.n_nodes):
        mine = np.flatnonzero(problem.node == n)
        rank[mine] = rng.permutation(mine)
    old_expert, old_rank = np.argsort(expert), np.argsort(rank)
    cluster, sources, pairs = problem.cluster, problem.sources, problem.transitions

    def triples(rows: Any) -> Any:
        return np.stack([rows[:, 0], expert[rows[:, 1]], rank[rows[:, 2]]], axis=1)

    def slots(table: Any) -> Any:
        named = np.append(expert, -1)[table]
        return named[:, old_rank]

    if sources is not None:
        sources = sources[..., old_expert]
        if sources.shape[2] == problem.n_ranks:
            sources = sources[:, :, old_rank]
        sources = np.ascontiguousarray(sources)
    changed = problem.replace(
        counts=np.ascontiguousarray(problem.counts[..., old_expert]),
        cluster=replace(
            cluster,
            speed=cluster.speed[old_rank],
            link_source=rank[cluster.link_source],
            link_target=rank[cluster.link_target],
        ),
        transitions=None
        if pairs is None
        else np.ascontiguousarray(pairs[:, :, old_expert][..., old_expert]),
        sources=sources,
        current=None if problem.current is None else slots(problem.current),
        pinned=triples(problem.pinned),
        forbidden=triples(problem.forbidden),
        dead=problem.dead[old_rank],
    )
    order = rng.permutation(problem.slots)
    split = None if plan.split is None else plan.split[:, :, :, old_rank][..., order]
    if split is not None and split.shape[2] == problem.n_ranks:
        split = split[:, :, old_rank]
    return changed, PlacementPlan(slots(plan.slots)[..., order], split)


@CHECKED
@given(problems(), st.integers(0, 2**20))
def test_numbers_of_ranks_and_experts_mean_nothing(problem: PlacementProblem, seed: int) -> None:
    plan = random_plan(problem, seed)
    before, after = verify(problem, plan), verify(*relabelled(problem, plan, seed))
    assert len(before.violations) == len(after.violations)
    assert before.objective is not None
    if problem.balance_only and problem.dispatch == EQUAL:
        assert after.objective == before.objective
    layers = 2 * problem.n_profiles * problem.n_layers
    assert after.objective == pytest.approx(
        before.objective, rel=2.0**-50, abs=layers * problem.tick
    )
    for name in ("balancedness", "cross_rank", "cross_node", "compute", "transfers"):
        assert after.facts[name] == pytest.approx(before.facts[name], abs=1e-9)
    assert after.facts["moves"] == before.facts["moves"]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    problems(experts=3, ranks=2, activated=False, dispatch=EQUAL),
    st.integers(0, 2**20),
)
def test_nothing_beats_enumeration(problem: PlacementProblem, seed: int) -> None:
    best, verdict = brute_force(problem), verify(problem, random_plan(problem, seed))
    if not verdict.violations:
        assert best is not None
        assert verdict.objective is not None
        assert best.objective <= verdict.objective


# -- rules -----------------------------------------------------------------------------------------


def small(**changes: Any) -> PlacementProblem:
    """One profile, two layers, four experts on two nodes of two ranks with two slots."""
    given: dict[str, Any] = {
        "name": "small",
        "counts": np.array([[[6, 3, 2, 1], [4, 4, 2, 2]]]),
        "profiles": ("decode",),
        "weight": np.ones(1),
        "scale": np.ones(1),
        "cluster": DeviceGraph.cluster([2, 2], 1000, 4.0, 1.0),
        "slots": 2,
    }
    return PlacementProblem(**{**given, **changes})


GOOD = np.tile(np.array([[0, 1], [2, 3], [0, 2], [1, 3]]), (2, 1, 1))


def changed(place: tuple[int, ...], value: Any) -> Any:
    slots = GOOD.copy()
    slots[place] = value
    return slots


def test_a_plan_by_hand() -> None:
    verdict = verify(small(), PlacementPlan(GOOD))
    # layer 0: 3+1.5, 1+0.5, 3+1, 1.5+0.5; layer 1: 2+2, 1+1, 2+1, 2+1
    assert verdict.objective == 4.5 + 4.0
    assert verdict.violations == ()
    assert verdict.facts == {
        "balancedness": pytest.approx((3 / 4.5 + 3 / 4) / 2),
        "worst_balancedness": pytest.approx((3 / 4.5 + 3 / 4) / 2),
        "min_layer_balancedness": pytest.approx(3 / 4.5),
        "balancedness_by_profile": {"decode": pytest.approx((3 / 4.5 + 3 / 4) / 2)},
        "cross_rank": pytest.approx(0.75),
        "cross_node": pytest.approx(0.5),
        "compute": 8.5,
        "transfers": 0.0,
        "fixed": 0.0,
        "worst_rank": "rank0",
        "moves": None,
        "redundant": 4,
        "most_replicas": 2,
    }


def test_transfers_by_hand() -> None:
    """Two ranks; every token lives on the first one and half of them go to the second."""
    given = {
        "counts": np.array([[[4, 4]]]),
        "cluster": DeviceGraph.cluster([1, 1], 1000, 1.0, 2.0),
        "slots": 1,
        "sources": np.array([[[[4, 4], [0, 0]]]]),
        "traffic": HOME,
        "cost": StepTime(transfer=3.0, layer=10.0),
    }
    plan = PlacementPlan(np.array([[[0], [1]]]))
    verdict = verify(small(**given), plan)
    assert verdict.objective == 10 + 4 + 4 * 3 / 2
    assert (verdict.facts["cross_rank"], verdict.facts["cross_node"]) == (0.5, 0.5)
    given["cost"] = StepTime(transfer=3.0, layer=10.0, overlap=True)
    assert verify(small(**given), plan).objective == 10 + 6


def test_a_chain_by_hand() -> None:
    """Expert 0 always follows expert 0, so that only its tokens stay where they are."""
    pairs = np.array([[[[6, 0], [0, 6]]]])
    given: dict[str, Any] = {
        "counts": np.array([[[6, 6], [6, 6]]]),
        "cluster": DeviceGraph.cluster([2], 1000, 1.0, 1.0),
        "slots": 1,
        "traffic": CHAIN,
        "transitions": pairs,
        "cost": StepTime(transfer=1.0),
    }
    stays = PlacementPlan(np.array([[[0], [1]], [[0], [1]]]))
    swaps = PlacementPlan(np.array([[[0], [1]], [[1], [0]]]))
    assert verify(small(**given), stays).objective == 12
    assert verify(small(**given), swaps).objective == 24
    assert verify(small(**given), swaps).facts["cross_rank"] == 1.0
    given["cost"] = StepTime(transfer=1.0, links=BUSIEST)
    assert verify(small(**given), swaps).objective == 18


def test_local_dispatch_by_hand() -> None:
    """Expert 0 is on ranks 0 and 2, one in each node: tokens of a node use its own."""
    problem = small(
        dispatch=LOCAL, sources=np.array([[[[6, 3, 2, 1], [0] * 4], [[4, 4, 2, 2], [0] * 4]]])
    )
    verdict = verify(problem, PlacementPlan(GOOD))
    # all tokens live in node 0 and stay there, for it has every expert
    assert verdict.objective == 9 + 8
    assert verdict.facts["cross_node"] == 0.0
    assert verdict.facts["cross_rank"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (None, "slots: no whole numbers; expected whole numbers of shape (2, 4, 2)"),
        (GOOD.astype(float), "slots: no whole numbers"),
        (GOOD[:1], "slots: shape (1, 4, 2); expected whole numbers of shape (2, 4, 2)"),
        (changed((1, 2, 0), 4), "layer 1, rank 'rank2': expert 4 in slot 0; 0 to 3"),
        (changed((1, 2, 0), -1), "layer 1, rank 'rank2': expert -1 in slot 0; 0 to 3"),
        (changed((0, 3, 1), 1), "layer 0, rank 'rank3': expert 1 is there twice"),
        (changed((1, slice(None)), [0, 1]), "layer 1: expert 2 is on no rank"),
    ],
)
def test_what_cannot_be_replayed(slots: Any, message: str) -> None:
    verdict = verify(small(), PlacementPlan(slots))
    assert verdict.violations[0].startswith(message)
    assert verdict.objective is None
    with pytest.raises(ValueError, match=r"slots|layer"):
        replay(small(), PlacementPlan(slots))


def test_dead_ranks_hold_nothing() -> None:
    problem = small(dead=np.array([False, False, False, True]))
    verdict = verify(problem, PlacementPlan(GOOD))
    assert (
        "layer 0, rank 'rank3': expert 1 in slot 0; expected -1, it is dead" in verdict.violations
    )
    assert verify(problem, PlacementPlan(changed((slice(None), 3), -1))).violations == ()


def test_pins_and_forbidden_pairs() -> None:
    problem = small(
        pinned=np.array([[0, 3, 0], [0, 0, 0]]), forbidden=np.array([[1, 2, 2], [1, 2, 3]])
    )
    verdict = verify(problem, PlacementPlan(GOOD))
    assert verdict.violations == (
        "layer 0: expert 3 is not on rank 'rank0', where it is pinned",
        "layer 1: expert 2 is on rank 'rank2', where it is forbidden",
    )
    assert verdict.objective == 8.5


def test_moves_are_new_triples() -> None:
    current = GOOD.copy()
    current[0, 0] = [1, 2]  # one of them stays, in another slot
    current[1, 3] = [3, -1]
    problem = small(current=current, max_moves=1)
    verdict = verify(problem, PlacementPlan(GOOD))
    assert verdict.facts["moves"] == 2
    assert verdict.violations == ("2 moves, above the budget 1",)
    assert verify(problem.replace(max_moves=2), PlacementPlan(GOOD)).violations == ()


def test_the_load_limit() -> None:
    limit = 4.5 / 3
    assert verify(small(max_imbalance=limit), PlacementPlan(GOOD)).violations == ()
    verdict = verify(small(max_imbalance=limit - 1e-9), PlacementPlan(GOOD))
    assert verdict.violations == (
        "profile 'decode', layer 0, rank 'rank0': 1.5 times the mean load, above the limit 1.5",
    )


def test_the_load_limit_counts_speed() -> None:
    cluster = replace(small().cluster, speed=np.array([0.5, 1.0, 1.0, 1.0]))
    verdict = verify(small(max_imbalance=2.0, cluster=cluster), PlacementPlan(GOOD))
    # 9, 1.5, 4, 2 and 8, 2, 3, 3
    assert [line.split(":")[0] for line in verdict.violations] == [
        "profile 'decode', layer 0, rank 'rank0'"
    ]


def split_with(place: tuple[int, ...], value: int) -> Any:
    split = random_split(small(), GOOD, np.random.default_rng(1))
    split[place] = value
    return split


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (split_with((), 0).astype(float), "split: no whole numbers; expected whole numbers of"),
        (split_with((), 0)[:, :1], "split: shape (1, 1, 1, 4, 2); expected whole numbers of"),
        (
            split_with((0, 1, 0, 2, 1), -1),
            "profile 'decode', layer 1, rank 'rank2': -1 tokens in sl",
        ),
        (
            split_with((0, 1, 0, slice(0, 4, 2), 0), 3),
            "profile 'decode', layer 1, expert 0: the split has 6 tokens of source 0; expected 4",
        ),
        (split_with((), 2**62), "profile 'decode', layer 0, rank 'rank0': 4611686018427387904 tok"),
    ],
)
def test_splits_sum_up(split: Any, message: str) -> None:
    verdict = verify(small(dispatch=ADAPTIVE), PlacementPlan(GOOD, split))
    assert verdict.violations[0].startswith(message)
    assert verdict.objective is None


def test_a_split_belongs_to_adaptive_dispatch() -> None:
    plan = PlacementPlan(GOOD, split_with((0, 0, 0, 0, 0), 0))
    verdict = verify(small(), plan)
    assert verdict.violations == ("a split of tokens, which 'equal' dispatch does not take",)


def test_a_split_gives_dead_ranks_nothing() -> None:
    problem = small(dead=np.array([False, False, False, True]), dispatch=ADAPTIVE)
    slots = changed((slice(None), 3), -1)
    split = random_split(problem, slots, np.random.default_rng(0))
    assert verify(problem, PlacementPlan(slots, split)).violations == ()
    split[0, 0, 0, 3, 0] = 1
    assert verify(problem, PlacementPlan(slots, split)).violations == (
        "profile 'decode', layer 0, rank 'rank3': 1 tokens in slot 0",
    )


def test_without_a_split_replicas_share_equally() -> None:
    equal, adaptive = small(), small(dispatch=ADAPTIVE)
    plan = PlacementPlan(GOOD)
    assert verify(adaptive, plan).objective == verify(equal, plan).objective


def test_many_violations_are_counted() -> None:
    counts = np.ones((1, 30, 4), dtype=np.int64)
    slots = np.tile(GOOD[:1], (30, 1, 1))
    slots[:, 0, 0] = 7
    verdict = verify(small(counts=counts), PlacementPlan(slots))
    assert len(verdict.violations) == 21
    assert verdict.violations[-1] == "and 10 more"


class Odd:
    """A plan that is none."""

    slots = np.array([["a"]])
    split = np.array([1])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    problems(dispatch=ADAPTIVE, traffic=NONE),
    st.sampled_from(
        [
            *(None, 3, "abc", [], [[0, 1], [2]], {}, Odd(), np.array(None), np.zeros(0, dtype=int)),
            *(np.full((1, 1, 1), value) for value in (-5, 2**63 - 1, np.nan, True)),
            *(np.zeros(shape, dtype=int) for shape in ((1,), (1, 2, 3), (1,) * 5, (2, 1, 1, 2, 2))),
        ]
    ),
    st.sampled_from([None, 0, "x", [[1], [2, 3]], np.zeros((1, 1, 1, 2, 2)), Odd()]),
    st.booleans(),
)
def test_no_plan_makes_it_raise(problem: Any, slots: Any, split: Any, sound: bool) -> None:
    given = random_plan(problem).slots if sound else slots
    for plan in (PlacementPlan(given, split), slots):
        verdict = verify(problem, plan)
        assert verdict.violations or verdict.objective is not None
        assert all("\n" not in line for line in verdict.violations)
