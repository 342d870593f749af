"""NVIDIA Model Optimizer: an ordered list of quantizer settings, of which the last match counts.

The list begins by switching every quantizer off, then names each weight quantizer of the plan.
Patterns are globs over quantizer names, so what a glob would read in a module's name is escaped.

As a recipe the text is what ``modelopt.recipe.load_recipe`` reads. As JSON it is the argument of
``mtq.quantize`` except that JSON has no integer keys and no tuples: block axes are ``"-1"`` and
formats ``"e4m3"``; `quantize_config` turns a parsed document into the argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mapc.deploy.assignment import Entry, assignments, module_name
from mapc.deploy.text import to_json, to_yaml
from mapc.graph.formats import BLOCK, CAST, CHANNEL, FLOAT, INTEGER, TENSOR, Format
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

RUNTIME = "modelopt"
_GLOB = re.compile(r"([*?[])")
_REAL = re.compile(r"[eE](\d+)[mM](\d+)\Z")

Settings = dict[str, Any]


def export(
    problem: BitsProblem,
    plan: BitsPlan,
    *,
    activations: str = "none",
    form: str = "recipe",
    algorithm: str = "max",
    rename: Sequence[str] = (),
    separator: str | None = None,
) -> str:
    """Return a PTQ recipe (YAML) or the quantization config (JSON).

    Raises
    ------
    UsageError
        For a format that Model Optimizer does not know, or fused modules that disagree.
    """
    entries = assignments(
        problem, plan, RUNTIME, knows, rename=rename, separator=separator, translate=module_name
    )
    quantize = {"algorithm": algorithm, "quant_cfg": quantizers(entries, activations == "native")}
    if form == "json":
        return to_json(quantize)
    metadata = {"recipe_type": "ptq", "description": f"Formats chosen for {problem.name}."}
    return to_yaml({"metadata": metadata, "quantize": quantize})


def quantizers(entries: Sequence[Entry], activations: bool) -> list[Settings]:
    """Return the list of settings, the general one first."""
    settings: list[Settings] = [{"quantizer_name": "*", "enable": False}]
    for entry in entries:
        module = escape(entry.name)
        weight = {"quantizer_name": f"{module}.weight_quantizer"}
        if entry.kept:
            settings.append({**weight, "enable": False})
            continue
        settings.append({**weight, "cfg": weight_attributes(entry.format), "enable": True})
        inputs = input_attributes(entry.format) if activations else None
        if inputs is not None:
            name = f"{module}.input_quantizer"
            settings.append({"quantizer_name": name, "cfg": inputs, "enable": True})
    return settings


def escape(name: str) -> str:
    """Return the glob that matches one name and no other."""
    return _GLOB.sub(r"[\1]", name)


def knows(format: Format) -> bool:
    """Whether Model Optimizer takes a format."""
    return format.kind == CAST or weight_attributes(format) is not None


def weight_attributes(format: Format) -> Settings | None:
    """Return the attributes of a weight quantizer, or None for a format it does not have."""
    if format.kind == INTEGER and not format.zero_bits:
        return {"num_bits": format.bits, **_integer_scope(format)}
    if format.kind != FLOAT:
        return None
    width = f"e{format.exponent}m{format.mantissa}"
    if format.scope == BLOCK:
        if (format.scale, format.block) not in (("e8m0", 32), ("e4m3", 16)):
            return None
        if format.scale == "e4m3" and width != "e2m1":
            return None
        blocks = {-1: format.block, "type": "dynamic", "scale_bits": format.scale}
        return {"num_bits": width, "block_sizes": blocks}
    if width != "e4m3":
        return None
    return {"num_bits": width, "axis": 0 if format.scope == CHANNEL else None}


def input_attributes(format: Format) -> Settings | None:
    """Return the attributes of an input quantizer where the presets have one, else None.

    int8 and fp8 take one scale for a tensor, block floats the block of the weights; integers below
    8 bits and in blocks are weight-only.
    """
    if format.kind == INTEGER:
        eight = format.bits == 8 and format.scope != BLOCK
        return {"num_bits": 8, "axis": None} if eight else None
    attributes = weight_attributes(format)
    return {**attributes, "axis": None} if attributes and "axis" in attributes else attributes


def quantize_config(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the argument of ``mtq.quantize`` from the parsed JSON form."""
    found: dict[str, Any] = _typed(document)
    return found


def _typed(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        items = value.items()
        return {int(k) if re.fullmatch(r"-?\d+", k) else k: _typed(v, k) for k, v in items}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if key not in ("num_bits", "scale_bits") or not isinstance(value, str):
        return value
    real = _REAL.match(value)
    return value if real is None else (int(real[1]), int(real[2]))


def _integer_scope(format: Format) -> Settings:
    if format.scope == BLOCK:
        return {"block_sizes": {-1: format.block, "type": "static"}}
    return {"axis": None if format.scope == TENSOR else 0}
