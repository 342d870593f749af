from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapc.deploy import EXPORTERS, exporters_of
from mapc.deploy.siblings import RULES, runtime_ties
from mapc.errors import UsageError
from mapc.instances.importers.ties import TIE_PRESETS, ties_by_rule

LAYER = "model.layers.3."
ATTENTION = [f"{LAYER}self_attn.{part}_proj" for part in "qkvo"]
LATENT = [
    f"{LAYER}self_attn.{part}"
    for part in ("q_a_proj", "kv_a_proj_with_mqa", "q_b_proj", "kv_b_proj", "o_proj")
]
LINEAR = [f"{LAYER}linear_attn.{part}" for part in ("in_proj_qkv", "in_proj_z", "in_proj_a")]
DENSE = [f"{LAYER}mlp.{part}_proj" for part in ("gate", "up", "down")]
EXPERTS = [f"{LAYER}mlp.experts.{i}.{part}_proj" for i in (0, 1) for part in ("gate", "up", "down")]
SHARED = [f"{LAYER}mlp.shared_expert.{part}_proj" for part in ("gate", "up", "down")]
NAMES = ["model.embed_tokens", "lm_head", *ATTENTION, *LATENT[:-1], *DENSE, *EXPERTS, *SHARED]
"""Modules of all kinds that decoders have; linear attention has no name in GGUF."""

PRESET_OF = {
    "modelopt": ("modelopt", ("int4", "int8"), {}),
    "compressed-tensors": ("vllm", ("int4", "int8"), {}),
    "llm-compressor": ("vllm", ("int4", "int8"), {}),
    "autoround": ("vllm", ("int4", "int8"), {}),
    "llamacpp": ("llamacpp", ("q4_k", "q6_k"), {"names": "hf"}),
}
"""For each runtime that fuses by name: the preset of importers, two formats, options."""


@pytest.mark.parametrize(
    ("names", "fused"),
    [
        (["a.q_proj", "a.k_proj", "a.v_proj", "a.o_proj"], [[0, 1, 2]]),
        (["a.q_proj.weight", "a.k_proj", "b.v_proj"], [[0, 1]]),
        (["m.gate_proj", "m.down_proj", "m.up_proj"], [[0, 2]]),
        (["m.w1", "m.w2", "m.w3"], [[0, 2]]),
        (["e.experts.0.gate_proj", "e.experts.11.down_proj", "f.experts.0.up_proj"], [[0, 1]]),
        (["m.experts.0.w1", "m.experts.0.w2", "m.experts.1.w3"], [[0, 1, 2]]),
        (
            ["m.shared_expert.gate_proj", "m.experts.0.gate_proj", "m.shared_expert.up_proj"],
            [[0, 2]],
        ),
        (["m.gate", "m.experts.0.gate_proj", "m.experts.0.up_proj"], [[1, 2]]),
        (["s.q_a_proj", "s.kv_a_proj_with_mqa", "s.q_b_proj", "s.kv_b_proj"], [[0, 1]]),
        (
            [f"x.linear_attn.in_proj_{part}" for part in ("qkv", "z", "b", "a")],
            [[0, 1], [2, 3]],
        ),
        (["q_proj", "k_proj"], []),
        (["a.q_proj"], []),
        ([], []),
    ],
)
@pytest.mark.parametrize("runtime", ["vllm", "modelopt", "compressed-tensors", "autoround"])
def test_what_servers_fuse(runtime: str, names: list[str], fused: list[list[int]]) -> None:
    assert runtime_ties(runtime, names) == fused


def test_llamacpp_holds_experts_in_one_tensor_and_fuses_nothing_else() -> None:
    names = [f"{LAYER}self_attn.{part}_proj" for part in "qkv"]
    experts = [f"{LAYER}mlp.experts.{i}.{part}_proj" for i in (0, 1) for part in ("up", "down")]
    assert runtime_ties("vllm", names + experts) == [[0, 1, 2], [3, 4, 5, 6]]
    assert runtime_ties("llamacpp", names + experts) == [[3, 5], [4, 6]]
    assert runtime_ties("onnxruntime", names + experts) == []


# the fixture is a pure function
@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1), suffix=st.sampled_from(["", ".weight"]))
@pytest.mark.parametrize("runtime", PRESET_OF)
def test_what_importers_tie_for_a_runtime_passes_its_exporter(
    build, runtime: str, seed: int, suffix: str
) -> None:
    preset, formats, options = PRESET_OF[runtime]
    draw = random.Random(seed)
    names = [name + suffix for name in NAMES + ([] if options else LINEAR)]
    draw.shuffle(names)
    chosen = {name: draw.choice(formats) for name in names}
    ties = ties_by_rule(names, [preset])
    for row in range(len(ties)):
        chosen |= dict.fromkeys((names[i] for i in ties[row]), draw.choice(formats))
    assert EXPORTERS[runtime](*build(chosen), **options)


@pytest.mark.parametrize("runtime", PRESET_OF)
@pytest.mark.parametrize("names", [ATTENTION, LATENT, LINEAR, DENSE, EXPERTS, SHARED])
def test_a_runtime_fuses_nothing_that_its_preset_leaves_alone(
    runtime: str, names: list[str]
) -> None:
    tied = ties_by_rule([f"{name}.weight" for name in names], [PRESET_OF[runtime][0]])
    assert [tied[row].tolist() for row in range(len(tied))] == runtime_ties(runtime, names)


def test_every_preset_belongs_to_a_runtime() -> None:
    assert {preset for preset, _, _ in PRESET_OF.values()} == set(TIE_PRESETS) - {"none"}


def test_hawq_ties_a_downsample_to_the_layer_beside_it() -> None:
    unit = "stage2.unit1."
    names = [unit + "quant_convbn1", unit + "quant_convbn2", unit + "quant_identity_convbn"]
    assert runtime_ties("hawq", [*names, "stage2.unit2.quant_convbn1"]) == [[0, 2]]


def test_every_exporter_has_rules() -> None:
    assert {found.name for found in exporters_of("bits")} <= set(RULES)


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(UsageError, match="runtime 'x': unknown; expected modelopt"):
        runtime_ties("x", ["a"])
