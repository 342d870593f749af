"""AutoRound: ``layer_config``, a scheme for every module by its exact name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mapc.deploy.assignment import assignments, module_name
from mapc.deploy.text import to_json
from mapc.graph.formats import BLOCK, CAST, CHANNEL, FLOAT, INTEGER, PACKED, TENSOR, Format
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

RUNTIME = "autoround"
_WHOLE_ROW, _WHOLE_TENSOR = -1, 0
_PACKED = {
    **{name: f"GGUF:{name.upper()}" for name in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q6_k")},
    **{name: f"GGUF:{name.upper()}_S" for name in ("q2_k", "q3_k", "q4_k", "q5_k")},
}
_KEPT = {"bits": 16, "data_type": "float", "act_bits": 16, "act_data_type": "float"}

Scheme = dict[str, Any] | str


def export(
    problem: BitsProblem,
    plan: BitsPlan,
    *,
    activations: str = "none",
    rename: Sequence[str] = (),
    separator: str | None = None,
) -> str:
    """Return ``layer_config`` as JSON.

    Raises
    ------
    UsageError
        For a format that AutoRound does not know, or fused modules that disagree.
    """
    entries = assignments(
        problem, plan, RUNTIME, knows, rename=rename, separator=separator, translate=module_name
    )
    native = activations == "native"
    return to_json({entry.name: scheme(entry.format, native) for entry in entries})


def knows(format: Format) -> bool:
    """Whether AutoRound takes a format."""
    return scheme(format, False) is not None


def scheme(format: Format, activations: bool) -> Scheme | None:
    """Return the scheme of one module, or None for a format AutoRound does not have.

    Asymmetric integers of 8 bits are left out: its own checkpoints cannot hold them.
    """
    if format.kind == CAST:
        return dict(_KEPT)
    if format.kind == PACKED:
        return _PACKED.get(format.name)
    weights = _weights(format)
    if weights is None:
        return None
    inputs = _inputs(format, weights) if activations else None
    return {**weights, **(inputs or {"act_bits": 16})}


def _weights(format: Format) -> dict[str, Any] | None:
    if format.kind == INTEGER:
        held = format.zero_bits in ((0, format.bits) if format.bits < 8 else (0,))
        return _of(format, "int", not format.zero_bits) if held and format.bits <= 8 else None
    shape = (format.exponent, format.mantissa)
    if format.kind == FLOAT and format.scope != BLOCK:
        return _of(format, "fp") if shape == (4, 3) else None
    if (format.scale, format.block, shape) == ("e4m3", 16, (2, 1)):
        return _of(format, "nv_fp")
    mx = format.scale == "e8m0" and format.block == 32 and shape in ((2, 1), (2, 3), (4, 3))
    return _of(format, "mx_fp") if mx else None


def _of(format: Format, data_type: str, symmetric: bool = True) -> dict[str, Any]:
    size = {BLOCK: format.block, CHANNEL: _WHOLE_ROW, TENSOR: _WHOLE_TENSOR}[format.scope]
    return {"bits": format.bits, "group_size": size, "sym": symmetric, "data_type": data_type}


def _inputs(format: Format, weights: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the preset of a format does to activations; None where it leaves them alone."""
    if format.kind == INTEGER and (format.bits != 8 or format.scope != CHANNEL):
        return None
    static = format.kind == FLOAT and format.scope == TENSOR
    kind = weights["data_type"]
    return {
        "act_bits": format.bits,
        "act_group_size": weights["group_size"],
        "act_sym": True,
        "act_data_type": "nv_fp4_with_static_gs" if kind == "nv_fp" else kind,
        "act_dynamic": not static,
    }
