from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc import instances
from mapc.errors import InstanceError, MapcError, UsageError
from mapc.instances.importers.placement_building import OPTIONS, Building, build
from mapc.instances.importers.recording import Profile, Recording
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import (
    ADAPTIVE,
    BUSIEST,
    CHAIN,
    HOME,
    LOCAL,
    SUM,
    WORST,
    PlacementProblem,
)

DAY = [[5, 1, 2, 4], [3, 3, 3, 3]]
NIGHT = [[1, 1, 1, 1], [9, 0, 0, 3]]
CLUSTER = """
nodes = 2
ranks_per_node = 2
memory = "1GiB"
flops = 1e12
memory_bandwidth = 1e11
intra_bandwidth = 1e10
inter_bandwidth = 1e9
"""
HARDWARE: dict[str, Any] = {"hidden": 1000, "ffn": 500, "top_k": 2, "batch_tokens": 60}


def profile(name: str, table: Any) -> Profile:
    return Profile(name, np.array(table, dtype=np.int64))


def recording(*tables: Any, **extra: Any) -> Recording:
    names = ("day", "night", "dusk")
    found = [profile(n, t) for n, t in zip(names, tables or (DAY, NIGHT), strict=False)]
    return Recording("r", tuple(found), **extra)


def make(recorded: Recording | None = None, **options: Any) -> PlacementProblem:
    given: dict[str, Any] = {"profile": ["all"], **options}
    if "cluster" not in options:
        given = {"ranks": 2, **given}
    return build(recorded or recording(), "f", **given)


def cluster(folder: Path, text: str = CLUSTER) -> Path:
    path = folder / "cluster.toml"
    path.write_text(text)
    return path


def test_declarations_are_the_keywords() -> None:
    kinds = Building.__annotations__
    assert [option.name for option in OPTIONS] == list(kinds)
    for option in OPTIONS:
        text = str(kinds[option.name])
        assert ("Sequence" in text) == option.many
        assert option.kind.__name__ in text


# -- costs -----------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.lists(
        st.lists(st.lists(st.integers(1, 50), min_size=4, max_size=4), min_size=2, max_size=2),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([1, 2, 4]),
)
def test_a_balanced_layer_costs_one(tables: Any, ranks: int) -> None:
    problem = make(recording(*tables), ranks=ranks)
    even = problem.counts.sum(axis=2) / ranks  # tokens of every rank, were they spread evenly
    assert problem.cost.unit == "balanced layers"
    assert (even * problem.scale[:, None]).mean(axis=1) == pytest.approx([1] * len(tables))


def test_a_balanced_layer_of_ranks_that_differ(tmp_path: Path) -> None:
    file = cluster(tmp_path, "ranks_per_node = 4\nspeed = [1, 2, 3, 2]\ndead = [3]")
    problem = make(recording(DAY), cluster=file, slots=2)
    # 12 tokens in a layer, for ranks that do 1, 2 and 3 in a unit of time
    assert problem.scale.tolist() == [6 / 12]


def test_moves_cost_what_work_costs() -> None:
    add_up = make(traffic=HOME, ranks=4, nodes=2)
    assert add_up.cost.links == SUM
    assert sorted(set(add_up.pair.ravel())) == [0, 0.25, 1]
    busiest = make(traffic=HOME, links=BUSIEST, overlap=True)
    assert (busiest.cost.transfer, busiest.cost.overlap) == (1, True)
    assert make().cost.transfer == 0
    by_hand = make(traffic=HOME, cost=["transfer=3", "layer=0.5", "token=2", "expert=0"]).cost
    assert (by_hand.transfer, by_hand.layer, by_hand.token) == (3, 0.5, 2)


def test_a_step_in_seconds(tmp_path: Path) -> None:
    file = cluster(tmp_path)
    problem = make(cluster=file, traffic=HOME, **HARDWARE)
    assert problem.cost.unit == "s"
    assert problem.cost.token == 6 * 1000 * 500 / 1e12
    assert problem.cost.expert == 0
    # dispatch in FP8 and combine in BF16 over 10 GB/s or 1 GB/s
    assert sorted(set(problem.pair.ravel())) == [0, 3000 / 1e10, 3000 / 1e9]
    assert (problem.counts.sum(axis=2) * problem.scale[:, None]).mean(axis=1).tolist() == [120] * 2
    decode = make(cluster=file, decode=True, expert_bytes="3MB", **HARDWARE)
    assert (decode.cost.expert, decode.cost.transfer) == (3e6 / 1e11, 0)


def test_activated_experts(tmp_path: Path) -> None:
    problem = make(decode=True, batch_tokens=8, top_k=2)
    assert (problem.cost.token, problem.cost.expert) == (0, 1)
    assert problem.cost.unit == "activated experts"
    assert problem.scale.tolist() == [8 * 2 / 12, 8 * 2 / 8]
    known = make(recording(top_k=2), decode=True, batch_tokens=8)
    assert np.array_equal(known.scale, problem.scale)


def test_goal_and_weights() -> None:
    problem = make(goal=WORST, profile_weights=[3, 1])
    assert problem.weight.tolist() == [0.75, 0.25]
    assert problem.cost.profiles == WORST


def test_noisy_copies() -> None:
    many = recording(1000 * np.array(DAY), 1000 * np.array(NIGHT))
    given, more = make(many), make(many, noisy_copies=2)
    n = given.n_profiles
    assert more.n_profiles == 3 * n
    assert more.profiles[n:] == tuple(f"{name}~{i}" for i in (1, 2) for name in given.profiles)
    assert (more.counts[:n] == given.counts).all()
    off = more.counts[n:].sum(axis=2) - np.tile(given.counts.sum(axis=2), (2, 1))
    assert np.abs(off).max() <= given.n_experts / 2  # each is rounded to whole tokens
    assert (more.counts[n:] != np.tile(given.counts, (2, 1, 1))).any()


@pytest.mark.parametrize("copies", [-1, 1001])
def test_noisy_copies_are_a_few(copies: int) -> None:
    with pytest.raises(UsageError, match=f"--noisy-copies {copies}: expected 0 to 1000"):
        make(noisy_copies=copies)


# -- layers ----------------------------------------------------------------------------------------

DENSE = [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("table", "options", "layers", "of"),
    [
        (DAY, {}, [0, 1], 2),
        (DAY, {"layers_from": 3, "model_layers": 7}, [3, 4], 7),
        (DAY, {"layers_from": 3}, [3, 4], 5),
        (DENSE + DAY, {}, [1, 2], 3),
        (DENSE + DAY, {"layers_from": 1, "model_layers": 3}, [1, 2], 3),
        (DENSE + DAY, {"layers_from": 1}, [1, 2], 3),
        (DENSE + DAY + DENSE, {"model_layers": 9}, [1, 2], 9),
        (DAY[:1] + DENSE + DAY[1:], {}, [0, 2], 3),
    ],
)
def test_layers(table: Any, options: Any, layers: list[int], of: int) -> None:
    problem = make(recording(table), **options)
    assert (problem.layer_ids.tolist(), problem.model_layers) == (layers, of)
    assert problem.counts.tolist() == [DAY]


# -- the placement in force and what may move ------------------------------------------------------

MAP = [[0, 1, 2, 3], [3, 2, 1, 0]]


def map_file(folder: Path, rows: Any) -> Path:
    path = folder / "map.json"
    path.write_text(json.dumps({"physical_to_logical_map": rows}))
    return path


@pytest.mark.parametrize("rows", [MAP, [[9, 9, 9, 9], *MAP], [[9] * 4, *MAP, [9] * 4, [9] * 4]])
def test_a_map_of_sglang(tmp_path: Path, rows: Any) -> None:
    table = DENSE + DAY if len(rows) > 2 else DAY
    problem = make(recording(table), current=map_file(tmp_path, rows))
    assert problem.current is not None
    assert problem.current.tolist() == [[[0, 1], [2, 3]], [[3, 2], [1, 0]]]


def test_a_plan_of_mapc(tmp_path: Path) -> None:
    first = make(recording(DAY), slots=3)
    slots = np.array([[[0, 1, 2], [3, 0, 1]], [[3, 2, 1], [0, 1, 2]]])
    path = tmp_path / "plan.json"
    instances.write_plan(first, PlacementPlan(slots), path)
    problem = make(recording(NIGHT), current=path, max_moves="50%")
    assert (problem.slots, problem.max_moves) == (3, 6)
    assert np.array_equal(problem.current, slots)
    wider = make(recording(NIGHT), current=path, slots=4)
    assert wider.current is not None
    assert wider.current[0].tolist() == [[0, 1, 2, -1], [3, 0, 1, -1]]


def test_second_copies_make_room_for_fewer_slots(tmp_path: Path) -> None:
    path = map_file(tmp_path, [[0, 1, 0, 2, 3, 3], [0, 1, 1, 2, 2, 3]])
    problem = make(recording(DAY), current=path, slots=2)
    assert problem.current is not None
    assert problem.current.tolist() == [[[0, 1], [2, 3]], [[0, 1], [2, 3]]]


@pytest.mark.parametrize(
    ("text", "moves"), [("3", 3), ("0", 0), ("25%", 2), ("12.5%", 1), ("3MB", 3), ("2.9MB", 2)]
)
def test_how_much_may_move(tmp_path: Path, text: str, moves: int) -> None:
    file = map_file(tmp_path, MAP)
    problem = make(recording(DAY), current=file, max_moves=text, expert_bytes="1MB")
    assert problem.max_moves == moves  # of 8 slots


def test_pins_dead_ranks_and_the_rest() -> None:
    problem = make(
        recording(DENSE + DAY),
        ranks=4,
        slots=2,
        pin=["1:0:2", "*:3:0"],
        forbid=["2:1:1"],
        dead=[3],
        max_imbalance=1.5,
        groups=2,
        dispatch=LOCAL,
    )
    assert problem.pinned.tolist() == [[0, 0, 2], [0, 3, 0], [1, 3, 0]]
    assert problem.forbidden.tolist() == [[1, 1, 1]]
    assert problem.live.tolist() == [0, 1, 2]
    assert (problem.max_imbalance, problem.groups, problem.dispatch) == (1.5, 2, LOCAL)


def test_what_was_asked_for_is_recorded(tmp_path: Path) -> None:
    file = cluster(tmp_path)
    problem = make(recording(provenance={"source": "x"}), cluster=file, slots=3, dead=[1])
    kept = {"profile": ["all"], "cluster": "cluster.toml", "slots": 3, "dead": [1]}
    assert problem.provenance == {"source": "x", "options": kept}
    path = tmp_path / "instance.json"
    instances.write_instance(problem, path)
    again = instances.read(path)
    assert instances.content_hash(again) == instances.content_hash(problem)
    assert again.provenance == problem.provenance


# -- bad input -------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[dict[str, Any], str]] = {
    "no ranks": ({"ranks": None}, "on how many GPUs? expected --ranks N, or --cluster FILE"),
    "ranks twice": ({"cluster": "C"}, "--ranks: said by --cluster C already; expected one of"),
    "not divisible": ({"ranks": 3}, "4 experts do not fill 3 ranks evenly; expected --slots 2 (2 "),
    "dead": ({"ranks": 4, "dead": [0]}, "4 experts do not fill 3 ranks evenly; expected --slots 2"),
    "too few slots": ({"slots": 1}, "--slots 1: 4 experts on 2 ranks; expected 2 to 4"),
    "too many slots": ({"slots": 5}, "--slots 5: 4 experts on 2 ranks; expected 2 to 4"),
    "nodes": ({"nodes": 3}, "--ranks 2 on --nodes 3: expected a number of nodes that divides"),
    "profile": (
        {"profile": ["dawn"]},
        "--profile 'dawn': no such profile; expected all, or day, n",
    ),
    "weights": ({"profile_weights": [1]}, "--profile-weights 1: expected 2 numbers > 0"),
    "weight": ({"profile_weights": [1, 0]}, "--profile-weights 1,0: expected 2 numbers > 0"),
    "no chain": ({"traffic": CHAIN}, "--traffic chain: profile 'day' has no transitions; expected"),
    "no sources": (
        {"traffic": HOME, "dispatch": ADAPTIVE},
        "--dispatch adaptive beside --traffic home: where tok",
    ),
    "dead rank": ({"dead": [2]}, "--dead 2: no such rank; expected 0 to 1"),
    "all dead": ({"dead": [0, 1]}, "--dead: no rank is left; expected one at least"),
    "moves from": ({"max_moves": "1%"}, "--max-moves 1%: moves from what? expected --current FILE"),
    "pin": ({"pin": ["1:2"]}, "--pin '1:2': expected layer:expert:rank, e.g. 12:7:3"),
    "pin words": ({"pin": ["a:2:1"]}, "--pin 'a:2:1': expected layer:expert:rank"),
    "pin layer": ({"pin": ["2:0:0"]}, "--pin '2:0:0': no layer 2 with experts; expected 0 to 1"),
    "pin expert": ({"pin": ["1:4:0"]}, "--pin '1:4:0': no expert 4; expected 0 to 3"),
    "forbid rank": ({"forbid": ["*:3:2"]}, "--forbid '*:3:2': no rank 2; expected 0 to 1"),
    "cost": ({"cost": ["speed=1"]}, "--cost 'speed=1': expected token or expert or layer or trans"),
    "cost number": ({"cost": ["token=x"]}, "--cost 'token=x': expected token or"),
    "cost negative": ({"cost": ["token=-1"]}, "--cost 'token=-1': expected token or"),
    "half a model": (
        {"hidden": 7},
        "a step in seconds needs --ffn, --batch-tokens, --top-k, flops in --cluster as well",
    ),
    "batch": ({"batch_tokens": 8}, "--batch-tokens: needs --top-k, the experts of a token"),
    "decode": ({"decode": True}, "activated experts depend on the batch: needs --batch-tokens"),
    "top k": ({"top_k": 0}, "--top-k 0: expected a number >= 1"),
    "top k high": ({"top_k": 5}, "f: top_k: 5; expected a whole number 1 to 4"),
    "size": ({"expert_bytes": "much"}, "size 'much': not a size"),
    "imbalance": ({"max_imbalance": 0.5}, "f: max_imbalance: 0.5; expected none, or a multiple"),
    "groups": ({"groups": 3}, "f: groups: 3 groups of 4 experts; expected equal groups"),
    "layers": ({"layers_from": 3, "model_layers": 4}, "--model-layers 4: the last layer with exp"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_bad_options(name: str) -> None:
    options, message = ERRORS[name]
    given = {"ranks": 2, "profile": ["all"], **options}
    with pytest.raises(MapcError) as caught:
        build(recording(), "f", **{key: value for key, value in given.items() if value is not None})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_layers_that_contradict_the_file() -> None:
    with pytest.raises(MapcError, match="--layers-from 2: by the rows of the file, the first lay"):
        make(recording(DENSE + DAY), layers_from=2)
    ids = np.array([3, 5])
    assert make(recording(DAY, layer_ids=ids), layers_from=3).layer_ids.tolist() == [3, 5]
    with pytest.raises(MapcError, match="--layers-from 0: by the rows of the file"):
        make(recording(DAY, layer_ids=ids), layers_from=0)


def test_a_profile_that_lacks_a_layer() -> None:
    with pytest.raises(InstanceError, match="f: profile 'night', row 1: no tokens; expected some"):
        make(recording(DAY, [NIGHT[0], [0, 0, 0, 0]]))


def test_too_many_slots_for_the_memory(tmp_path: Path) -> None:
    file = cluster(tmp_path)
    options = {"cluster": file, "expert_bytes": "200MiB"}
    assert make(**options, slots=2).slots == 2
    with pytest.raises(
        InstanceError, match=r"3 slots in 2 layers take .*; expected at most 2 slots"
    ):
        make(**options, slots=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "malformed JSON"),
        ("{}", "no physical_to_logical_map; expected a plan of mapc, or a map of SGLang"),
        ('{"physical_to_logical_map": [[0, 1], [0]]}', "lists of unequal length"),
        ('{"physical_to_logical_map": [[0, -2]]}', "[0, 1]: -2; expected a whole number -1"),
        ('{"physical_to_logical_map": [[0, 1, 2, 3]]}', "map.json: 1 layers; expected 2"),
        (
            '{"physical_to_logical_map": [[0, 1, 2], [1, 2, 3]]}',
            "3 slots; expected a multiple of 2",
        ),
        ('{"physical_to_logical_map": [[0, 1, 2, 9], [0, 1, 2, 3]]}', "expert 9"),
    ],
)
def test_a_map_that_does_not_fit(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "map.json"
    path.write_text(content)
    with pytest.raises(InstanceError) as caught:
        make(current=path)
    assert message in str(caught.value)


def test_a_plan_that_does_not_fit(tmp_path: Path) -> None:
    slots = np.array([[[0, 1, 2, 3]] * 2] * 2)
    path = tmp_path / "plan.json"
    instances.write_plan(make(recording(DAY), slots=4), PlacementPlan(slots), path)
    with pytest.raises(InstanceError, match=r"plan.json: 2 ranks; expected 4 ranks"):
        make(recording(DAY), ranks=4, current=path)
    with pytest.raises(
        MapcError, match=r"--slots 3: .* has 4 experts on a rank; expected at least 4"
    ):
        make(recording(DAY), slots=3, current=path)
    for text in ("1.5", "-3", "many", "1%%", "3 potatoes"):
        with pytest.raises(MapcError, match=r"--max-moves .*: expected a number, a perc"):
            make(recording(DAY), current=path, max_moves=text)
    with pytest.raises(MapcError, match="--max-moves 4MiB: a size needs --expert-bytes"):
        make(recording(DAY), current=path, max_moves="4MiB")
