"""Randomly wired networks, and layered graphs without a network behind them.

RandWire: Xie, Kirillov, Girshick and He 2019 (arXiv:1904.01569). A stage is a random graph of
Watts and Strogatz (1998): a ring in which every node knows its nearest neighbours, and every
edge has its far end moved to a random node with some probability. Edges run from the smaller
number to the larger one. A node adds what it is given, each input times a learned weight, then
convolves; nodes without an input read what the stage is given, at half its height and width, and
the outputs of nodes that nobody reads are averaged.
"""

from __future__ import annotations

import numpy as np

from mapc.errors import UsageError
from mapc.instances.generators.graphs_layers import Layers, Map
from mapc.instances.operator_building import GraphBuilder

_TRIES = 1000
"""Random graphs drawn before a connected one is given up."""


def watts_strogatz(
    nodes: int, neighbours: int, rewire: float, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Return the edges (smaller, larger) of a connected random graph, ascending.

    Parameters
    ----------
    nodes : int
    neighbours : int
        Even, 2 to ``nodes - 1``: how many nearest ones a node knows on the ring.
    rewire : float
        0 to 1: probability that an edge is moved.

    Raises
    ------
    UsageError
        For an argument out of range, or where no connected graph turns up.
    """
    if neighbours % 2 or not 2 <= neighbours < nodes:
        raise UsageError(f"neighbours {neighbours}: expected an even number from 2 to nodes - 1")
    if not 0 <= rewire <= 1:
        raise UsageError(f"rewire {rewire}: expected 0 to 1")
    for _ in range(_TRIES):
        known = _ring(nodes, neighbours)
        for distance in range(1, neighbours // 2 + 1):
            for node in range(nodes):
                if rng.random() < rewire:
                    _move(known, node, (node + distance) % nodes, rng)
        if _is_connected(known):
            return sorted((a, b) for a in range(nodes) for b in known[a] if a < b)
    raise UsageError(
        f"neighbours {neighbours}: no connected graph in {_TRIES} draws; expected more"
    )


def _ring(nodes: int, neighbours: int) -> list[set[int]]:
    near = [*range(-(neighbours // 2), 0), *range(1, neighbours // 2 + 1)]
    return [{(node + step) % nodes for step in near} for node in range(nodes)]


def _move(known: list[set[int]], node: int, end: int, rng: np.random.Generator) -> None:
    free = [other for other in range(len(known)) if other != node and other not in known[node]]
    if free:
        known[node].remove(end)
        known[end].remove(node)
        other = free[int(rng.integers(len(free)))]
        known[node].add(other)
        known[other].add(node)


def _is_connected(known: list[set[int]]) -> bool:
    seen, waiting = {0}, [0]
    while waiting:
        fresh = known[waiting.pop()] - seen
        seen |= fresh
        waiting += fresh
    return len(seen) == len(known)


def randwire(
    net: Layers,
    nodes: int,
    neighbours: int,
    rewire: float,
    channels: int,
    resolution: int,
    seed: int,
) -> None:
    """Add RandWire of the small regime: two convolutions, then three wired stages.

    The stages have ``channels``, twice and four times as many; the published small network has 32
    nodes a stage, WS(4, 0.75) and 78 channels at 224 x 224 pixels.
    """
    rng = np.random.default_rng([seed, 0x57])
    x = net.input(3, resolution, resolution)
    with net.scope("conv1"):
        x = net.norm(net.conv(x, max(1, channels // 2), 3, 2))
    with net.scope("conv2"):
        x = net.relu_conv_norm(x, channels, 3, 2)
    for stage in range(3):
        edges = watts_strogatz(nodes, neighbours, rewire, rng)
        with net.scope(f"stage{stage + 3}"):
            x = _stage(net, x, nodes, edges, channels << stage)
    with net.scope("head"):
        x = net.relu(net.relu_conv_norm(x, 1280))
    net.output(net.classify(x, 1000))


def _stage(net: Layers, x: Map, nodes: int, edges: list[tuple[int, int]], channels: int) -> Map:
    inputs: list[list[int]] = [[] for _ in range(nodes)]
    for a, b in edges:
        inputs[b].append(a)
    found: list[Map] = []
    for node, given in enumerate(inputs):
        with net.scope(f"node{node}"):
            if len(given) > 1:
                found.append(
                    net.separable(net.weighted_sum(*(found[a] for a in given)), channels, 3)
                )
            elif given:
                found.append(net.separable(found[given[0]], channels, 3))
            else:
                found.append(net.separable(x, channels, 3, 2))
    read = {a for a, _ in edges}
    ends = [found[node] for node in range(nodes) if node not in read]
    return net.add(*ends) if len(ends) > 1 else ends[0]


def layered(builder: GraphBuilder, operators: int, width: int, seed: int) -> None:
    """Add a random layered graph of any size.

    Layers have 1 to ``2 * width - 1`` operators. Each reads one to three results, most of them
    of the layer before, some of up to five layers before. Results have 1 KiB to 1 MiB, in whole
    KiB, spread evenly over the powers of two; what nobody reads is an output.
    """
    rng = np.random.default_rng([seed, 0x4C])
    layers: list[list[str]] = [[builder.tensor("input", _some_bytes(rng))]]
    unread: dict[str, None] = {}
    made = 0
    while made < operators:
        recent = layers[-5:]
        row: list[str] = []
        for _ in range(min(int(rng.integers(1, 2 * width)), operators - made)):
            reads = [_some(recent, rng) for _ in range(int(rng.integers(1, 4)))]
            for tensor in reads:
                unread.pop(tensor, None)
            name = f"layer{len(layers)}.op{len(row)}"
            builder.run(name, "op", reads, {f"{name}.out": _some_bytes(rng)})
            unread[f"{name}.out"] = None
            row.append(f"{name}.out")
        made += len(row)
        layers.append(row)
    builder.output(*unread)


def _some(recent: list[list[str]], rng: np.random.Generator) -> str:
    back = min(int(rng.geometric(0.7)), len(recent))
    row = recent[-back]
    return row[int(rng.integers(len(row)))]


def _some_bytes(rng: np.random.Generator) -> int:
    return 1024 * int(2.0 ** rng.uniform(0.0, 10.0))
