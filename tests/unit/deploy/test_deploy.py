"""The registry: every exporter of bits plans called as the command line calls it."""

from __future__ import annotations

import pytest

from mapc.deploy import EXPORTERS, exporter, exporters_of
from mapc.errors import UsageError

SIMPLE = {
    "modelopt": {"m.a": "int8", "m.b": "bf16"},
    "compressed-tensors": {"m.a": "int8", "m.b": "bf16"},
    "llm-compressor": {"m.a": "int8", "m.b": "bf16"},
    "autoround": {"m.a": "int8", "m.b": "bf16"},
    "llamacpp": {"m.a": "q4_k", "m.b": "bf16"},
    "onnxruntime": {"m.a": "fp8_e4m3_tensor"},
    "hawq": {"unit1.quant_convbn1": "int8"},
}


def test_every_exporter_is_tested() -> None:
    assert {found.name for found in exporters_of("bits")} == set(SIMPLE)
    kinds = {kind for found in EXPORTERS.values() for kind in found.kinds}
    assert {found.name for kind in kinds for found in exporters_of(kind)} == set(EXPORTERS)


def test_arenas_are_written_for_two_families() -> None:
    assert [found.name for found in exporters_of("memory")] == [
        "arena-json",
        "arena-c",
        "transfers",
    ]
    assert [found.name for found in exporters_of("allocation")] == ["arena-json", "arena-c"]


@pytest.mark.parametrize("name", SIMPLE)
def test_defaults_are_what_the_options_say(build, name: str) -> None:
    found = exporter(name)
    problem, plan = build(SIMPLE[name])
    defaults = {o.name: o.default for o in found.options if o.default is not None}
    text = found(problem, plan)
    assert text == found(problem, plan, **defaults)
    assert text == found.function(problem, plan)
    assert text.endswith("\n")


@pytest.mark.parametrize("name", SIMPLE)
def test_every_choice_of_every_option_is_taken(build, name: str) -> None:
    found = exporter(name)
    for option in found.options:
        for choice in option.choices:
            if choice not in ("hf", "nbits"):  # which want other names and formats
                assert found(*build(SIMPLE[name]), **{option.name: choice})


@pytest.mark.parametrize("name", SIMPLE)
def test_names_can_be_changed_everywhere(build, name: str) -> None:
    unit = r"layer\d=>unit1.quant_convbn1"
    chosen = {"layer1": next(iter(SIMPLE[name].values()))}
    text = exporter(name)(*build(chosen), rename=[unit])
    assert "quant_convbn1" in text
    assert "layer1" not in text
    assert exporter(name)(*build({"layer1|layer2": chosen["layer1"]}), rename=[unit], separator="|")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nosuch": 1}, "exporter autoround: unknown option 'nosuch'"),
        ({"activations": "some"}, "expected none or native"),
        ({"rename": "a=>b"}, "expected a list"),
        ({"separator": 1}, "expected a text"),
    ],
)
def test_options_are_checked(build, options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        exporter("autoround")(*build({"a": "int4"}), **options)


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(UsageError, match="exporter 'x': unknown; expected modelopt, "):
        exporter("x")
