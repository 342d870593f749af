"""Score dumps of ModelOpt's ``auto_quantize``: its search state, or ``candidate_stats`` alone.

For every group of modules: ``formats``, ``scores`` and ``costs`` side by side, and optionally
``module_names``, ``uncompressed_cost``. Costs are weights times compression against 16 bits, so
that 16 times the cost is a size in bits. A group whose formats lack ``NONE`` must be quantized; one
with a single format is fixed.

A state saved by torch holds objects of ModelOpt's own, which no other program can load safely. Save
plain JSON where ModelOpt is installed::

    import json, torch
    state = torch.load("state.pt", weights_only=False)
    stats = {
        name: {**entry, "formats": [str(f) for f in entry["formats"]]}
        for name, entry in state["candidate_stats"].items()
    }
    json.dump({"candidate_stats": stats}, open("scores.json", "w"), default=str)
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError, UnavailableError
from mapc.files import MAX_MODEL_BYTES, MAX_TEXT_BYTES, display_name, read_bytes
from mapc.instances import schema
from mapc.instances.sensitivity.building import Choice, Group, build_problem
from mapc.models.bits.problem import BitsProblem

_SUFFIX = ".quant_recipe"
_DECORATION = re.compile(r"\(effective-bits:.*\)\Z")
_ZIP = b"PK\x03\x04"
RECIPES = {
    "NONE": "bf16",
    "NVFP4_DEFAULT_CFG": "nvfp4",
    "FP8_DEFAULT_CFG": "fp8_e4m3_tensor",
    "INT8_DEFAULT_CFG": "int8",
    "INT4_BLOCKWISE_WEIGHT_ONLY_CFG": "int4_g128",
    "MXFP4_DEFAULT_CFG": "mxfp4",
    "MXFP6_DEFAULT_CFG": "mxfp6_e3m2",
    "MXFP8_DEFAULT_CFG": "mxfp8_e4m3",
}
"""Formats that ModelOpt's recipes store weights in; other recipes keep their own name."""


def import_modelopt(path: str | Path) -> BitsProblem:
    """Read a score dump.

    The loss is ModelOpt's score, the one resource is ``size`` in bits, rounded up. Group names lose
    the ending ``.quant_recipe``; the modules of each group and ModelOpt's name of each format are
    kept in the provenance.

    Raises
    ------
    InstanceError
        For a file of another shape, columns of unequal length, scores or costs that make no sense.
    UnavailableError
        For a file saved by torch where torch is not installed.
    """
    where = display_name(path)
    state = _load(path, where)
    stats = state.get("candidate_stats", state)
    if not isinstance(stats, Mapping) or not stats:
        raise InstanceError("no groups", f"{where}: candidate_stats", "an entry for every group")
    groups, modules = [], {}
    recipes: dict[str, str] = {}
    for name, entry in stats.items():
        group = str(name).removesuffix(_SUFFIX)
        try:
            groups.append(_group(group, entry, recipes))
        except InstanceError as error:
            raise error.inside(f"{where}: group {group!r}") from None
        if entry.get("module_names"):
            modules[group] = [str(module) for module in entry["module_names"]]
    source = {"source": Path(path).name, "format": "modelopt", "recipes": recipes}
    method = {"method": str(state["method"])} if "method" in state else {}
    try:
        return build_problem(
            Path(path).stem,
            groups,
            resources=("size",),
            units=("bits",),
            provenance={**source, **method, "modules": modules},
        )
    except InstanceError as error:
        raise error.inside(where) from None


def _load(path: str | Path, where: str) -> dict[str, Any]:
    data = read_bytes(path, MAX_MODEL_BYTES)
    if not data.startswith(_ZIP):
        if len(data) > MAX_TEXT_BYTES:
            raise InstanceError("file too large", where, f"at most {MAX_TEXT_BYTES} bytes of JSON")
        return schema.decode(data, dict[str, Any], where)
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError(f"{where}: saved by torch, which is not installed; save it as JSON")
    import io

    torch = importlib.import_module("torch")
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # whatever pickle, zipfile and torch raise for what they refuse
        raise InstanceError(
            "holds objects that cannot be loaded safely", where, "candidate_stats saved as JSON"
        ) from None
    if not isinstance(state, dict):
        raise InstanceError(f"holds a {type(state).__name__}", where, "the state of a search")
    return state


def _group(name: str, entry: Any, recipes: dict[str, str]) -> Group:
    if not isinstance(entry, Mapping):
        raise InstanceError(f"{entry!r}"[:60], "", "an object with formats, scores and costs")
    columns = [entry.get(key) for key in ("formats", "scores", "costs")]
    if not all(isinstance(column, list | tuple) and column for column in columns):
        raise InstanceError("incomplete", "", "lists formats, scores and costs")
    formats, scores, costs = ([*column] for column in columns if column)
    if not len(formats) == len(scores) == len(costs):
        lengths = f"{len(formats)} formats, {len(scores)} scores, {len(costs)} costs"
        raise InstanceError(lengths, "", "as many of each")
    names = [_DECORATION.sub("", str(format)).strip() for format in formats]
    plain = [RECIPES.get(recipe, recipe) for recipe in names]
    # two recipes that store weights alike are told apart by their own names
    shown = [recipe if plain.count(p) > 1 else p for recipe, p in zip(names, plain, strict=True)]
    recipes.update(zip(shown, names, strict=True))
    choices = [
        Choice(format, _number(score, "score", format), (_bits(cost, format),))
        for format, score, cost in zip(shown, scores, costs, strict=True)
    ]
    full = entry.get("uncompressed_cost")
    if full is None:
        full = costs[names.index("NONE")] if "NONE" in names else 0
    return Group(name, choices, weights=round(_number(full, "uncompressed_cost", "")))


def _number(value: Any, what: str, format: str) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value < math.inf:
        where = f"{what} of {format!r}" if format else what
        raise InstanceError(f"{value!r}"[:60], where, "a finite number >= 0")
    return float(value)


def _bits(cost: Any, format: str) -> int:
    exact = Fraction(_number(cost, "cost", format)) * 16
    # products of a count and a ratio carry a rounding error; it must not cost a whole bit
    return math.ceil(exact - Fraction(1, 1000))
