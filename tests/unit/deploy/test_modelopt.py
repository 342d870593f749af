from __future__ import annotations

import json
from fnmatch import fnmatchcase

import pytest

from mapc.deploy.modelopt import (
    escape,
    export,
    input_attributes,
    knows,
    quantize_config,
    weight_attributes,
)
from mapc.errors import UsageError
from mapc.graph.formats import format_named

DOWN = "model.layers.{}.mlp.down_proj"
CHOSEN = {
    DOWN.format(0): "int4_g128",
    DOWN.format(1): "nvfp4",
    DOWN.format(10): "fp8_e4m3_tensor",
    DOWN.format(11): "bf16",
    "odd[0-9]*?.x": "int8",
    "oddx.x": "mxfp4",
}


def settings(problem, plan, **options):
    return quantize_config(json.loads(export(problem, plan, form="json", **options)))


def applied(config, quantizer: str):
    """Return what a quantizer ends up with: entries in order, the last match counts."""
    found = None
    for entry in config["quant_cfg"]:
        if fnmatchcase(quantizer, entry["quantizer_name"]):
            found = entry.get("cfg") if entry["enable"] else None
    return found


def test_every_weight_gets_its_format_and_no_other_does(build) -> None:
    config = settings(*build(CHOSEN))
    assert {name: applied(config, f"{name}.weight_quantizer") for name in CHOSEN} == {
        DOWN.format(0): {"num_bits": 4, "block_sizes": {-1: 128, "type": "static"}},
        DOWN.format(1): {
            "num_bits": (2, 1),
            "block_sizes": {-1: 16, "type": "dynamic", "scale_bits": (4, 3)},
        },
        DOWN.format(10): {"num_bits": (4, 3), "axis": None},
        DOWN.format(11): None,
        "odd[0-9]*?.x": {"num_bits": 8, "axis": 0},
        "oddx.x": {
            "num_bits": (2, 1),
            "block_sizes": {-1: 32, "type": "dynamic", "scale_bits": (8, 0)},
        },
    }
    for other in (DOWN.format(2), "odd1ab.x", "lm_head"):
        assert applied(config, f"{other}.weight_quantizer") is None
    assert all(applied(config, f"{name}.input_quantizer") is None for name in CHOSEN)


def test_activations_follow_the_presets(build) -> None:
    config = settings(*build(CHOSEN), activations="native")
    found = {name: applied(config, f"{name}.input_quantizer") for name in CHOSEN}
    assert found[DOWN.format(0)] is None
    assert found[DOWN.format(11)] is None
    assert found[DOWN.format(10)] == {"num_bits": (4, 3), "axis": None}
    assert found["odd[0-9]*?.x"] == {"num_bits": 8, "axis": None}
    for same in (DOWN.format(1), "oddx.x"):
        assert found[same] == applied(config, f"{same}.weight_quantizer")


def test_an_input_is_never_scaled_by_channel() -> None:
    assert weight_attributes(format_named("fp8"))["axis"] == 0
    assert input_attributes(format_named("fp8"))["axis"] is None


def test_parameters_stand_for_their_modules(build) -> None:
    config = settings(*build({"a.b.weight": "int8", "weight": "int8"}))
    assert applied(config, "a.b.weight_quantizer")
    assert applied(config, "weight.weight_quantizer")


def test_the_recipe_says_the_same_as_the_json(build) -> None:
    yaml = pytest.importorskip("yaml")
    recipe = yaml.safe_load(export(*build(CHOSEN), algorithm="awq_lite"))
    assert recipe["metadata"]["recipe_type"] == "ptq"
    assert recipe["quantize"]["algorithm"] == "awq_lite"
    config = settings(*build(CHOSEN), algorithm="awq_lite")
    # integer keys are there already; only the names of floats are still to be read
    assert quantize_config(json.loads(json.dumps(recipe["quantize"]))) == config


def test_the_recipe_is_written_this_way(build) -> None:
    assert export(*build({"lm_head": "nvfp4"})) == (
        "metadata:\n"
        "  recipe_type: ptq\n"
        '  description: "Formats chosen for toy."\n'
        "quantize:\n"
        "  algorithm: max\n"
        "  quant_cfg:\n"
        '    - quantizer_name: "*"\n'
        "      enable: false\n"
        "    - quantizer_name: lm_head.weight_quantizer\n"
        "      cfg:\n"
        "        num_bits: e2m1\n"
        "        block_sizes:\n"
        "          -1: 16\n"
        "          type: dynamic\n"
        "          scale_bits: e4m3\n"
        "      enable: true\n"
    )


@pytest.mark.parametrize(
    "format",
    ["q4_k", "int4_g32_asym", "mlx4_g64", "fp4_g16", "fp8_e5m2", "fp8_e5m2_tensor"],
)
def test_formats_it_lacks_are_refused(build, format: str) -> None:
    assert not knows(format_named(format))
    with pytest.raises(UsageError, match=f"group 'a': modelopt does not know format '{format}'"):
        export(*build({"a": format}))


def test_a_glob_matches_its_name_only() -> None:
    assert fnmatchcase("a[0]*?]!", escape("a[0]*?]!"))
    assert not fnmatchcase("a0", escape("a[0]"))
    assert not fnmatchcase("ab", escape("a*"))
    assert not fnmatchcase("ab", escape("a?"))


def test_the_package_reads_it(build, tmp_path) -> None:
    config = pytest.importorskip("modelopt.torch.quantization.config")
    recipes = pytest.importorskip("modelopt.recipe")
    for activations in ("none", "native"):
        path = tmp_path / f"{activations}.yaml"
        path.write_text(export(*build(CHOSEN), activations=activations))
        read = recipes.load_recipe(str(path)).quantize
        given = settings(*build(CHOSEN), activations=activations)
        expected = config.QuantizeConfig(**given).model_dump()
        assert config.QuantizeConfig(**read.model_dump()).model_dump() == expected
