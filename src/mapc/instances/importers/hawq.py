"""HAWQ-V3 inputs: Hessian traces, quantization errors, sizes, MACs and measured latencies.

A JSON object by model, each with columns over its layers: ``layers`` (names),
``hutchinson_avg_trace``, ``delta_w_int4_sq`` and ``delta_w_int8_sq`` (any widths from 2 to 8),
``params_M`` with ``params_unit`` (``"1e6"`` or ``"Mi (2^20)"``), and optionally ``macs_M`` (in
1e6), latencies in ms (``latency_int4...``) and ``tied`` (lists of positions).

Sources: HAWQ-V3 (Yao et al. 2021), eq. 4 for the loss, trace times squared error, and section 3.3
for the budgets; an activation has the width of the layer that reads it, so that bit operations
are MACs times width squared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import inf, lcm
from pathlib import Path
from typing import Any

import numpy as np

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.graph.operators import Ragged
from mapc.instances import schema
from mapc.instances.sensitivity.building import Choice, Group, build_problem
from mapc.models.bits.problem import MAX_COST, BitsProblem

_UNITS = {"1e6": 10**6, "Mi (2^20)": 2**20}
_DELTA = re.compile(r"delta_w_int([2-8])_sq\Z")
_LATENCY = re.compile(r"latency_int([2-8])(_.*)?\Z")


def import_hawq(path: str | Path, *, model: str | None = None) -> BitsProblem:
    """Read the inputs of one model.

    Costs are exact: ``size`` in bits (weights times width, as published, without scales), ``bops``
    in bit operations, ``latency`` in the smallest power of ten of a millisecond that makes all
    figures whole numbers. A budget of ``size=0.25`` is the published level: the fraction of the way
    from all layers in the narrowest format to all in the widest.

    Parameters
    ----------
    path : path
    model : str, optional
        E.g. ``"resnet50"``; may be left out where the file holds one model.

    Raises
    ------
    InstanceError
        For a file of another shape, columns of unequal length, or figures that make no sense.
    """
    where = display_name(path)
    models = schema.decode(read_bytes(path, MAX_TEXT_BYTES), dict[str, dict[str, Any]], where)
    if model is None and len(models) != 1:
        raise InstanceError(f"{len(models)} models", where, f"model: one of {', '.join(models)}")
    name = next(iter(models)) if model is None else model
    if name not in models:
        known = ", ".join(models) or "none"
        raise InstanceError(f"no model {name!r}", where, f"one of {known}")
    try:
        return _problem(name, models[name], {"source": Path(path).name, "format": "hawq"})
    except InstanceError as error:
        raise error.inside(f"{where}: {name}") from None


def _problem(name: str, data: Mapping[str, Any], source: Mapping[str, Any]) -> BitsProblem:
    layers = data.get("layers")
    if not isinstance(layers, list) or not all(isinstance(x, str) for x in layers) or not layers:
        raise InstanceError("no list of names", "layers", "one name for every layer")
    n = len(layers)
    deltas = _by_width(data, _DELTA)
    if not deltas:
        raise InstanceError("no quantization errors", "delta_w_int4_sq", "one column at least")
    widths = sorted(deltas)
    trace = np.array([float(x) for x in _column(data, "hutchinson_avg_trace", n)])
    loss = np.array([[float(x) for x in _column(data, deltas[b], n)] for b in widths]) * trace
    params = _counts(data, "params_M", n, _unit(data))
    cost = {"size": [[p * b for p in params] for b in widths]}
    units = {"size": "bits"}
    if "macs_M" in data:
        macs = _counts(data, "macs_M", n, 10**6)
        cost["bops"], units["bops"] = [[m * b * b for m in macs] for b in widths], "bit operations"
    latencies = _by_width(data, _LATENCY)
    if latencies:
        if sorted(latencies) != widths:
            raise InstanceError(f"widths {sorted(latencies)}", "latency", f"widths {widths}")
        figures = [_column(data, latencies[b], n) for b in widths]
        cost["latency"], units["latency"] = _whole(figures)
    groups = [
        Group(
            layer,
            [
                Choice(f"int{b}", float(loss[j, i]), tuple(c[j][i] for c in cost.values()))
                for j, b in enumerate(widths)
            ],
            weights=params[i],
        )
        for i, layer in enumerate(layers)
    ]
    return build_problem(
        name,
        groups,
        resources=tuple(cost),
        units=tuple(units.values()),
        ties=_ties(data.get("tied", []), n),
        provenance={**source, "model": name, "loss": "average Hessian trace x squared error"},
    )


def _by_width(data: Mapping[str, Any], pattern: re.Pattern[str]) -> dict[int, str]:
    return {int(match[1]): key for key in data if (match := pattern.match(key))}


def _column(data: Mapping[str, Any], key: str, n: int) -> list[Fraction]:
    """Return a column exactly as it is written in decimal."""
    values = data.get(key)
    if not isinstance(values, list) or len(values) != n:
        found = f"{len(values)} entries" if isinstance(values, list) else "no column"
        raise InstanceError(found, key, f"a list of {n} numbers, one for each layer")
    for at, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < inf:
            raise InstanceError(f"{value!r}"[:40], f"{key}[{at}]", "a number >= 0")
    # the shortest text that reads back as the same float is what the file says
    return [Fraction(repr(value)) for value in values]


def _unit(data: Mapping[str, Any]) -> int:
    unit = data.get("params_unit", "1e6")
    if unit not in _UNITS:
        raise InstanceError(f"{unit!r}"[:40], "params_unit", " or ".join(map(repr, _UNITS)))
    return _UNITS[unit]


def _counts(data: Mapping[str, Any], key: str, n: int, unit: int) -> list[int]:
    counts = [value * unit for value in _column(data, key, n)]
    for at, count in enumerate(counts):
        if count.denominator != 1:
            raise InstanceError(
                f"{float(count)} of them", f"{key}[{at}]", f"a whole number once times {unit}"
            )
    return [int(count) for count in counts]


def _whole(figures: Sequence[Sequence[Fraction]]) -> tuple[list[list[int]], str]:
    """Return milliseconds as whole numbers of a power of ten, and that unit."""
    common = lcm(*(x.denominator for column in figures for x in column))
    digits = 0
    while 10**digits % common:
        digits += 1
    top = max(x for column in figures for x in column)
    if top * 10**digits > MAX_COST:
        raise InstanceError(f"{digits} decimals", "latency", "fewer, so that all fit 2**50 units")
    unit = f"1e-{digits} ms" if digits else "ms"
    return [[int(x * 10**digits) for x in column] for column in figures], unit


def _ties(rows: Any, n: int) -> Ragged:
    good = isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    for at, row in enumerate(rows if good else [None]):
        if not good or any(type(i) is not int or not 0 <= i < n for i in row):
            place = f"tied[{at}]" if good else "tied"
            raise InstanceError(f"{row!r}"[:40], place, f"lists of positions 0 to {n - 1}")
    return Ragged.of(rows)
