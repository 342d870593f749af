"""Sensitivity files of mlx-optiq: KL divergence of every layer at every width.

Either the list of its checkpoint, objects with ``layer_name``, ``sensitivities`` (loss by bits) and
``param_count``, or its published ``sensitivity.json``, which holds that list as ``layers`` beside
``group_size``. Width 16 leaves a layer as it is.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, display_name, read_bytes
from mapc.graph.formats import Format, format_named, storage_bits
from mapc.instances import schema
from mapc.instances.sensitivity.building import Choice, Group, build_problem
from mapc.models.bits.problem import BitsProblem

_KEPT = 16


def import_mlx_optiq(path: str | Path, *, group_size: int | None = None) -> BitsProblem:
    """Read a sensitivity file.

    The one resource is ``size`` in bits with MLX's scale and minimum of 16 bits each for every
    group of weights. KL divergences a rounding error below zero count as 0.

    Parameters
    ----------
    path : path
    group_size : int, optional
        Weights that share a scale; by default what the file says, else 64.

    Raises
    ------
    InstanceError
        For a file of another shape, or figures that make no sense.
    """
    where = display_name(path)
    document: Any = schema.decode(read_bytes(path, MAX_TEXT_BYTES), object, where)
    layers, facts = document, dict[str, Any]()
    if isinstance(document, dict):
        layers = document.get("layers")
        facts = {key: document[key] for key in ("base_model", "metric") if key in document}
        group_size = group_size or document.get("group_size")
    if not isinstance(layers, list) or not layers:
        raise InstanceError("no layers", where, "a list of layers with sensitivities")
    size = 64 if group_size is None else group_size
    if type(size) is not int or not 1 <= size <= 2**20:
        raise InstanceError(f"{size!r}"[:60], f"{where}: group_size", "1 to 2**20 weights")
    groups = []
    for at, layer in enumerate(layers):
        try:
            groups.append(_group(layer, size))
        except InstanceError as error:
            raise error.inside(f"{where}: layer {at}") from None
    source = {"source": Path(path).name, "format": "mlx-optiq", "group_size": size}
    try:
        return build_problem(
            Path(path).stem,
            groups,
            resources=("size",),
            units=("bits",),
            provenance={**source, **facts},
        )
    except InstanceError as error:
        raise error.inside(where) from None


def _group(layer: Any, size: int) -> Group:
    if not isinstance(layer, dict):
        raise InstanceError(f"{layer!r}"[:60], "", "an object")
    name, count, losses = (layer.get(key) for key in ("layer_name", "param_count", "sensitivities"))
    if not isinstance(name, str) or not name:
        raise InstanceError(f"{name!r}"[:60], "layer_name", "a name")
    if type(count) is not int or not 0 <= count <= 2**44:
        raise InstanceError(f"{count!r}"[:60], f"param_count of {name!r}", "a number of weights")
    if not isinstance(losses, dict) or not losses:
        raise InstanceError("none", f"sensitivities of {name!r}", "losses by bits")
    choices = []
    for bits, loss in losses.items():
        where = f"sensitivities of {name!r}, {bits} bits"
        good = isinstance(loss, int | float) and not isinstance(loss, bool)
        if not good or not -1e-6 <= loss < math.inf:
            raise InstanceError(f"{loss!r}"[:60], where, "a finite number >= 0")
        format = _format(bits, size, where)
        choices.append(Choice(format.name, max(float(loss), 0.0), (_size(format, count),)))
    return Group(name, choices, weights=count)


def _format(bits: str, size: int, where: str) -> Format:
    if bits == str(_KEPT):
        return format_named("bf16")
    if bits not in [str(b) for b in range(2, 9)]:
        raise InstanceError(f"width {bits!r}"[:60], where, "2 to 8, or 16")
    return format_named(f"mlx{bits}_g{size}")


def _size(format: Format, count: int) -> int:
    return storage_bits(format, (count,), None)
