from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.instances.importers import IMPORTERS, import_hawq
from mapc.models.bits.problem import BitsProblem

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[5] / "shared" / "data"))
INPUTS = DATA / "bits" / "hawqv3_inputs.json"
published = pytest.mark.skipif(not INPUTS.exists(), reason=f"no {INPUTS}: set MAPC_DATA")

SMALL: dict[str, Any] = {
    "layers": ["a", "b", "c"],
    "tied": [[0, 2]],
    "hutchinson_avg_trace": [0.5, 2, 0.25],
    "delta_w_int4_sq": [8.0, 4.0, 2.0],
    "delta_w_int8_sq": [0.5, 0.25, 0.125],
    "params_M": [0.000064, 0.000128, 0.000032],
    "params_unit": "1e6",
    "macs_M": [0.001, 0.002, 0.003],
    "latency_int4_ms": [0.01, 0.002, 1],
    "latency_int8_ms": [0.0123, 0.004, 2],
}


def write(folder: Path, document: Any) -> Path:
    path = folder / "hawq.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_costs_are_exact_and_losses_trace_times_error(tmp_path: Path) -> None:
    problem = import_hawq(write(tmp_path, {"net": SMALL}))
    assert problem.name == "net"
    assert problem.groups == ("a", "b", "c")
    assert problem.formats == ("int4", "int8")
    assert problem.loss.tolist() == [4.0, 0.25, 8.0, 0.5, 0.5, 0.03125]
    assert problem.weights.tolist() == [64, 128, 32]
    assert problem.resources == ("size", "bops", "latency")
    assert problem.units == ("bits", "bit operations", "1e-4 ms")
    assert problem.cost[0].tolist() == [256, 512, 512, 1024, 128, 256]
    assert problem.cost[1].tolist() == [16000, 64000, 32000, 128000, 48000, 192000]
    assert problem.cost[2].tolist() == [100, 123, 20, 40, 10000, 20000]
    assert problem.ties[0].tolist() == [0, 2]
    assert problem.provenance["model"] == "net"


def test_columns_that_are_not_there_are_no_resources(tmp_path: Path) -> None:
    drop = ("macs_M", "latency_int4_ms", "latency_int8_ms", "tied")
    small = {key: value for key, value in SMALL.items() if key not in drop}
    problem = import_hawq(write(tmp_path, {"net": small}))
    assert problem.resources == ("size",)
    assert len(problem.ties) == 0


def test_a_level_is_the_fraction_between_narrowest_and_widest(tmp_path: Path) -> None:
    path = write(tmp_path, {"net": SMALL})
    problem = IMPORTERS["hawq"](path, budget=["size=0.25", "bops=0.5"])
    low, high = 4 * 224, 8 * 224
    assert problem.budget == (low + (high - low) // 4, 96000 + (384000 - 96000) // 2, None)


def changed(**changes: Any) -> dict[str, Any]:
    return {"net": {**SMALL, **changes}}


def without(key: str) -> dict[str, Any]:
    return {"net": {k: v for k, v in SMALL.items() if k != key}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "malformed JSON"),
        ("[]", "Expected `object`, got `array`"),
        ("{}", "0 models"),
        ({"net": 3}, "Expected `object`"),
        ({"net": SMALL, "other": SMALL}, "2 models; expected model: one of net, other"),
        (without("layers"), "net: layers: no list of names"),
        (changed(layers=[]), "net: layers: no list of names"),
        (changed(layers=[1, 2, 3]), "net: layers: no list of names"),
        (changed(layers=["a", "a", "c"]), "'a'"),
        (without("hutchinson_avg_trace"), "hutchinson_avg_trace: no column"),
        (changed(hutchinson_avg_trace=[1.0]), "hutchinson_avg_trace: 1 entries"),
        (changed(hutchinson_avg_trace=[1.0, -2.0, 1.0]), "hutchinson_avg_trace[1]: -2.0"),
        (changed(hutchinson_avg_trace=[1.0, "x", 1.0]), "hutchinson_avg_trace[1]: 'x'"),
        (changed(hutchinson_avg_trace=[1.0, True, 1.0]), "hutchinson_avg_trace[1]: True"),
        (changed(hutchinson_avg_trace=[1.0, None, 1.0]), "hutchinson_avg_trace[1]: None"),
        (changed(delta_w_int8_sq=[1.0, 2.0]), "delta_w_int8_sq: 2 entries"),
        (changed(params_M=[0.5, 0.1234567, 0.1]), "params_M[1]: 123456.7 of them"),
        (changed(params_unit="1e9"), "params_unit: '1e9'"),
        (changed(params_M=[1e12, 1.0, 1.0]), "size cost 4000000000000000000"),
        (changed(macs_M=[1.0, 2.0]), "macs_M: 2 entries"),
        (without("latency_int8_ms"), "latency: widths [4]; expected widths [4, 8]"),
        (changed(latency_int8_ms=[1.0, 2.0, 1e-17]), "latency: 17 decimals"),
        (changed(tied=[[0, 3]]), "tied[0]: [0, 3]; expected lists of positions 0 to 2"),
        (changed(tied=[0, 1]), "tied: None"),
        (changed(tied=[[0], [True, 1]]), "tied[1]: [True, 1]"),
        ('{"net": {"layers": ["a"], "delta_w_int4_sq": [NaN]}}', "$.net.delta_w_int4_sq[0]: NaN"),
    ],
)
def test_files_that_make_no_sense_are_refused_in_one_line(
    tmp_path: Path, document: Any, message: str
) -> None:
    path = write(tmp_path, document)
    with pytest.raises(InstanceError) as caught:
        import_hawq(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_no_widths_no_choice(tmp_path: Path) -> None:
    small = {k: v for k, v in SMALL.items() if not k.startswith("delta")}
    with pytest.raises(InstanceError, match="no quantization errors"):
        import_hawq(write(tmp_path, {"net": small}))


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="no model 'other'; expected one of net"):
        import_hawq(write(tmp_path, {"net": SMALL}), model="other")
    with pytest.raises(UsageError, match="no resource 'power'"):
        IMPORTERS["hawq"](write(tmp_path, {"net": SMALL}), budget=["power=0.5"])


# -- the published inputs ------------------------------------------------------------------------

ANCHORS = {
    ("resnet18", "modelsize"): (0.033441, 0.074506, 0.118300),
    ("resnet18", "bops"): (0.079965, 0.215689, 0.460424),
    ("resnet18", "latency"): (0.079965, 0.202674, 0.460424),
    ("resnet50", "modelsize"): (0.012215, 0.031024, 0.083110),
    ("resnet50", "bops"): (0.024105, 0.056440, 0.148948),
    ("resnet50", "latency"): (0.022658, 0.054861, 0.137505),
}
"""Losses of the published configurations at levels .75, .5 and .25, to six decimals."""


def options(problem: BitsProblem, bits: list[int]) -> np.ndarray:
    return problem.start[:-1] + np.array(bits) // 8


@published
@pytest.mark.parametrize(("model", "resource"), ANCHORS)
def test_published_configurations_meet_the_published_limits(model: str, resource: str) -> None:
    raw = json.loads(INPUTS.read_text())[model]
    problem = import_hawq(INPUTS, model=model)
    at = problem.resources.index(resource.replace("modelsize", "size"))
    cost = problem.cost[at]
    low, high = (cost[options(problem, [b] * problem.n_groups)].sum() for b in (4, 8))
    for level, loss in zip((0.75, 0.5, 0.25), ANCHORS[model, resource], strict=True):
        chosen = options(problem, raw["published_bit_config"][f"{resource}_{level}"])
        limit = low + Fraction(level) * int(high - low)
        named = f"{problem.resources[at]}={level}"
        budget = IMPORTERS["hawq"](INPUTS, model=model, budget=[named]).budget[at]
        assert budget == int(limit)
        assert cost[chosen].sum() <= limit
        assert round(float(problem.loss[chosen].sum()), 6) == loss


@published
def test_the_published_limit_leaves_room_for_a_better_configuration() -> None:
    """Stage 3, unit 6, first convolution could keep 8 bits at size 0.25 of ResNet-50."""
    raw = json.loads(INPUTS.read_text())["resnet50"]
    problem = IMPORTERS["hawq"](INPUTS, model="resnet50", budget=["size=0.25"])
    bits = list(raw["published_bit_config"]["modelsize_0.25"])
    bits[problem.groups.index("stage3.unit6.quant_convbn1")] = 8
    chosen = options(problem, bits)
    limit = problem.budget[0]
    assert limit is not None
    assert problem.cost[0, chosen].sum() <= limit
    assert round(float(problem.loss[chosen].sum()), 6) == 0.074949


@published
@pytest.mark.parametrize(("model", "weights"), [("resnet18", 11157504), ("resnet50", 23445504)])
def test_weights_are_counted_whatever_the_unit_of_the_file(model: str, weights: int) -> None:
    problem = import_hawq(INPUTS, model=model)
    assert problem.weights.sum() == weights
    raw = json.loads(INPUTS.read_text())[model]
    unit = 2**20 if "Mi" in raw["params_unit"] else 10**6
    assert sum(raw["params_M"]) * unit == pytest.approx(weights, rel=1e-9)
    assert [problem.ties[i].tolist() for i in range(len(problem.ties))] == raw["tied"]


@published
def test_latencies_are_the_published_ones() -> None:
    raw = json.loads(INPUTS.read_text())["resnet18"]
    problem = import_hawq(INPUTS, model="resnet18")
    assert problem.units[2] == "1e-8 ms"
    exact = [Fraction(repr(x)) * 10**8 for x in raw["latency_int8_T4_ms_b8"]]
    assert problem.cost[2, 1::2].tolist() == exact
