from __future__ import annotations

import json
import re

import pytest

from mapc.deploy.compressed_tensors import (
    export_config,
    export_recipe,
    input_scheme,
    knows,
    storage,
    target,
    weight_scheme,
)
from mapc.errors import UsageError
from mapc.graph.formats import FORMATS, format_named

LAYER = "model.layers.{}.mlp.down_proj"
CHOSEN = {
    LAYER.format(0): "int4_g128",
    LAYER.format(1): "nvfp4",
    LAYER.format(10): "int4_g128",
    LAYER.format(11): "fp8",
    "lm_head": "bf16",
    "re:odd": "nvfp4",
}


def config(problem, plan, **options):
    return json.loads(export_config(problem, plan, **options))


def matches(name: str, target: str) -> bool:
    """Apply the rule for names: a regular expression from the start, or the name itself."""
    if target.startswith("re:"):
        return re.match(target.removeprefix("re:"), name) is not None
    return target == name


def scheme_of(document, name: str):
    """Return the one scheme whose targets match, or None where the module is ignored."""
    if any(matches(name, ignored) for ignored in document["ignore"]):
        return None
    groups = document["config_groups"].values()
    found = [g for g in groups if any(matches(name, one) for one in g["targets"])]
    assert len(found) <= 1
    return found[0] if found else None


def test_modules_with_one_scheme_form_one_group(build) -> None:
    document = config(*build(CHOSEN))
    assert document["quant_method"] == "compressed-tensors"
    assert document["format"] == "mixed-precision"
    assert document["ignore"] == ["lm_head"]
    groups = document["config_groups"]
    assert list(groups) == ["group_0", "group_1", "group_2"]
    assert groups["group_0"]["targets"] == [LAYER.format(0), LAYER.format(10)]
    assert [g["format"] for g in groups.values()] == [
        "pack-quantized",
        "nvfp4-pack-quantized",
        "naive-quantized",
    ]


def test_every_module_gets_its_scheme_and_no_other_does(build) -> None:
    document = config(*build(CHOSEN))
    for name, format in CHOSEN.items():
        found = scheme_of(document, name)
        expected = weight_scheme(format_named(format))
        assert (found and found["weights"]) == expected
    for other in (LAYER.format(2), LAYER.format(100), "lm_head2", "re:odder", "odd"):
        assert scheme_of(document, other) is None


def test_one_format_for_all_is_named_itself(build) -> None:
    assert config(*build({"a": "int4", "b": "int8"}))["format"] == "pack-quantized"
    assert config(*build({"a": "bf16"}))["format"] == "dense"
    assert config(*build({"a": "bf16"}))["config_groups"] == {}


@pytest.mark.parametrize(
    ("format", "inputs", "layout"),
    [
        ("int4_g128", None, "pack-quantized"),
        ("int8_g128", None, "pack-quantized"),
        ("int8", ("int", 8, "token", True), "int-quantized"),
        ("fp8", ("float", 8, "token", True), "float-quantized"),
        ("fp8_e4m3_tensor", ("float", 8, "tensor", False), "float-quantized"),
        ("nvfp4", ("float", 4, "tensor_group", "local"), "nvfp4-pack-quantized"),
        ("mxfp4", ("float", 4, "group", True), "mxfp4-pack-quantized"),
        ("mxfp6", ("float", 8, "group", True), "mxfp6-pack-quantized"),
        ("mxfp8", ("float", 8, "group", True), "mxfp8-quantized"),
    ],
)
def test_native_activations(build, format: str, inputs, layout: str) -> None:
    group = config(*build({"a.b": format}), activations="native")["config_groups"]["group_0"]
    found = group["input_activations"]
    keys = ("type", "num_bits", "strategy", "dynamic")
    assert (found and tuple(found[key] for key in keys)) == inputs
    assert group["format"] == layout
    assert config(*build({"a.b": format}))["config_groups"]["group_0"]["input_activations"] is None


def test_asymmetric_integers(build) -> None:
    assert weight_scheme(format_named("int4_g64_asym")) == {
        "num_bits": 4,
        "type": "int",
        "symmetric": False,
        "dynamic": False,
        "strategy": "group",
        "group_size": 64,
    }


@pytest.mark.parametrize("format", ["q4_k", "mlx4_g64", "fp4_g16", "fp8_e5m2", "mxfp6_e3m2"])
def test_formats_it_lacks_are_refused(build, format: str) -> None:
    assert not knows(format_named(format))
    for export in (export_config, export_recipe):
        with pytest.raises(UsageError, match=f"does not know format '{format}'"):
            export(*build({"a": format}))


def test_fused_modules_must_agree(build) -> None:
    chosen = {"m.experts.0.up_proj": "nvfp4", "m.experts.1.down_proj": "fp8"}
    with pytest.raises(UsageError, match="llm-compressor runs"):
        export_recipe(*build(chosen))


def test_names_that_read_as_patterns_or_classes() -> None:
    assert target("model.Linear") == "model.Linear"
    assert target("lm_head") == "lm_head"
    assert target("Linear") == "re:Linear$"
    assert matches("re:a.b", target("re:a.b"))
    assert not matches("re:axb", target("re:a.b"))


def test_the_recipe_has_the_same_groups(build) -> None:
    yaml = pytest.importorskip("yaml")
    for activations in ("none", "native"):
        recipe = yaml.safe_load(export_recipe(*build(CHOSEN), activations=activations))
        modifier = recipe["quant_stage"]["quant_modifiers"]["QuantizationModifier"]
        document = config(*build(CHOSEN), activations=activations)
        assert modifier == {key: document[key] for key in ("ignore", "config_groups")}


def test_the_recipe_is_written_this_way(build) -> None:
    assert export_recipe(*build({"m.a": "int8", "m.b": "bf16"})) == (
        "quant_stage:\n"
        "  quant_modifiers:\n"
        "    QuantizationModifier:\n"
        "      ignore:\n"
        "        - m.b\n"
        "      config_groups:\n"
        "        group_0:\n"
        "          targets:\n"
        "            - m.a\n"
        "          weights:\n"
        "            num_bits: 8\n"
        "            type: int\n"
        "            symmetric: true\n"
        "            dynamic: false\n"
        "            strategy: channel\n"
        "          input_activations: null\n"
        "          output_activations: null\n"
        "          format: pack-quantized\n"
    )


def test_the_package_reads_it_and_stores_it_so() -> None:
    """Schemes equal the presets of compressed-tensors, layouts what it infers for them."""
    package = pytest.importorskip("compressed_tensors.quantization")
    layouts = pytest.importorskip("compressed_tensors.compressors.format")
    torch = pytest.importorskip("torch")
    for format in filter(knows, FORMATS.values()):
        for inputs in (None, input_scheme(format) if format.kind != "cast" else None):
            weights = weight_scheme(format)
            if weights is None:
                continue
            scheme = package.QuantizationScheme(
                targets=["a"], weights=weights, input_activations=inputs
            )
            inferred = layouts.infer_module_format(torch.nn.Linear, scheme).value
            assert storage(format, inputs is not None) == inferred
    for format, preset in (("nvfp4", "NVFP4"), ("fp8", "FP8_DYNAMIC"), ("int8", "W8A8")):
        found = format_named(format)
        mine = package.QuantizationScheme(
            targets=["a"], weights=weight_scheme(found), input_activations=input_scheme(found)
        )
        assert mine.model_dump() == package.preset_name_to_scheme(preset, ["a"]).model_dump()


def test_the_package_applies_it_to_a_model(build) -> None:
    package = pytest.importorskip("compressed_tensors.quantization")
    torch = pytest.importorskip("torch")
    chosen = {"body.0": "int4_g32", "body.1": "nvfp4", "body.10": "bf16", "head": "fp8"}
    net = torch.nn.Module()
    net.body = torch.nn.ModuleList(torch.nn.Linear(64, 64) for _ in range(12))
    net.head = torch.nn.Linear(64, 64)
    read = package.QuantizationConfig.model_validate(config(*build(chosen)))
    package.apply_quantization_config(net, read)
    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Linear):
            scheme = getattr(module, "quantization_scheme", None)
            format = format_named(chosen.get(name, "bf16"))
            bits = None if format.kind == "cast" else format.bits
            assert (scheme and scheme.weights.num_bits) == bits, name
