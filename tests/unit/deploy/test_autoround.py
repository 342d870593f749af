from __future__ import annotations

import json

import pytest

from mapc.deploy.autoround import export, knows, scheme
from mapc.errors import UsageError
from mapc.graph.formats import format_named

KEPT = {"bits": 16, "data_type": "float", "act_bits": 16, "act_data_type": "float"}


@pytest.mark.parametrize(
    ("format", "bits", "group", "symmetric", "data_type"),
    [
        ("int4_g128", 4, 128, True, "int"),
        ("int3_g32_asym", 3, 32, False, "int"),
        ("int8", 8, -1, True, "int"),
        ("fp8", 8, -1, True, "fp"),
        ("fp8_e4m3_tensor", 8, 0, True, "fp"),
        ("nvfp4", 4, 16, True, "nv_fp"),
        ("mxfp4", 4, 32, True, "mx_fp"),
        ("mxfp6", 6, 32, True, "mx_fp"),
        ("mxfp8", 8, 32, True, "mx_fp"),
    ],
)
def test_weights_only(build, format, bits, group, symmetric, data_type) -> None:
    assert json.loads(export(*build({"m.weight": format}))) == {
        "m": {
            "bits": bits,
            "group_size": group,
            "sym": symmetric,
            "data_type": data_type,
            "act_bits": 16,
        }
    }


@pytest.mark.parametrize(
    ("format", "inputs"),
    [
        ("int4_g128", (16, None, None, None)),
        ("int8", (8, -1, "int", True)),
        ("int8_g32", (16, None, None, None)),
        ("fp8", (8, -1, "fp", True)),
        ("fp8_e4m3_tensor", (8, 0, "fp", False)),
        ("nvfp4", (4, 16, "nv_fp4_with_static_gs", True)),
        ("mxfp8", (8, 32, "mx_fp", True)),
    ],
)
def test_native_activations(format: str, inputs) -> None:
    found = scheme(format_named(format), activations=True)
    keys = ("act_bits", "act_group_size", "act_data_type", "act_dynamic")
    assert tuple(found.get(key) for key in keys) == inputs


def test_packed_types_and_casts(build) -> None:
    chosen = {"a": "q4_k", "b": "q6_k", "c": "q8_0", "d": "bf16", "e": "fp32"}
    assert json.loads(export(*build(chosen))) == {
        "a": "GGUF:Q4_K_S",
        "b": "GGUF:Q6_K",
        "c": "GGUF:Q8_0",
        "d": KEPT,
        "e": KEPT,
    }


@pytest.mark.parametrize("format", ["iq4_xs", "int8_g32_asym", "mlx4_g64", "fp4_g16", "mxfp8_e5m2"])
def test_formats_it_lacks_are_refused(build, format: str) -> None:
    assert not knows(format_named(format))
    with pytest.raises(UsageError, match="autoround does not know format"):
        export(*build({"a": format}))


def test_modules_keep_their_order(build) -> None:
    names = ["z.9", "a.10", "m.2"]
    assert list(json.loads(export(*build(dict.fromkeys(names, "int4"))))) == names


def test_the_package_has_the_same_presets() -> None:
    schemes = pytest.importorskip("auto_round.schemes")
    for format, preset, activations in (
        ("nvfp4", "NVFP4", True),
        ("mxfp4", "MXFP4", True),
        ("mxfp6", "MXFP6", True),
        ("mxfp8", "MXFP8", True),
        ("int8", "INT8", True),
        ("int4_g128", "W4A16", True),
        ("int3_g64", "W3A16G64", False),
        ("q4_k", "GGUF:Q4_K_S", False),
    ):
        found = scheme(format_named(format), activations)
        if isinstance(found, str):
            assert schemes.is_preset_scheme(found)
            continue
        mine = schemes.QuantizationScheme.from_dict(found)
        assert mine == schemes.preset_name_to_scheme(preset), preset
