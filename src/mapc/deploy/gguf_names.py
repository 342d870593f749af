"""What the tensors of a Hugging Face decoder are called in a GGUF file."""

from __future__ import annotations

import re

from mapc.errors import UsageError

_ROOT = re.compile(r"(?:model\.|language_model\.)*")
_BLOCK = re.compile(r"layers\.(\d+)\.(.+)\Z")
_OUTSIDE = {
    "embed_tokens": "token_embd",
    "lm_head": "output",
}
_PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_b_proj": "attn_kv_b",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
_EXPERT = re.compile(r"(?:mlp|block_sparse_moe)\.experts\.\d+\.(\w+)\Z")
_SHARED = re.compile(r"mlp\.shared_experts?\.(gate|up|down)_proj\Z")
_OF_EXPERT = {
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
    "w1": "ffn_gate",
    "w3": "ffn_up",
    "w2": "ffn_down",
}


def gguf_name(name: str) -> str:
    """Return the GGUF tensor that holds the weight of a module.

    All experts of a layer share one tensor for each of gate, up and down.

    Parameters
    ----------
    name : str
        A module, e.g. ``"model.layers.3.mlp.down_proj"``, or its ``.weight``.

    Raises
    ------
    UsageError
        For a module that is not known here.
    """
    module = _ROOT.sub("", name.removesuffix(".weight"), count=1)
    outside = _OUTSIDE.get(module)
    if outside is not None:
        return f"{outside}.weight"
    match = _BLOCK.match(module)
    part = None if match is None else _part(match[2])
    if match is None or part is None:
        raise UsageError(
            f"llamacpp: {name!r} is no Hugging Face module known here; "
            "expected e.g. model.layers.0.mlp.up_proj, or a rule in rename and names=gguf"
        )
    return f"blk.{match[1]}.{part}.weight"


def _part(part: str) -> str | None:
    expert = _EXPERT.match(part)
    if expert is not None:
        found = _OF_EXPERT.get(expert[1])
        return None if found is None else f"{found}_exps"
    shared = _SHARED.match(part)
    return f"ffn_{shared[1]}_shexp" if shared is not None else _PARTS.get(part)
