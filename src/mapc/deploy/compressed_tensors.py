"""compressed-tensors and LLM Compressor: modules grouped by identical scheme.

Targets are exact module names; a name that the format would take for a pattern is written as a
pattern that matches it alone. Modules that stay unquantised are listed under ``ignore``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mapc.deploy.assignment import Entry, assignments, module_name
from mapc.deploy.text import to_json, to_yaml
from mapc.graph.formats import BLOCK, CAST, CHANNEL, FLOAT, INTEGER, TENSOR, Format
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

CONFIG, RECIPE = "compressed-tensors", "llm-compressor"
MIXED = "mixed-precision"
_PATTERN = "re:"
_SCALES = {"e8m0": "torch.uint8", "e4m3": "torch.float8_e4m3fn"}

Scheme = dict[str, Any]


def export_config(
    problem: BitsProblem,
    plan: BitsPlan,
    *,
    activations: str = "none",
    rename: Sequence[str] = (),
    separator: str | None = None,
) -> str:
    """Return the ``quantization_config`` that a checkpoint carries, as JSON.

    Raises
    ------
    UsageError
        For a format that compressed-tensors does not know, or fused modules that disagree.
    """
    entries = _entries(problem, plan, CONFIG, rename, separator)
    groups, ignore = config_groups(entries, activations == "native")
    forms = {str(group["format"]) for group in groups.values()}
    document = {
        "quant_method": "compressed-tensors",
        "format": forms.pop() if len(forms) == 1 else MIXED if forms else "dense",
        "ignore": ignore,
        "config_groups": groups,
        "kv_cache_scheme": None,
    }
    return to_json(document)


def export_recipe(
    problem: BitsProblem,
    plan: BitsPlan,
    *,
    activations: str = "none",
    rename: Sequence[str] = (),
    separator: str | None = None,
) -> str:
    """Return a recipe with one QuantizationModifier, as YAML.

    Raises
    ------
    UsageError
        For a format that LLM Compressor does not know, or fused modules that disagree.
    """
    entries = _entries(problem, plan, RECIPE, rename, separator)
    groups, ignore = config_groups(entries, activations == "native")
    modifier = {"ignore": ignore, "config_groups": groups}
    return to_yaml({"quant_stage": {"quant_modifiers": {"QuantizationModifier": modifier}}})


def config_groups(
    entries: Sequence[Entry], activations: bool
) -> tuple[dict[str, Scheme], list[str]]:
    """Return one group for each scheme, in order of first use, and the modules to ignore."""
    targets: dict[Format, list[str]] = {}
    for entry in entries:
        if not entry.kept:
            targets.setdefault(entry.format, []).append(target(entry.name))
    groups: dict[str, Scheme] = {}
    for at, (format, names) in enumerate(targets.items()):
        inputs = input_scheme(format) if activations else None
        groups[f"group_{at}"] = {
            "targets": names,
            "weights": weight_scheme(format),
            "input_activations": inputs,
            "output_activations": None,
            "format": storage(format, inputs is not None),
        }
    return groups, [target(entry.name) for entry in entries if entry.kept]


def target(name: str) -> str:
    """Return a target that matches one module and no other.

    A capitalised name without a dot might be that of a class, which targets match as well.
    """
    if name.startswith(_PATTERN) or (name[:1].isupper() and "." not in name):
        return f"{_PATTERN}{re.escape(name)}$"
    return name


def knows(format: Format) -> bool:
    """Whether compressed-tensors has a format."""
    return format.kind == CAST or weight_scheme(format) is not None


def weight_scheme(format: Format) -> Scheme | None:
    """Return the arguments that quantise weights, or None for a format it does not have."""
    if format.kind == INTEGER and format.bits <= 8 and format.zero_bits in (0, format.bits):
        return _scheme(format.bits, "int", not format.zero_bits, **_scope(format))
    if format.kind != FLOAT:
        return None
    scaled: Scheme = {
        "scale_dtype": _SCALES.get(format.scale),
        "zp_dtype": _SCALES.get(format.scale),
    }
    shape = (format.exponent, format.mantissa)
    if format.scope == BLOCK:
        if (format.scale, format.block) == ("e8m0", 32) and shape in ((2, 1), (2, 3), (4, 3)):
            return _scheme(format.bits, "float", strategy="group", group_size=32, **scaled)
        if (format.scale, format.block, shape) == ("e4m3", 16, (2, 1)):
            return _scheme(4, "float", strategy="tensor_group", group_size=16, **scaled)
        return None
    return _scheme(8, "float", **_scope(format)) if shape == (4, 3) else None


def input_scheme(format: Format) -> Scheme | None:
    """Return the arguments that quantise inputs as the preset of a format does, or None.

    int8 for each channel is W8A8, fp8 for each channel FP8_DYNAMIC, for a tensor FP8, and nvfp4,
    mxfp4 and mxfp8 quantise both sides alike; mxfp6 takes mxfp8 inputs; other integers are
    weight-only.
    """
    if format.kind == INTEGER:
        w8a8 = format.bits == 8 and format.scope == CHANNEL and not format.zero_bits
        return _scheme(8, "int", dynamic=True, strategy="token") if w8a8 else None
    if format.scope == CHANNEL:
        return _scheme(8, "float", dynamic=True, strategy="token")
    if format.scope == TENSOR:
        return _scheme(8, "float", strategy="tensor", observer="static_minmax")
    scheme = dict(weight_scheme(format) or {})
    if format.scale == "e4m3":
        return {**scheme, "dynamic": "local", "observer": "static_minmax"}
    return {**scheme, "num_bits": 8 if format.bits == 6 else format.bits, "dynamic": True}


def storage(format: Format, activations: bool) -> str:
    """Return the name of the layout that compressed-tensors stores such weights in."""
    if format.kind == INTEGER:
        return "int-quantized" if activations else "pack-quantized"
    if format.scope == BLOCK:
        if format.scale == "e4m3":
            return "nvfp4-pack-quantized"
        return {4: "mxfp4-pack-quantized", 6: "mxfp6-pack-quantized", 8: "mxfp8-quantized"}[
            format.bits
        ]
    return "float-quantized" if activations else "naive-quantized"


def _entries(
    problem: BitsProblem,
    plan: BitsPlan,
    runtime: str,
    rename: Sequence[str],
    separator: str | None,
) -> list[Entry]:
    return assignments(
        problem, plan, runtime, knows, rename=rename, separator=separator, translate=module_name
    )


def _scheme(
    bits: int, kind: str, symmetric: bool = True, dynamic: bool = False, **more: Any
) -> Scheme:
    return {"num_bits": bits, "type": kind, "symmetric": symmetric, "dynamic": dynamic, **more}


def _scope(format: Format) -> Scheme:
    if format.scope == BLOCK:
        return {"strategy": "group", "group_size": format.block}
    return {"strategy": "channel" if format.scope == CHANNEL else "tensor"}
