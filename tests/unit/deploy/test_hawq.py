from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mapc.deploy.hawq import export
from mapc.errors import UsageError

DATA = Path(os.environ.get("MAPC_DATA", Path(__file__).parents[4] / "shared" / "data"))
UNIT = "stage1.unit1."
BASIC = {UNIT + "quant_convbn1": "int4", UNIT + "quant_convbn2": "int8"}


def config(problem, plan, **options) -> dict[str, int]:
    return json.loads(export(problem, plan, **options))


def test_a_basic_unit_in_the_order_of_the_repository(build) -> None:
    assert list(config(*build(BASIC)).items()) == [
        ("quant_input", 8),
        ("quant_init_block_convbn", 8),
        ("quant_act_int32", 16),
        (UNIT + "quant_act", 4),
        (UNIT + "quant_convbn1", 4),
        (UNIT + "quant_act1", 8),
        (UNIT + "quant_convbn2", 8),
        (UNIT + "quant_act_int32", 16),
        ("quant_act_output", 8),
        ("quant_output", 8),
    ]


def test_a_bottleneck_with_a_downsample(build) -> None:
    chosen = {
        UNIT + "quant_convbn1": "int8",
        UNIT + "quant_convbn2": "int4",
        UNIT + "quant_convbn3": "int4",
        UNIT + "quant_identity_convbn": "int8",
    }
    found = config(*build(chosen), fixed=6)
    assert list(found.items()) == [
        ("quant_input", 6),
        ("quant_init_convbn", 6),
        ("quant_act_int32", 16),
        (UNIT + "quant_act", 8),
        (UNIT + "quant_convbn1", 8),
        (UNIT + "quant_act1", 4),
        (UNIT + "quant_convbn2", 4),
        (UNIT + "quant_act2", 4),
        (UNIT + "quant_convbn3", 4),
        (UNIT + "quant_identity_convbn", 8),
        (UNIT + "quant_act_int32", 16),
        ("quant_act_output", 6),
        ("quant_output", 6),
    ]


def test_python_runs_as_the_end_of_bit_config(build) -> None:
    text = export(*build(BASIC), form="python", name="resnet18_size0.5")
    scope = {"bit_config_dict": {"before": {}}}
    exec(text, scope)
    assert scope["bit_config_dict"] == {
        "before": {},
        "bit_config_resnet18_size0.5": config(*build(BASIC)),
    }


def test_a_downsample_that_differs_is_refused(build) -> None:
    chosen = {UNIT + "quant_convbn1": "int8", UNIT + "quant_identity_convbn": "int4"}
    with pytest.raises(UsageError, match="as one: int8 and int4"):
        export(*build(chosen))


@pytest.mark.parametrize("format", ["int4_g32", "fp8", "bf16", "q4_0"])
def test_formats_it_lacks_are_refused(build, format: str) -> None:
    with pytest.raises(UsageError, match="hawq does not know format"):
        export(*build({UNIT + "quant_convbn1": format}))


@pytest.mark.parametrize("name", ["conv1", "stage1.unit1.quant_act", "stage1.quant_convbn1"])
def test_names_of_other_modules_are_refused(build, name: str) -> None:
    with pytest.raises(UsageError, match="no layer of a unit"):
        export(*build({name: "int4"}))


@pytest.mark.parametrize("options", [{"fixed": 1}, {"fixed": 17}, {"name": "a'b"}, {"name": ""}])
def test_bad_options_are_refused(build, options) -> None:
    with pytest.raises(UsageError, match="expected"):
        export(*build(BASIC), **options)


@pytest.mark.parametrize("model", ["resnet18", "resnet50"])
def test_published_allocations_come_back(build, model: str) -> None:
    """Layer by layer, as the published configurations list them."""
    path = DATA / "bits" / "hawqv3_inputs.json"
    if not path.exists():
        pytest.skip("the published HAWQ-V3 inputs are not here")
    given = json.loads(path.read_text(encoding="utf-8"))[model]
    assert len(given["published_bit_config"]) >= 9
    for bits in given["published_bit_config"].values():
        chosen = {name: f"int{b}" for name, b in zip(given["layers"], bits, strict=True)}
        found = config(*build(chosen))
        assert [found[name] for name in given["layers"]] == bits
        units = {name.rsplit(".", 1)[0] for name in given["layers"]}
        assert all(found[f"{unit}.quant_act"] == found[f"{unit}.quant_convbn1"] for unit in units)
