"""ONNX Runtime: arguments of its two quantizers of weights.

``qdq`` is for ``quantize_static``: the type of every weight tensor under
``extra_options["TensorQuantOverrides"]``, and the nodes to leave alone. ``nbits`` is for
``MatMulNBitsQuantizer``, which replaces MatMul nodes: width, group and scheme by node name, for an
algorithm such as ``RTNWeightOnlyQuantConfig``. `static_arguments` and `nbits_arguments` turn a
document into the arguments themselves.

What a channel is depends on the operator that reads a weight, and the second quantizer knows nodes
only. Problems that were read from an ONNX model remember both; else they are looked up in the
model, if it is given. A model is best prepared (constants folded, nodes named) before its weights
are read, since that renames them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mapc.deploy.assignment import Entry, assignments
from mapc.deploy.onnx_sites import Site, recorded_sites, weight_sites
from mapc.deploy.text import to_json
from mapc.errors import UnavailableError, UsageError
from mapc.graph.formats import BLOCK, CAST, CHANNEL, FLOAT, INTEGER, TENSOR, Format
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

RUNTIME = "onnxruntime"
_NBITS = (4, 8)
_WHOLE_ROW = -1

Document = dict[str, Any]


def export(
    problem: BitsProblem,
    plan: BitsPlan,
    *,
    form: str = "qdq",
    model: str | Path | None = None,
    axis: int | None = None,
    rename: Sequence[str] = (),
    separator: str | None = None,
) -> str:
    """Return the arguments of a quantizer as JSON.

    Groups are weight tensors, or what `mapc.instances.importers` made of those of a model; for
    ``nbits``, names that nothing is known of are MatMul nodes.

    Raises
    ------
    UsageError
        For a format that the quantizer does not know, a weight no operator of the model reads, or
        an axis or node that only a model could tell.
    InstanceError
        For a model that cannot be read.
    """
    known = recorded_sites(problem)
    entries = assignments(
        problem,
        plan,
        RUNTIME,
        knows_static if form == "qdq" else knows_nbits,
        rename=rename,
        separator=separator,
        translate=lambda name: known[name][0] if name in known else name,
    )
    if model is None:
        sites = dict(known.values())
    else:
        sites = weight_sites(Path(model))
        _check_read(entries, sites, model)
    document = _static(entries, sites, axis) if form == "qdq" else _matmuls(entries, sites)
    return to_json(document)


def knows_static(format: Format) -> bool:
    """Whether ``quantize_static`` takes a format for weights."""
    return format.kind == CAST or _quant_type(format) is not None


def knows_nbits(format: Format) -> bool:
    """Whether ``MatMulNBits`` stores a format: 4 or 8 bits, by row or by power-of-two groups."""
    if format.kind != INTEGER:
        return format.kind == CAST
    fits = format.scope == CHANNEL or (format.block >= 16 and format.block.bit_count() == 1)
    return format.bits in _NBITS and fits and format.zero_bits in (0, format.bits)


def static_arguments(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords of ``onnxruntime.quantization.quantize_static`` from a parsed document.

    Raises
    ------
    UnavailableError
        Without the ``onnxruntime`` package.
    """
    types = _quantization().QuantType
    given: Mapping[str, list[Document]] = document["extra_options"]["TensorQuantOverrides"]
    overrides = {
        name: [{**item, "quant_type": types.from_string(item["quant_type"])} for item in items]
        for name, items in given.items()
    }
    options = {**document["extra_options"], "TensorQuantOverrides": overrides}
    return {**document, "extra_options": options}


def nbits_arguments(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords of ``MatMulNBitsQuantizer`` for round-to-nearest, from a parsed document.

    Raises
    ------
    UnavailableError
        Without the ``onnxruntime`` package.
    """
    config = _quantization("matmul_nbits_quantizer").RTNWeightOnlyQuantConfig
    rest = {key: value for key, value in document.items() if key != "customized_weight_config"}
    custom = document["customized_weight_config"]
    return {**rest, "algo_config": config(customized_weight_config=custom)}


def _quantization(module: str = "") -> Any:
    name = f"onnxruntime.quantization.{module}".rstrip(".")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(f"onnxruntime: {error}; pip install onnxruntime onnx") from None


def _quant_type(format: Format) -> str | None:
    """Return the name of a QuantType for weights; blocks are not for this quantizer."""
    if format.scope == BLOCK or format.zero_bits:
        return None
    if format.kind == INTEGER:
        return {4: "QInt4", 8: "QInt8"}.get(format.bits)
    shape = (format.exponent, format.mantissa)
    # its fp8 has one scale for a tensor
    whole = format.kind == FLOAT and format.scope == TENSOR
    return "QFLOAT8E4M3FN" if whole and shape == (4, 3) else None


def _static(entries: Sequence[Entry], sites: Mapping[str, Site], axis: int | None) -> Document:
    overrides = {}
    for entry in entries:
        if entry.kept:
            continue
        item: Document = {"quant_type": _quant_type(entry.format), "symmetric": True}
        if entry.format.scope == CHANNEL:
            item["axis"] = _axis(entry, sites, axis)
        overrides[entry.name] = [item]
    return {
        "nodes_to_exclude": _kept_nodes(entries, sites),
        "extra_options": {"TensorQuantOverrides": overrides},
    }


def _axis(entry: Entry, sites: Mapping[str, Site], axis: int | None) -> int:
    site = sites.get(entry.name)
    known = axis if site is None or site.axis is None else site.axis
    if known is not None:
        return known
    why = (
        "nothing says which axis that is; expected option model or axis"
        if site is None
        else f"{', '.join(sorted(site.kinds))} has no one axis for it; expected another format"
    )
    raise UsageError(
        f"group {entry.group!r}: {entry.format.name} has a scale for each channel, and {why}"
    )


def _matmuls(entries: Sequence[Entry], sites: Mapping[str, Site]) -> Document:
    custom: dict[str, Document] = {}
    for entry in entries:
        if entry.kept:
            continue
        _check_matmul(entry, sites)
        block = entry.format.block if entry.format.scope == BLOCK else _WHOLE_ROW
        scheme = "asym" if entry.format.zero_bits else "sym"
        settings = {"bits": entry.format.bits, "group_size": block, "scheme": scheme}
        nodes = sites[entry.name].nodes if entry.name in sites else (entry.name,)
        custom.update((node, settings) for node in nodes)
    kept = (entry.name for entry in entries if entry.kept)
    nodes_kept = [n for name in kept for n in (sites[name].nodes if name in sites else (name,))]
    return {"nodes_to_exclude": nodes_kept, "customized_weight_config": custom}


def _check_matmul(entry: Entry, sites: Mapping[str, Site]) -> None:
    site = sites.get(entry.name)
    if site is not None and site.kinds != {"MatMul"}:
        raise UsageError(
            f"group {entry.group!r}: {entry.name!r} is read by {', '.join(sorted(site.kinds))}; "
            f"expected MatMul alone, as {entry.format.name} in MatMulNBits"
        )


def _kept_nodes(entries: Sequence[Entry], sites: Mapping[str, Site]) -> list[str]:
    nodes: dict[str, None] = {}
    for entry in entries:
        if entry.kept and entry.name not in sites:
            raise UsageError(
                f"group {entry.group!r} stays {entry.format.name}: weights are kept by leaving out "
                "the nodes that read them; expected option model"
            )
        nodes.update(dict.fromkeys(sites[entry.name].nodes if entry.kept else ()))
    return list(nodes)


def _check_read(entries: Sequence[Entry], sites: Mapping[str, Site], model: str | Path) -> None:
    for entry in entries:
        if entry.name not in sites:
            known = ", ".join(list(sites)[:3]) or "none"
            raise UsageError(
                f"group {entry.group!r}: no Conv, ConvTranspose, Gemm, MatMul or Gather in {model} "
                f"reads a weight {entry.name!r}; expected e.g. {known}"
            )
        if not all(sites[entry.name].nodes):
            raise UsageError(
                f"{model}: a node that reads {entry.name!r} has no name; expected names everywhere"
            )
