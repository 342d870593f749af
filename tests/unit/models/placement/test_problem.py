from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import CHAIN, HOME, NONE, WORST, PlacementProblem, StepTime
from mapc.models.placement.verify import verify
from oracles.placement_cases import problems, random_plan, random_problem


def tiny(**changes: object) -> PlacementProblem:
    """Two profiles, two layers, four experts on two nodes of two ranks."""
    given: dict[str, object] = {
        "name": "tiny",
        "counts": np.array([[[4, 3, 2, 1], [1, 1, 1, 1]], [[0, 0, 5, 5], [9, 1, 0, 0]]]),
        "profiles": ("prefill", "decode"),
        "weight": np.array([3.0, 1.0]),
        "scale": np.array([1.0, 2.0]),
        "cluster": DeviceGraph.cluster([2, 2], 1 << 30, 4.0, 1.0),
        "slots": 1,
    }
    return PlacementProblem(**{**given, **changes})  # type: ignore[arg-type]


def test_sizes() -> None:
    problem = tiny(slots=2, dead=np.array([False, True, False, False]))
    assert (problem.n_profiles, problem.n_layers, problem.n_experts) == (2, 2, 4)
    assert (problem.n_ranks, problem.n_nodes, problem.n_slots) == (4, 2, 6)
    assert problem.live.tolist() == [0, 2, 3]


def test_what_is_left_out_is_filled_in() -> None:
    problem = tiny()
    assert problem.layer_ids.tolist() == [0, 1]
    assert problem.model_layers == 2
    assert problem.dead.tolist() == [False] * 4
    assert tiny(layer_ids=np.array([3, 5])).model_layers == 6


def test_weights_sum_to_one_and_then_stay_as_they_are() -> None:
    problem = tiny(weight=np.array([3.0, 8.0]))
    assert problem.weight.sum() == pytest.approx(1, abs=1e-15)
    assert problem.weight[1] / problem.weight[0] == pytest.approx(8 / 3)
    # for these, dividing once more would change the last bit
    odd = tiny(weight=np.array([0.1, 0.7]))
    assert np.array_equal(odd.replace(name="again").weight, odd.weight)


def test_arrays_are_read_only() -> None:
    problem = tiny(sources=None)
    for array in (problem.counts, problem.weight, problem.scale):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_nodes_are_numbered_by_first_appearance() -> None:
    cluster = DeviceGraph.cluster([1, 1, 1, 1], 1, 1.0, 1.0)
    for name, value in (("node", np.array([7, 2, 7, 0])),):
        object.__setattr__(cluster, name, value)
    assert tiny(cluster=cluster).node.tolist() == [0, 1, 0, 2]


def test_a_pair_costs_bytes_over_bandwidth() -> None:
    problem = tiny(cost=StepTime(transfer=8.0), traffic=HOME)
    assert problem.pair[0].tolist() == [0, 2, 8, 8]
    assert not tiny(cost=StepTime(transfer=0.0), traffic=HOME).pair.any()


def test_when_only_balance_counts() -> None:
    pairs = np.ones((2, 1, 4, 4), dtype=np.int64)
    assert tiny(cost=StepTime(transfer=1.0), traffic=NONE).balance_only
    assert tiny(cost=StepTime(transfer=0.0), traffic=CHAIN, transitions=pairs).balance_only
    assert not tiny(cost=StepTime(transfer=1.0), traffic=CHAIN, transitions=pairs).balance_only


def test_what_is_allowed_where() -> None:
    dead = np.array([False, False, True, False])
    forbidden = np.array([[1, 2, 0], [0, 3, 3]])
    problem = tiny(dead=dead, forbidden=forbidden, slots=2)
    wrong = np.argwhere(~problem.allowed[:, :, ~dead]).tolist()
    assert wrong == [[0, 3, 2], [1, 2, 0]]
    assert not problem.allowed[:, :, 2].any()


@pytest.mark.parametrize(
    "change",
    [
        {"pinned": np.array([[0, 0, 0]])},
        {"forbidden": np.array([[0, 0, 0]])},
        {"max_imbalance": 2.0},
        {"dead": np.array([True, False, False, False]), "slots": 2},
        {"current": np.arange(8).reshape(2, 4, 1) % 4, "max_moves": 7},
    ],
)
def test_what_binds(change: dict[str, object]) -> None:
    assert tiny().free
    assert not tiny(**change).free


def test_a_budget_for_all_slots_binds_nothing() -> None:
    assert tiny(current=np.arange(8).reshape(2, 4, 1) % 4, max_moves=8).free


def test_factors() -> None:
    assert tiny().factor.tolist() == [0.75, 0.5]
    assert tiny(cost=StepTime(profiles=WORST)).factor.tolist() == [1.0, 2.0]


def test_activations_are_expected_numbers_of_experts() -> None:
    problem = tiny(top_k=2)
    replicas = 2
    for p, layer, e in np.ndindex(2, 2, 4):
        tokens = problem.counts[p, layer].sum() / 2
        chance = min(problem.counts[p, layer, e] / tokens / replicas, 1.0)
        expected = 1 - (1 - chance) ** (tokens * problem.scale[p])
        assert problem.activated(replicas)[p, layer, e] == pytest.approx(expected)


def test_an_expert_of_every_token_is_active() -> None:
    assert tiny(counts=np.array([[[7, 0, 0, 0]] * 2] * 2)).activated()[0, 0].tolist() == [
        1,
        0,
        0,
        0,
    ]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems())
def test_ticks_are_whole_and_their_sums_exact(problem: PlacementProblem) -> None:
    assert math.frexp(problem.tick)[0] == 0.5  # a power of two
    for name in ("token_ticks", "expert_ticks", "pair_ticks", "layer_ticks"):
        ticks = getattr(problem, name)
        assert np.array_equal(ticks, np.rint(ticks))
    verdict = verify(problem, random_plan(problem, 1))
    assert verdict.objective is not None
    ticks = verdict.objective / problem.tick
    assert ticks == int(ticks)
    assert 0 <= ticks < 2**53


def test_a_step_that_costs_nothing() -> None:
    problem = tiny(cost=StepTime(token=0.0))
    assert problem.tick == 1.0
    assert verify(problem, random_plan(problem)).objective == 0.0


def test_drawn_problems_differ_and_repeat() -> None:
    first, again, other = (random_problem(seed, whole=True) for seed in (5, 5, 6))
    assert np.array_equal(first.counts, again.counts)
    assert first.name != other.name
