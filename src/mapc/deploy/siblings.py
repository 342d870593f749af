"""Modules that a runtime fuses, and that must therefore agree on their format.

A runtime that runs q, k and v as one matrix multiplication, or all experts of a layer by one
kernel, holds one scheme for the fused whole and refuses or misreads a checkpoint whose parts
differ. `runtime_ties` says which names these are, by the same rules that importers tie groups by:
what was tied for a runtime passes its exporter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mapc.errors import UsageError
from mapc.instances.importers.ties import TieRule, ties_by_rule

_DOWNSAMPLE = TieRule(
    "downsample",
    r"(.*)\.quant_(?:convbn1|identity_convbn)",
    "layers that read one quantised activation, which has one width",
)

RULES: Mapping[str, tuple[str | TieRule, ...]] = {
    "modelopt": ("modelopt",),
    "compressed-tensors": ("vllm",),
    "llm-compressor": ("vllm",),
    "autoround": ("vllm",),
    "vllm": ("vllm",),
    "sglang": ("vllm",),
    "tensorrt-llm": ("vllm",),
    "llamacpp": ("llamacpp",),
    "onnxruntime": (),
    "hawq": (_DOWNSAMPLE,),
}
"""Rules and presets of `mapc.instances.importers.ties` by runtime."""


def runtime_ties(runtime: str, names: Sequence[str]) -> list[list[int]]:
    """Return the sets of names that a runtime needs in one format.

    Parameters
    ----------
    runtime : str
        A key of `RULES`.
    names : sequence of str
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
    ties = ties_by_rule(names, RULES[runtime])
    return [ties[row].tolist() for row in range(len(ties))]
