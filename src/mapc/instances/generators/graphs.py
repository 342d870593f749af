"""Operator graphs of irregular networks, as memory problems: ``mapc generate memory``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mapc.errors import UsageError
from mapc.instances.dtypes import bits_of
from mapc.instances.generators.graphs_blocks import gpt, unet
from mapc.instances.generators.graphs_cells import amoebanet, darts, nasnet
from mapc.instances.generators.graphs_layers import Layers
from mapc.instances.generators.graphs_wired import layered, randwire
from mapc.instances.operator_building import GraphBuilder
from mapc.models.memory.problem import MemoryProblem

LAYERED = "layered"

DEFAULTS: Mapping[str, Mapping[str, int | float]] = {
    "randwire": {
        "nodes": 32,
        "neighbours": 4,
        "rewire": 0.75,
        "channels": 78,
        "resolution": 224,
    },
    "darts": {"cells": 14, "channels": 48, "resolution": 224},
    "nasnet": {"cells": 6, "channels": 168, "resolution": 331},
    "amoebanet": {"cells": 6, "channels": 192, "resolution": 331},
    "unet": {"depth": 4, "channels": 64, "resolution": 512},
    "gpt": {"layers": 12, "hidden": 768, "heads": 12, "tokens": 128, "vocabulary": 0},
    LAYERED: {"operators": 1000, "width": 8},
}
"""Networks, and the options that each takes with what they are where they are not given."""

SEEDED = ("randwire", LAYERED)
"""Networks that are drawn at random; the others take a seed and do not look at it."""

_MOST = 10**6
_LEAST = {"vocabulary": 0, "rewire": 0.0, "channels": 2, "resolution": 32, "nodes": 3, "cells": 1}
_BUILDERS: Mapping[str, Callable[..., None]] = {
    "darts": darts,
    "nasnet": nasnet,
    "amoebanet": amoebanet,
    "unet": unet,
    "gpt": gpt,
}


@dataclass(frozen=True)
class _Request:
    """A network with all of its options."""

    network: str
    options: dict[str, Any]
    seed: int


def generate(
    network: str,
    seed: int = 0,
    cells: int | None = None,
    nodes: int | None = None,
    neighbours: int | None = None,
    rewire: float | None = None,
    channels: int | None = None,
    resolution: int | None = None,
    depth: int | None = None,
    layers: int | None = None,
    hidden: int | None = None,
    heads: int | None = None,
    tokens: int | None = None,
    vocabulary: int | None = None,
    operators: int | None = None,
    width: int | None = None,
    dtype: str = "int8",
    weights: bool = False,
    fuse: bool = False,
) -> MemoryProblem:
    """Return a memory problem without a capacity; equal arguments give equal problems.

    Parameters
    ----------
    network : str
        A key of `DEFAULTS`: ``randwire``, ``darts``, ``nasnet``, ``amoebanet``, ``unet``, ``gpt``,
        or ``layered``, a random graph of any size without weights.
    seed : int
    cells : int
        DARTS: in all; NASNet, AmoebaNet: normal ones in each of the three stacks.
    nodes, neighbours, rewire : int, int, float
        RandWire: a stage is WS(neighbours, rewire) over so many nodes.
    channels, resolution : int
        Of the first stage or stack; height and width of the image.
    depth : int
        U-Net: halvings of the image.
    layers, hidden, heads, tokens, vocabulary : int
        GPT; without a vocabulary the network ends with its last normalisation.
    operators, width : int
        Layered: all operators, and those of a layer on average.
    dtype : str
        Number format of all tensors; of a layered graph the sizes are in bytes.
    weights : bool
        Keep weights, as constants.
    fuse : bool
        Merge elementwise operators into the producers of their only input, as for ONNX models.

    Raises
    ------
    UsageError
        For an option that the network does not have, or that is out of range.
    """
    given = {
        name: value
        for name, value in locals().items()
        if name not in ("network", "seed", "dtype", "weights", "fuse") and value is not None
    }
    request = _request(network, given, seed)
    kept = [word for word, said in (("weights", weights), ("fused", fuse)) if said]
    builder = GraphBuilder("-".join([_name(request), *kept]))
    _build(request, builder, bits_of(dtype))
    graph, _ = builder.graph(fuse=fuse, weights=weights)
    provenance = {"generator": "memory", "network": network, **request.options, "dtype": dtype}
    provenance |= {"seed": seed, "weights": weights, "fuse": fuse}
    return MemoryProblem(graph, provenance=provenance)


def _request(network: str, given: Mapping[str, Any], seed: int) -> _Request:
    if network not in DEFAULTS:
        raise UsageError(f"network {network!r}: expected one of {', '.join(DEFAULTS)}")
    known = DEFAULTS[network]
    for name, value in given.items():
        if name not in known:
            takes = ", ".join(known)
            raise UsageError(f"network {network}: has no option {name!r}; expected {takes}")
        least = _LEAST.get(name, 1)
        most = 1.0 if name == "rewire" else 24 if name == "depth" else _MOST
        if not least <= value <= most:
            raise UsageError(f"{name} {value}: expected {least} to {most}")
    return _Request(network, {**known, **given}, seed)


def _name(request: _Request) -> str:
    changed = [
        f"{name}{value}"
        for name, value in request.options.items()
        if value != DEFAULTS[request.network][name]
    ]
    seed = [f"seed{request.seed}"] if request.network in SEEDED else []
    return "-".join([request.network, *changed, *seed])


def _build(request: _Request, builder: GraphBuilder, bits: int) -> None:
    if request.network == LAYERED:
        layered(builder, **request.options, seed=request.seed)
    elif request.network == "randwire":
        randwire(Layers(builder, bits), **request.options, seed=request.seed)
    else:
        _BUILDERS[request.network](Layers(builder, bits), **request.options)
