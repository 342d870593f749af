"""Modules that a runtime fuses, and that must therefore agree on their format.

A runtime that runs q, k and v as one matrix multiplication, or all experts of a layer by one
kernel, holds one scheme for the fused whole and refuses or misreads a checkpoint whose parts
differ. `runtime_ties` says which names these are, as ties of a `BitsProblem` want it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mapc.errors import UsageError


@dataclass(frozen=True)
class Rule:
    """Names that match and give the same key are fused.

    Attributes
    ----------
    name : str
    pattern : str
        For a whole name, with or without a last ``.weight``.
    key : str
        Template over the groups of the pattern.
    """

    name: str
    pattern: str
    key: str


_EXPERTS = Rule("experts of a layer", r"(.*\.experts)\.\d+\.[^.]+", r"\1")
_QKV = Rule("q-k-v", r"(.*)\.[qkv]_proj", r"\1.qkv")
_GATE_UP = Rule("gate-up", r"(.*)\.(?:gate|up)_proj", r"\1.gate_up")
_W1_W3 = Rule("gate-up", r"(.*)\.w[13]", r"\1.w13")
_LATENT = Rule("q-a and kv-a", r"(.*)\.(?:q_a_proj|kv_a_proj_with_mqa)", r"\1.qkv_a")
_LINEAR_QKVZ = Rule("linear attention", r"(.*\.linear_attn)\.in_proj_(?:qkv|z)", r"\1.qkvz")
_LINEAR_BA = Rule("linear attention", r"(.*\.linear_attn)\.in_proj_[ba]", r"\1.ba")
_DOWNSAMPLE = Rule("downsample", r"(.*)\.quant_(?:convbn1|identity_convbn)", r"\1")

_SERVED = (_EXPERTS, _QKV, _GATE_UP, _W1_W3, _LATENT, _LINEAR_QKVZ, _LINEAR_BA)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "modelopt": _SERVED,
    "compressed-tensors": _SERVED,
    "llm-compressor": _SERVED,
    "autoround": _SERVED,
    "vllm": _SERVED,
    "sglang": _SERVED,
    "tensorrt-llm": _SERVED,
    # every tensor of a GGUF file has a type of its own
    "llamacpp": (),
    "onnxruntime": (),
    # both read one quantised activation, which has one width
    "hawq": (_DOWNSAMPLE,),
}
"""By runtime; of several rules that match a name, the first counts."""


def runtime_ties(runtime: str, names: Iterable[str]) -> list[list[int]]:
    """Return the sets of names that a runtime needs in one format.

    Parameters
    ----------
    runtime : str
        A key of `RULES`.
    names : iterable of str
        Modules or weights, e.g. ``"model.layers.0.self_attn.q_proj"``.

    Returns
    -------
    list of list of int
        Positions in ``names``, ascending; sets of one are left out. They are disjoint and ordered
        by their first member.

    Raises
    ------
    UsageError
        For a runtime without rules.
    """
    if runtime not in RULES:
        raise UsageError(f"runtime {runtime!r}: unknown; expected {', '.join(RULES)}")
    rules = [(re.compile(rule.pattern), rule.key) for rule in RULES[runtime]]
    sets: dict[str, list[int]] = {}
    for at, name in enumerate(names if rules else ()):
        key = _key(name.removesuffix(".weight"), rules)
        if key is not None:
            sets.setdefault(key, []).append(at)
    return [found for found in sets.values() if len(found) > 1]


def _key(name: str, rules: Sequence[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, key in rules:
        match = pattern.fullmatch(name)
        if match is not None:
            return match.expand(key)
    return None
