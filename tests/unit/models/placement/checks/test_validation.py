from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.problem import (
    ADAPTIVE,
    CHAIN,
    HOME,
    LOCAL,
    PlacementProblem,
    StepTime,
)

COUNTS = np.array([[[4, 3, 2, 1], [1, 1, 1, 1]], [[0, 0, 5, 5], [9, 1, 0, 0]]])
NAN, INF = float("nan"), float("inf")


def problem_with(**changes: Any) -> PlacementProblem:
    """Two profiles, two layers, four experts, two nodes of two ranks, two slots each."""
    given: dict[str, Any] = {
        "name": "case",
        "counts": COUNTS,
        "profiles": ("prefill", "decode"),
        "weight": np.array([3.0, 1.0]),
        "scale": np.array([1.0, 2.0]),
        "cluster": DeviceGraph.cluster([2, 2], 1000, 4.0, 1.0),
        "slots": 2,
    }
    return PlacementProblem(**{**given, **changes})


def counts_with(place: tuple[int, ...], value: int) -> Any:
    counts = COUNTS.copy()
    counts[place] = value
    return counts


def cluster_with(**changes: Any) -> DeviceGraph:
    names = ("names", "memory", "node", "speed", "link_source", "link_target", "bandwidth")
    given = {name: getattr(DeviceGraph.cluster([2, 2], 1000, 4.0, 1.0), name) for name in names}
    given["latency"] = np.zeros(len(changes.get("link_source", given["link_source"])))
    return DeviceGraph(**{**given, **changes})


def triples(*rows: tuple[int, int, int]) -> Any:
    return np.array(rows, dtype=np.int64)


def current_with(place: tuple[int, ...], value: int) -> Any:
    current = np.tile(np.array([[0, 1], [2, 3], [0, 1], [2, 3]]), (2, 1, 1))
    current[place] = value
    return current


BY_NODE = np.stack([COUNTS, np.zeros_like(COUNTS)], axis=2)
BY_RANK = np.stack([COUNTS, *[np.zeros_like(COUNTS)] * 3], axis=2)
PAIRS = np.ones((2, 1, 4, 4), dtype=np.int64)
DEAD = np.array([True, False, False, False])


def first_dead(sources: Any) -> Any:
    """The same sources, but for one token that lives on the first one."""
    moved = np.zeros_like(sources)
    moved[:, :, -1] = sources.sum(axis=2)
    moved[0, 0, -1, 0] -= 1
    moved[0, 0, 0, 0] += 1
    return moved


def negative(array: Any, place: tuple[int, ...]) -> Any:
    array = array.copy()
    array[place] = -1
    return array


CASES: list[tuple[dict[str, Any], str]] = [
    # arrays
    ({"counts": COUNTS.tolist()}, "counts: list; expected an array of int64"),
    ({"counts": COUNTS.astype(float)}, "counts: an array of float64; expected an array of int64"),
    ({"counts": COUNTS.astype(np.int32)}, "counts: an array of int32; expected an array of int64"),
    ({"counts": COUNTS[0]}, "counts: shape (2, 4); expected 3 axes"),
    ({"counts": COUNTS[:, :0]}, "counts: shape (2, 0, 4); expected at least 1 profile, layer and"),
    ({"counts": COUNTS[:, :, :0]}, "counts: shape (2, 2, 0)"),
    ({"weight": [1, 2]}, "weight: list; expected an array of float64"),
    ({"cluster": None}, "cluster: NoneType; expected a DeviceGraph"),
    ({"dead": np.zeros(4, dtype=int)}, "dead: an array of int64; expected an array of bool"),
    ({"transitions": PAIRS.astype(float)}, "transitions: an array of float64"),
    # sizes
    ({"profiles": ("prefill",)}, "profiles: 1 names; expected 2, as counts has"),
    ({"weight": np.ones(3)}, "weight: shape (3,); expected (2,)"),
    ({"scale": np.ones(1)}, "scale: shape (1,); expected (2,)"),
    ({"dead": np.zeros(3, dtype=bool)}, "dead: shape (3,); expected (4,)"),
    ({"layer_ids": np.arange(3)}, "layer_ids: shape (3,); expected (2,)"),
    ({"pinned": np.zeros((1, 2), dtype=np.int64)}, "pinned: shape (1, 2); expected (1, 3)"),
    ({"transitions": PAIRS[:, :, :3]}, "transitions: shape (2, 1, 3, 4); expected (2, 1, 4, 4)"),
    ({"sources": BY_NODE[:, :1]}, "sources: shape (2, 1, 2, 4); expected (2, 2, 4 ranks or 2"),
    ({"sources": BY_RANK[:, :, :3]}, "sources: shape (2, 2, 3, 4)"),
    ({"current": current_with((), 0)[:, :3]}, "current: shape (2, 3, 2); expected (2, 4, 2)"),
    # loads
    (
        {"counts": counts_with((1, 0, 3), -2)},
        "profile 'decode', layer 0, expert 3: -2 tokens; expected a count >= 0",
    ),
    (
        {"counts": counts_with((1, 1), 0), "layer_ids": np.array([3, 4])},
        "profile 'decode', layer 1 (layer 4 of the model): no tokens for any expert; expected some",
    ),
    ({"counts": counts_with((0, 0, 0), 2**52)}, "counts: 4.5036e+15 tokens in all; expected at mo"),
    ({"counts": counts_with((0,), 2**62)}, "counts: 3.68935e+19 tokens in all"),
    ({"profiles": ("a", "a")}, "profile 'a': name used twice; expected distinct names"),
    (
        {"weight": np.array([1.0, NAN])},
        "profile 'decode': weight nan; expected a finite number > 0",
    ),
    ({"weight": np.array([1.0, 0.0])}, "profile 'decode': weight 0.0"),
    ({"weight": np.array([-1.0, 1.0])}, "profile 'prefill': weight -1.0"),
    ({"weight": np.array([1e308, 1e308])}, "weight: weights beyond floats in all"),
    ({"scale": np.array([1.0, INF])}, "profile 'decode': scale inf; expected a finite number > 0"),
    ({"scale": np.array([0.0, 1.0])}, "profile 'prefill': scale 0.0"),
    # traffic
    ({"traffic": "chain"}, "transitions: none; expected token pairs between neighbouring layers"),
    (
        {"transitions": negative(PAIRS, (0, 0, 2, 3))},
        "transitions of profile 'prefill', layer 0, expert 2 to 3: -1 token pairs",
    ),
    ({"transitions": PAIRS * 2**50}, "transitions: 3.60288e+16 tokens in all"),
    ({"traffic": HOME, "dispatch": ADAPTIVE}, "sources: none; expected tokens by rank or node"),
    (
        {"sources": negative(BY_NODE, (0, 1, 1, 2))},
        "sources of profile 'prefill', layer 1, node 1, expert 2: -1 tokens",
    ),
    (
        {"sources": BY_RANK + PAIRS},
        "sources of profile 'prefill', layer 0, expert 0: 8 tokens in all; expected 4, as in",
    ),
    (
        {"sources": first_dead(BY_RANK), "dead": DEAD},
        "sources of profile 'prefill', layer 0, rank 'rank0', expert 0: 1 tokens; expected none",
    ),
    (
        {"sources": first_dead(BY_NODE), "dead": np.array([True, True, False, False])},
        "sources of profile 'prefill', layer 0, node 0, expert 0: 1 tokens; expected none",
    ),
    # single values
    ({"traffic": "ring"}, "traffic: 'ring'; expected none, chain, home"),
    ({"dispatch": "random"}, "dispatch: 'random'; expected equal, local, adaptive"),
    (
        {"traffic": CHAIN, "transitions": PAIRS, "dispatch": ADAPTIVE},
        "dispatch: adaptive with chai",
    ),
    ({"cost": 3}, "cost: int; expected a StepTime"),
    ({"cost": StepTime(token=-1.0)}, "cost.token: -1.0; expected a finite number >= 0"),
    ({"cost": StepTime(expert=NAN)}, "cost.expert: nan"),
    ({"cost": StepTime(layer=INF)}, "cost.layer: inf"),
    ({"cost": StepTime(transfer="1")}, "cost.transfer: '1'"),  # type: ignore[arg-type]
    ({"cost": StepTime(links="max")}, "cost.links: 'max'; expected sum, busiest"),
    ({"cost": StepTime(profiles="mean")}, "cost.profiles: 'mean'; expected expected, worst"),
    ({"cost": StepTime(overlap="no")}, "cost.overlap: 'no'"),  # type: ignore[arg-type]
    ({"cost": StepTime(unit=1)}, "cost.unit: 1"),  # type: ignore[arg-type]
    ({"cost": StepTime(token=1e308)}, "cost: the times of a step are too large or too small"),
    ({"cost": StepTime(token=1e-300)}, "cost: the times of a step are too large or too small"),
    ({"slots": 0}, "slots: 0; expected a whole number 1 to"),
    ({"slots": 2.0}, "slots: 2.0; expected a whole number 1 to"),
    ({"slots": True}, "slots: True; expected a whole number 1 to"),
    ({"top_k": 5}, "top_k: 5; expected a whole number 1 to 4"),
    ({"groups": 3}, "groups: 3 groups of 4 experts; expected equal groups"),
    ({"expert_bytes": -1}, "expert_bytes: -1; expected a whole number 0 to"),
    ({"layer_ids": np.array([-1, 0])}, "layer_ids[0]: -1; expected an index >= 0"),
    ({"layer_ids": np.array([3, 3])}, "layer_ids[1]: 3 after 3; expected increasing ones"),
    (
        {"layer_ids": np.array([3, 9]), "model_layers": 9},
        "layer_ids[1]: layer 9 of a model of 9 layers; expected at most 8",
    ),
    ({"model_layers": "many"}, "model_layers: 'many'; expected a whole number"),
    ({"max_moves": 3}, "max_moves: 3 moves, from no placement; expected a current placement"),
    ({"max_moves": -1, "current": current_with((), 0) * 0 - 1}, "max_moves: -1; expected none, or"),
    ({"max_imbalance": 0.99}, "max_imbalance: 0.99; expected none, or a multiple of the mean load"),
    ({"max_imbalance": NAN}, "max_imbalance: nan"),
    # ranks
    ({"cluster": cluster_with(names=("a", "b", "a", "c"))}, "rank 'a': name used twice"),
    ({"cluster": cluster_with(node=np.array([0, -1, 0, 0]))}, "rank 'rank1': node -1; expected 0"),
    (
        {
            "cluster": cluster_with(
                **{
                    name: np.array([0, 0]) if name == "link_source" else np.array([1, 1])
                    for name in ("link_source", "link_target")
                },
                bandwidth=np.ones(2),
            )
        },
        "link from rank 'rank0' to 'rank1': linked twice; expected one link each way",
    ),
    (
        {
            "cluster": cluster_with(
                link_source=np.array([0]), link_target=np.array([1]), bandwidth=np.ones(1)
            ),
            "traffic": HOME,
            "cost": StepTime(transfer=1.0),
        },
        "link from rank 'rank0' to 'rank2': no link, but transfers cost something",
    ),
    ({"dead": np.ones(4, dtype=bool)}, "dead: all ranks are dead; expected a live one"),
    (
        {"slots": 1, "dead": DEAD},
        "slots: 1 on each of 3 live ranks, 3 for 4 experts; expected at least 2",
    ),
    ({"slots": 5}, "slots: 5 for 4 experts would hold some twice on a rank; expected at most 4"),
    (
        {"expert_bytes": 300},
        "rank 'rank0': 2 slots in 2 layers take 1200 bytes, above the 1000 there; expected at most "
        "1 slots",
    ),
    # the placement in force, pins
    (
        {"current": current_with((1, 2, 0), 4)},
        "current, layer 1, rank 'rank2': expert 4 in slot 0; expected 0 to 3, or -1 for none",
    ),
    ({"current": current_with((0, 0, 1), -2)}, "current, layer 0, rank 'rank0': expert -2 in slot"),
    ({"current": current_with((0, 3), 2)}, "current, layer 0, rank 'rank3': expert 2 twice"),
    ({"pinned": triples((0, 0, 0), (0, 4, 0))}, "pinned[1]: expert 4; expected 0 to 3"),
    ({"pinned": triples((2, 0, 0))}, "pinned[0]: layer 2; expected 0 to 1"),
    ({"forbidden": triples((0, 0, -1))}, "forbidden[0]: rank -1; expected 0 to 3"),
    (
        {"pinned": triples((1, 2, 3)), "forbidden": triples((1, 2, 3))},
        "layer 1, expert 2, rank 'rank3': pinned and forbidden; expected one or the other",
    ),
    (
        {"pinned": triples((1, 2, 0)), "dead": DEAD},
        "layer 1, expert 2, rank 'rank0': pinned, but dead; expected a live rank",
    ),
    (
        {"pinned": triples((0, 0, 1), (0, 1, 1), (0, 2, 1), (0, 2, 1))},
        "layer 0, rank 'rank1': 3 experts pinned; expected at most 2, its slots",
    ),
    (
        {"forbidden": triples(*((0, 3, g) for g in range(4)))},
        "layer 0, expert 3: forbidden on every live rank; expected a rank that may hold it",
    ),
    (
        {"forbidden": triples(*((0, 3, g) for g in range(1, 4))), "dead": DEAD},
        "layer 0, expert 3: forbidden on every live rank",
    ),
]


@pytest.mark.parametrize(("changes", "message"), CASES, ids=[message for _, message in CASES])
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        problem_with(**changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"counts": counts_with((0, 0, 0), 0)},
        {"slots": np.int64(4)},
        {"slots": 1},
        {"expert_bytes": 250},
        {"expert_bytes": 300, "slots": 1},
        {"current": current_with((0, 0), -1), "max_moves": 0},
        {"current": current_with((), 0) % 1 - 1},
        {"pinned": triples((0, 0, 1), (0, 0, 1), (0, 1, 1))},
        {"sources": BY_RANK, "traffic": HOME, "dispatch": ADAPTIVE},
        {"sources": BY_NODE, "traffic": HOME, "dispatch": LOCAL},
        {"sources": BY_NODE, "dead": DEAD},
        {"transitions": PAIRS * 0, "traffic": CHAIN},
        {"traffic": HOME, "cost": StepTime(transfer=0.0), "cluster": cluster_with()},
        {"max_imbalance": 1, "groups": 2, "top_k": 4},
        {"layer_ids": np.array([3, 60]), "model_layers": 61},
        {"cost": StepTime(token=0, expert=0)},
        {"cost": StepTime(token=1e-200)},
    ],
)
def test_what_is_taken(changes: dict[str, Any]) -> None:
    assert problem_with(**changes).n_experts == 4


def test_a_missing_link_to_a_dead_rank_does_not_matter() -> None:
    source, target = np.nonzero(~np.eye(4, dtype=bool))
    kept = (source > 0) & (target > 0)
    cluster = cluster_with(
        link_source=source[kept], link_target=target[kept], bandwidth=np.ones(kept.sum())
    )
    given: dict[str, Any] = {"cluster": cluster, "traffic": HOME, "cost": StepTime(transfer=1.0)}
    assert problem_with(**given, dead=DEAD).n_slots == 6
    with pytest.raises(InstanceError, match="no link"):
        problem_with(**given)


ARRAYS = ("counts", "weight", "scale", "transitions", "sources", "current", "pinned", "dead")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from([*ARRAYS, "layer_ids", "forbidden", "slots", "top_k", "max_moves", "groups"]),
    st.sampled_from(
        [
            *(None, "", "x", -1, 0, 2**70, NAN, INF, 1.5, [], [[1]], {}, object()),
            *(np.zeros(shape, dtype=kind) for shape in (0, (1, 3)) for kind in (int, float, bool)),
            *(np.full((2, 2, 4), value) for value in (-1, 2**62, NAN)),
            np.full((2, 2, 2, 4), 2**62),
            np.full((2, 4, 2), 7),
        ]
    ),
)
def test_whatever_is_given_is_taken_or_refused_in_one_line(name: str, value: Any) -> None:
    said = ""
    try:
        assert problem_with(**{name: value}).n_profiles == 2
    except InstanceError as error:
        said = str(error)
    assert "\n" not in said
