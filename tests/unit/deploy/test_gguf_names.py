from __future__ import annotations

import pytest

from mapc.deploy.gguf_names import gguf_name
from mapc.errors import UsageError

LAYER = "model.layers.12."
NAMES = {
    "model.embed_tokens": "token_embd.weight",
    "lm_head": "output.weight",
    LAYER + "self_attn.q_proj": "blk.12.attn_q.weight",
    LAYER + "self_attn.k_proj": "blk.12.attn_k.weight",
    LAYER + "self_attn.v_proj": "blk.12.attn_v.weight",
    LAYER + "self_attn.o_proj": "blk.12.attn_output.weight",
    LAYER + "self_attn.kv_a_proj_with_mqa": "blk.12.attn_kv_a_mqa.weight",
    LAYER + "mlp.gate_proj": "blk.12.ffn_gate.weight",
    LAYER + "mlp.up_proj": "blk.12.ffn_up.weight",
    LAYER + "mlp.down_proj": "blk.12.ffn_down.weight",
    LAYER + "mlp.gate": "blk.12.ffn_gate_inp.weight",
    LAYER + "mlp.experts.63.gate_proj": "blk.12.ffn_gate_exps.weight",
    LAYER + "block_sparse_moe.experts.7.w2": "blk.12.ffn_down_exps.weight",
    LAYER + "block_sparse_moe.experts.7.w3": "blk.12.ffn_up_exps.weight",
    LAYER + "mlp.shared_expert.up_proj": "blk.12.ffn_up_shexp.weight",
    LAYER + "mlp.shared_experts.down_proj": "blk.12.ffn_down_shexp.weight",
}


@pytest.mark.parametrize(("module", "tensor"), NAMES.items())
def test_known_modules(module: str, tensor: str) -> None:
    assert gguf_name(module) == tensor
    assert gguf_name(f"{module}.weight") == tensor
    assert gguf_name(module.replace("model.", "model.language_model.")) == tensor


@pytest.mark.parametrize(
    "module",
    [
        "model.layers.0.mlp.experts.0.bias",
        "model.layers.0.mlp.experts.gate_proj",
        "model.layers.x.mlp.up_proj",
        "model.layers.0.self_attn.q_norm",
        "transformer.h.0.attn",
        "",
    ],
)
def test_others_are_refused(module: str) -> None:
    with pytest.raises(UsageError, match="no Hugging Face module known here"):
        gguf_name(module)


def test_the_package_translates_them_alike() -> None:
    gguf = pytest.importorskip("gguf")
    maps = [gguf.get_tensor_name_map(arch, 16) for arch in gguf.MODEL_ARCH]
    for module, tensor in NAMES.items():
        if ".experts." in module:  # merged by its converter, not in the table
            continue
        assert f"{module}:{tensor}" in {f"{module}:{m.get_name(module)}.weight" for m in maps}
