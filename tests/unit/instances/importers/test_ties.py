from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.instances.importers import TIE_PRESETS, TIE_RULES, TieRule, ties_by_rule

LLAMA = [
    f"model.layers.{layer}.{part}"
    for layer in range(2)
    for part in (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "mlp.down_proj",
    )
]
EXPERTS = [
    f"model.layers.{layer}.mlp.experts.{expert}.{part}.weight"
    for layer in range(2)
    for expert in range(3)
    for part in ("gate_proj", "up_proj", "down_proj")
]


def sets(names: list[str], *rules: str | TieRule) -> list[list[int]]:
    ties = ties_by_rule(names, rules)
    return [ties[i].tolist() for i in range(len(ties))]


def test_attention_and_feed_forward_of_a_layer() -> None:
    assert sets(LLAMA, "qkv") == [[0, 1, 2], [7, 8, 9]]
    assert sets(LLAMA, "gate_up") == [[4, 5], [11, 12]]
    assert sets(LLAMA, "vllm") == [[0, 1, 2], [4, 5], [7, 8, 9], [11, 12]]
    assert sets([name + ".weight" for name in LLAMA], "vllm") == sets(LLAMA, "vllm")


def test_names_of_gguf_and_bert() -> None:
    parts = ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up", "ffn_down")
    gguf = [f"blk.0.{part}.weight" for part in parts]
    assert sets(gguf, "qkv", "gate_up") == [[0, 1, 2], [3, 4]]
    bert = [f"encoder.layer.0.attention.self.{x}.weight" for x in ("query", "key", "value")]
    assert sets([*bert, "encoder.layer.0.attention.output.dense.weight"], "qkv") == [[0, 1, 2]]


def test_experts_of_a_layer() -> None:
    assert sets(EXPERTS, "experts") == [list(range(9)), list(range(9, 18))]
    kinds = sets(EXPERTS, "expert_kind")
    assert kinds[0] == [0, 3, 6]
    assert len(kinds) == 6
    assert sets(EXPERTS, "expert")[0] == [0, 1, 2]
    assert len(sets(EXPERTS, "expert")) == 6
    # gate and up of one expert, all experts: one set grows out of both rules
    assert sets(EXPERTS, "gate_up", "expert_kind")[0] == [0, 1, 3, 4, 6, 7]


def test_latent_attention() -> None:
    parts = ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
    names = [f"l.{layer}.self_attn.{part}.weight" for layer in range(2) for part in parts]
    for rule in ("latent_qkv_a", "vllm", "modelopt"):
        assert sets(names, rule) == [[0, 2], [5, 7]]
    assert sets(names, "llamacpp") == []


def test_linear_attention() -> None:
    names = [f"l.0.linear_attn.in_proj_{x}" for x in ("qkv", "z", "a", "b")]
    assert sets(names, "linear_attention_qkvz", "linear_attention_ba") == [[0, 1], [2, 3]]


def test_layers_of_their_own_stay_alone() -> None:
    assert sets(["lm_head", "model.embed_tokens", "l.0.q_proj"], "vllm") == []
    assert sets([], "vllm") == []
    assert sets(LLAMA, "none") == []
    assert sets(LLAMA) == []


def test_rules_of_ones_own() -> None:
    rule = TieRule("layer", r"(model\.layers\.\d+)\..*", "a whole layer")
    assert sets(LLAMA, rule) == [list(range(7)), list(range(7, 14))]
    with pytest.raises(UsageError, match="tie rule 'bad': no regular expression"):
        sets(LLAMA, TieRule("bad", "(", ""))
    with pytest.raises(UsageError, match="tie rule 'qvk': no such rule; expected one of none"):
        sets(LLAMA, "qvk")


def test_presets_are_made_of_rules() -> None:
    assert {rule for rules in TIE_PRESETS.values() for rule in rules} <= set(TIE_RULES)
    assert all(name == rule.name and rule.summary for name, rule in TIE_RULES.items())


@settings(deadline=None)
@given(st.permutations(LLAMA + EXPERTS))
def test_sets_do_not_depend_on_the_order_of_names(names: list[str]) -> None:
    def named(order: list[str]) -> set[frozenset[str]]:
        return {frozenset(order[i] for i in row) for row in sets(order, "vllm")}

    assert named(names) == named(LLAMA + EXPERTS)
    members = [i for row in sets(names, "vllm") for i in row]
    assert len(members) == len(set(members))
