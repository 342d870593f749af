from __future__ import annotations

import pytest

from mapc.deploy import EXPORTERS
from mapc.deploy.siblings import RULES, runtime_ties
from mapc.errors import UsageError

LAYER = "model.layers.3."


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
        (["m.gate", "m.gate_proj", "m.up_proj"], [[1, 2]]),
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


def test_llamacpp_and_onnxruntime_fuse_nothing() -> None:
    names = [f"{LAYER}self_attn.{part}_proj" for part in "qkv"]
    assert runtime_ties("vllm", names) == [[0, 1, 2]]
    assert runtime_ties("llamacpp", names) == runtime_ties("onnxruntime", names) == []


def test_hawq_ties_a_downsample_to_the_layer_beside_it() -> None:
    unit = "stage2.unit1."
    names = [unit + "quant_convbn1", unit + "quant_convbn2", unit + "quant_identity_convbn"]
    assert runtime_ties("hawq", [*names, "stage2.unit2.quant_convbn1"]) == [[0, 2]]


def test_every_exporter_has_rules() -> None:
    assert set(EXPORTERS) <= set(RULES)


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(UsageError, match="runtime 'x': unknown; expected modelopt"):
        runtime_ties("x", ["a"])
