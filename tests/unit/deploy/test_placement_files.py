"""Files of placements, read back by the documented rules of each runtime."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable

import numpy as np
import pytest

from mapc.deploy import EXPORTERS, Exporter, exporter, exporters_of
from mapc.errors import InstanceError, UsageError
from mapc.graph.devices import DeviceGraph
from mapc.models.placement.plan import PlacementPlan
from mapc.models.placement.problem import ADAPTIVE, PlacementProblem

Case = tuple[PlacementProblem, PlacementPlan]


def build(
    layers: range, model_layers: int, experts: int, ranks: int, slots: int, seed: int = 0, **more
) -> Case:
    """Return a problem, and a plan with random replicas, no expert twice on a rank."""
    rng = np.random.default_rng(seed)
    problem = PlacementProblem(
        "toy",
        rng.integers(1, 100, (1, len(layers), experts)),
        ("load",),
        np.ones(1),
        np.ones(1),
        DeviceGraph.cluster([ranks], 1 << 40, 1.0, 1.0),
        slots,
        layer_ids=np.array(layers),
        model_layers=model_layers,
        **more,
    )
    live = len(problem.live)
    order = np.arange(live * slots) % experts
    filled = np.stack([rng.permutation(experts)[order] for _ in layers])
    table = np.full((len(layers), ranks, slots), -1, dtype=np.int64)
    table[:, problem.live] = filled.reshape(len(layers), live, slots)
    return problem, PlacementPlan(table)


def deepseek(**more) -> Case:
    """61 layers, the first three dense; 256 experts in 288 slots of 32 ranks."""
    return build(range(3, 61), 61, 256, 32, 9, **more)


def mixtral(**more) -> Case:
    """32 layers with experts in each, 8 experts on 4 ranks."""
    return build(range(32), 32, 8, 4, 2, **more)


CASES: dict[str, Callable[..., Case]] = {"deepseek": deepseek, "mixtral": mixtral}
RUNTIMES = {"sglang", "vllm", "vllm-ascend", "tensorrt-llm", "eplb"}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]()


def flat(plan: PlacementPlan):
    return plan.slots.reshape(len(plan.slots), -1)


def read_yaml(text: str) -> dict:
    """Read a mapping whose values are JSON, or mappings with whole keys indented by two."""
    found: dict = {}
    last = ""
    for line in text.splitlines():
        indent, key, value = re.fullmatch(r"( *)(\w+):(?: (.+))?", line).groups()
        if indent:
            assert indent == "  "
            found[last][int(key)] = json.loads(value)
        else:
            last = key
            found[key] = {} if value is None else json.loads(value)
    return found


def test_these_are_the_runtimes() -> None:
    assert {found.name for found in exporters_of("placement")} == RUNTIMES


# -- what each runtime reads -----------------------------------------------------------------------


def test_sglang_reads_one_key_with_a_row_for_every_layer(case: Case) -> None:
    problem, plan = case
    found = json.loads(exporter("sglang")(problem, plan))
    assert list(found) == ["physical_to_logical_map"]  # each key becomes an argument
    rows = np.array(found["physical_to_logical_map"])
    assert rows.shape == (problem.model_layers, problem.n_slots)
    assert problem.n_slots % problem.n_ranks == 0
    assert (rows[problem.layer_ids] == flat(plan)).all()
    dense = np.setdiff1d(np.arange(problem.model_layers), problem.layer_ids)
    assert (rows[dense] == np.arange(problem.n_slots) % problem.n_experts).all()
    for row in rows:  # every expert somewhere, whatever the layer
        assert set(row.tolist()) == set(range(problem.n_experts))


def test_vllm_reads_one_record_of_layers_with_experts(case: Case) -> None:
    problem, plan = case
    text = exporter("vllm")(problem, plan)
    assert text.count("\n") == 1
    record = json.loads(text)
    assert set(record) == {
        "record_type",
        "version",
        "num_redundant_experts",
        "num_slots",
        "initial_global_assignments",
    }
    assert (record["record_type"], record["version"]) == ("eplb_initial_mapping", 1)
    assert record["num_slots"] == problem.n_experts + record["num_redundant_experts"]
    assert record["num_slots"] % problem.n_ranks == 0
    layers = record["initial_global_assignments"]
    assert list(layers) == [str(layer) for layer in range(problem.n_layers)]
    assert list(layers.values()) == flat(plan).tolist()


def test_vllm_ascend_reads_devices_layer_by_layer(case: Case) -> None:
    problem, plan = case
    found = json.loads(exporter("vllm-ascend")(problem, plan))
    assert set(found) == {"moe_layer_count", "layer_list"}
    assert found["moe_layer_count"] == len(found["layer_list"]) == problem.n_layers
    for at, layer in enumerate(found["layer_list"]):
        assert set(layer) == {"layer_id", "device_count", "device_list"}
        assert layer["layer_id"] == at
        assert layer["device_count"] == len(layer["device_list"]) == problem.n_ranks
        for rank, device in enumerate(layer["device_list"]):
            assert set(device) == {"device_id", "device_expert"}
            assert device["device_id"] == rank
            assert device["device_expert"] == plan.slots[at, rank].tolist()


def test_tensorrt_llm_reads_layers_by_their_number_in_the_model(case: Case) -> None:
    problem, plan = case
    text = exporter("tensorrt-llm")(problem, plan)
    found = read_yaml(text)
    assert set(found) == {"num_slots", "layer_updates_per_iter", "initial_global_assignments"}
    assert (found["num_slots"], found["layer_updates_per_iter"]) == (problem.n_slots, 0)
    assert found["num_slots"] % problem.n_ranks == 0
    layers = found["initial_global_assignments"]
    assert list(layers) == problem.layer_ids.tolist()
    assert list(layers.values()) == flat(plan).tolist()


def test_tensorrt_llm_writes_yaml(case: Case) -> None:
    yaml = pytest.importorskip("yaml")
    text = exporter("tensorrt-llm")(*case)
    assert yaml.safe_load(text) == read_yaml(text)


def test_eplb_reads_three_tables(case: Case) -> None:
    problem, plan = case
    content = exporter("eplb")(problem, plan)
    with np.load(io.BytesIO(content)) as tables:
        assert set(tables) == {"phy2log", "log2phy", "logcnt"}
        phy2log, log2phy, logcnt = (tables[name] for name in ("phy2log", "log2phy", "logcnt"))
    assert {table.dtype for table in (phy2log, log2phy, logcnt)} == {np.dtype(np.int64)}
    assert (phy2log == flat(plan)).all()
    redundant = problem.n_slots - problem.n_experts
    assert log2phy.shape == (problem.n_layers, problem.n_experts, redundant + 1)
    assert (logcnt == plan.replicas(problem.n_experts)).all()
    for layer, expert in np.ndindex(*logcnt.shape):
        own = log2phy[layer, expert]
        assert (own[logcnt[layer, expert] :] == -1).all()
        slots = np.flatnonzero(phy2log[layer] == expert)
        assert own[: logcnt[layer, expert]].tolist() == slots.tolist()


def test_the_layers_of_deepseek() -> None:
    problem, plan = deepseek()
    rows = json.loads(exporter("sglang")(problem, plan))["physical_to_logical_map"]
    assert (len(rows), len(rows[0])) == (61, 288)
    record = json.loads(exporter("vllm")(problem, plan))
    assert list(record["initial_global_assignments"])[::57] == ["0", "57"]
    layers = read_yaml(exporter("tensorrt-llm")(problem, plan))["initial_global_assignments"]
    assert (min(layers), max(layers), len(layers)) == (3, 60, 58)


# -- what all have in common -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_equal_plans_give_equal_files(name: str) -> None:
    found = exporter(name)
    content = found(*mixtral())
    assert content == found(*mixtral()) == found.function(*mixtral())
    defaults = {option.name: option.default for option in found.options}
    assert content == found(*mixtral(), **defaults)
    assert content != found(*mixtral(seed=1))
    assert isinstance(content, bytes) or content.endswith("\n")


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_dead_ranks_are_refused(name: str) -> None:
    dead = np.zeros(5, dtype=np.bool_)
    dead[1] = True
    case = build(range(2), 2, 8, 5, 2, dead=dead)
    options = [{}, {"dispatch": "lp"}] if name == "sglang" else [{}]
    for given in options:
        with pytest.raises(UsageError, match=rf"^{name} fills .* dead are rank1; expected"):
            exporter(name)(*case, **given)


def with_split(case: Case) -> Case:
    problem, plan = case
    tokens = np.zeros((1, problem.n_layers, 1, problem.n_ranks, problem.slots), dtype=np.int64)
    return problem, PlacementPlan(plan.slots, tokens)


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_splits_are_refused_by_name(name: str) -> None:
    case = with_split(mixtral(dispatch=ADAPTIVE))
    how = "say dispatch lp" if name == "sglang" else "no option of it does otherwise"
    with pytest.raises(UsageError, match=rf"^{name} shares .*: {how}; expected dispatch equal or"):
        exporter(name)(*case)
    problem, plan = case
    assert exporter(name)(problem, PlacementPlan(plan.slots))  # no split: equal parts


def test_sglang_splits_tokens_itself() -> None:
    problem, plan = with_split(mixtral(dispatch=ADAPTIVE))
    text = exporter("sglang")(problem, plan, dispatch="lp")
    assert text == exporter("sglang")(problem, PlacementPlan(plan.slots))


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_plans_of_another_problem_are_refused(name: str) -> None:
    problem, plan = mixtral()
    with pytest.raises(InstanceError, match=r"plan: slots of shape .*; expected \(32, 4, 2\)"):
        exporter(name)(problem, PlacementPlan(plan.slots[1:]))
    slots = plan.slots.copy()
    slots[3, 2, 1] = 8
    message = "plan, layer 3, rank 2, slot 1: expert 8; expected 0 to 7"
    with pytest.raises(InstanceError, match=message):
        exporter(name)(problem, PlacementPlan(slots))


@pytest.mark.parametrize("name", sorted(RUNTIMES))
def test_experts_that_stay_keep_their_slots(name: str) -> None:
    """What is in force, with slots in another order inside the ranks, comes out as it is."""
    problem, plan = deepseek()
    content = exporter(name)(problem, plan)
    there = problem.replace(current=plan.slots)
    turned = PlacementPlan(np.roll(plan.slots, 1, axis=2))
    assert exporter(name)(there, turned) == content
    assert exporter(name)(problem, turned) != content


def test_an_expert_that_arrives_takes_the_free_slot() -> None:
    problem, plan = mixtral()
    old = plan.slots.copy()
    old[0, 0, 0] = -1  # lost
    problem = problem.replace(current=old)
    turned = plan.slots.copy()
    turned[0, 0] = turned[0, 0, ::-1]
    record = json.loads(exporter("vllm")(problem, PlacementPlan(turned)))
    assert record["initial_global_assignments"]["0"] == flat(plan)[0].tolist()


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="exporter vllm: unknown option 'dispatch'; it takes none"):
        exporter("vllm")(*mixtral(), dispatch="lp")
    with pytest.raises(UsageError, match="expected dynamic, static or lp"):
        exporter("sglang")(*mixtral(), dispatch="fair")


def test_a_file_of_a_runtime_has_its_suffix() -> None:
    found: dict[str, Exporter] = {name: EXPORTERS[name] for name in RUNTIMES}
    assert {name: one.suffix for name, one in found.items()} == {
        "sglang": ".json",
        "vllm": ".jsonl",
        "vllm-ascend": ".json",
        "tensorrt-llm": ".yaml",
        "eplb": ".npz",
    }
