"""A cluster as people describe it: ranks in nodes, how fast they are, and what joins them.

A TOML file. Every rank has the same of everything unless a list says otherwise::

    nodes = 4
    ranks_per_node = 8            # or a list, one number for each node
    memory = "40GiB"              # for experts
    flops = 4e14                  # per second; a list says how ranks differ
    memory_bandwidth = "3.35TB/s"
    intra_bandwidth = "450GB/s"   # from a rank to another of its node
    inter_bandwidth = "50GB/s"    # to one of another node; or bandwidth = [[...]], every pair
    dead = []                     # ranks that hold nothing
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError, UsageError
from mapc.files import MAX_TEXT_BYTES, decode_text, display_name, read_bytes
from mapc.graph.devices import DeviceGraph
from mapc.graph.operators import IntArray
from mapc.units import MAX_BYTES, parse_bytes

FloatArray = NDArray[np.float64]

MAX_RANKS = 4096
INTRA, INTER = 1.0, 0.25
"""Bandwidths where none are known: links between nodes are four times as slow."""

_KEYS = (
    "nodes",
    "ranks_per_node",
    "memory",
    "speed",
    "flops",
    "memory_bandwidth",
    "intra_bandwidth",
    "inter_bandwidth",
    "bandwidth",
    "dead",
)
_BANDWIDTH = re.compile(r"\s*([\d.]+\s*[kKMGT]?i?B)/s\s*\Z")


@dataclass(frozen=True, eq=False)
class Cluster:
    """Ranks in nodes. G ranks.

    Attributes
    ----------
    node : int64[G]
    memory : int64[G]
        Bytes for experts; 1 PiB where it is not known.
    speed : float64[G]
        Relative to the first rank.
    flops, memory_bandwidth : float or None
        Of the first rank: floating-point operations and bytes per second.
    bandwidth : float64[G, G] or None
        Bytes per second from rank to rank; the diagonal means nothing.
    dead : tuple of int
    """

    node: IntArray
    memory: IntArray
    speed: FloatArray
    flops: float | None = None
    memory_bandwidth: float | None = None
    bandwidth: FloatArray | None = None
    dead: tuple[int, ...] = ()

    @property
    def n_ranks(self) -> int:
        """G."""
        return len(self.node)

    def devices(self, *, relative: bool) -> DeviceGraph:
        """Return the ranks with a link between every two.

        Parameters
        ----------
        relative : bool
            Whether bandwidths are counted in that of the fastest link, not in bytes per second.
        """
        source, target = np.nonzero(~np.eye(self.n_ranks, dtype=np.bool_))
        if self.bandwidth is None:
            links = np.where(self.node[source] == self.node[target], INTRA, INTER)
        else:
            links = self.bandwidth[source, target]
            links = links / links.max() if relative and len(links) else links
        return DeviceGraph(
            names=tuple(f"rank{i}" for i in range(self.n_ranks)),
            memory=self.memory,
            node=self.node,
            speed=self.speed,
            link_source=source,
            link_target=target,
            bandwidth=links,
            latency=np.zeros(len(source)),
        )


def plain_cluster(ranks: int, nodes: int) -> Cluster:
    """Return equal ranks spread evenly over nodes.

    Raises
    ------
    UsageError
        If they cannot be.
    """
    if not 1 <= ranks <= MAX_RANKS:
        raise UsageError(f"--ranks {ranks}: expected 1 to {MAX_RANKS}")
    if not 1 <= nodes <= ranks or ranks % nodes:
        raise UsageError(
            f"--ranks {ranks} on --nodes {nodes}: expected a number of nodes that divides the "
            "ranks, or --cluster FILE with the ranks_per_node"
        )
    return Cluster(
        node=np.repeat(np.arange(nodes), ranks // nodes).astype(np.int64),
        memory=np.full(ranks, MAX_BYTES, dtype=np.int64),
        speed=np.ones(ranks),
    )


def read_cluster(path: str | Path) -> Cluster:
    """Read the description of a cluster.

    Raises
    ------
    InstanceError
        For a file that is no TOML, keys that are unknown, and values that make no sense.
    """
    where = display_name(path)
    try:
        document = tomllib.loads(decode_text(read_bytes(path, MAX_TEXT_BYTES), where))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InstanceError(f"malformed TOML: {error}", where, "TOML") from None
    try:
        return _cluster(document)
    except InstanceError as error:
        raise error.inside(where) from None


def _cluster(document: Mapping[str, Any]) -> Cluster:
    for key in document:
        if key not in _KEYS:
            raise InstanceError("unknown", f"key {key!r}"[:60], f"one of {', '.join(_KEYS)}")
    per_node = _ranks_per_node(document)
    node = np.repeat(np.arange(len(per_node)), per_node).astype(np.int64)
    n = len(node)
    flops = _column(document, "flops", n)
    speed = _column(document, "speed", n)
    if speed is None:
        speed = np.ones(n) if flops is None else flops / flops[0]
    elif flops is not None and (flops != flops[0]).any():
        raise InstanceError("given beside a list of flops", "speed", "one of them to differ")
    memory = document.get("memory", MAX_BYTES)
    sizes = memory if isinstance(memory, list) else [memory] * n
    if len(sizes) != n:
        raise InstanceError(f"{len(sizes)} entries", "memory", f"one size, or {n}")
    rate = document.get("memory_bandwidth")
    return Cluster(
        node=node,
        memory=np.array([_size(size, "memory") for size in sizes], dtype=np.int64),
        speed=speed / speed[0],
        flops=None if flops is None else float(flops[0]),
        memory_bandwidth=None if rate is None else bandwidth_of(rate, "memory_bandwidth"),
        bandwidth=_bandwidth(document, node),
        dead=_dead(document.get("dead", []), n),
    )


def _ranks_per_node(document: Mapping[str, Any]) -> list[int]:
    ranks = document.get("ranks_per_node")
    nodes = document.get("nodes", 1 if isinstance(ranks, int) else None)
    if _is_count(ranks) and _is_count(nodes):
        ranks = [ranks] * min(nodes, MAX_RANKS + 1)
    elif not isinstance(ranks, list) or not ranks or not all(map(_is_count, ranks)):
        raise InstanceError(
            f"{ranks!r}"[:60], "ranks_per_node", "a number >= 1, or one for each node"
        )
    elif nodes not in (None, len(ranks)):
        raise InstanceError(f"{nodes!r}"[:60], "nodes", f"{len(ranks)}, as in ranks_per_node")
    if sum(ranks) > MAX_RANKS:
        raise InstanceError(f"{sum(ranks)} ranks", "ranks_per_node", f"at most {MAX_RANKS}")
    return list(ranks)


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_RANKS


def _column(document: Mapping[str, Any], key: str, n: int) -> FloatArray | None:
    if key not in document:
        return None
    values = document[key] if isinstance(document[key], list) else [document[key]] * n
    if len(values) != n:
        raise InstanceError(f"{len(values)} entries", key, f"one number, or {n}")
    return np.array([_positive(value, key) for value in values])


def _positive(value: Any, where: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise InstanceError(f"{value!r}"[:60], where, "a number > 0")
    return float(value)


def _size(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InstanceError(f"{value!r}"[:60], where, 'bytes, or a size such as "40GiB"')
    try:
        return parse_bytes(value)
    except UsageError as error:
        raise InstanceError(str(error), where) from None


def bandwidth_of(value: Any, where: str) -> float:
    """Return bytes per second from a number or a text such as ``"450GB/s"``.

    Raises
    ------
    InstanceError
        For anything else; bits per second are refused rather than guessed.
    """
    if not isinstance(value, str):
        return _positive(value, where)
    match = _BANDWIDTH.match(value)
    if match is None:
        raise InstanceError(f"{value!r}"[:60], where, 'bytes per second, e.g. "450GB/s"')
    return _positive(_size(match[1], where), where)


def _bandwidth(document: Mapping[str, Any], node: IntArray) -> FloatArray | None:
    n = len(node)
    pair = [document.get("intra_bandwidth"), document.get("inter_bandwidth")]
    if "bandwidth" not in document:
        if pair == [None, None]:
            return None
        if pair[0] is None or (pair[1] is None and node.any()):
            raise InstanceError("one of two", "bandwidth", "intra_bandwidth and inter_bandwidth")
        intra = bandwidth_of(pair[0], "intra_bandwidth")
        inter = intra if pair[1] is None else bandwidth_of(pair[1], "inter_bandwidth")
        return np.where(node[:, None] == node, intra, inter)
    if pair != [None, None]:
        raise InstanceError("given beside a matrix", "intra_bandwidth", "one of them")
    rows = document["bandwidth"]
    square = isinstance(rows, list) and len(rows) == n
    if not square or any(not isinstance(row, list) or len(row) != n for row in rows):
        raise InstanceError("no square", "bandwidth", f"{n} rows of {n} numbers")
    return np.array(
        [
            [1.0 if i == j else bandwidth_of(x, f"bandwidth[{i}][{j}]") for j, x in enumerate(row)]
            for i, row in enumerate(rows)
        ]
    )


def _dead(ranks: Any, n: int) -> tuple[int, ...]:
    listed: Sequence[Any] = ranks if isinstance(ranks, list) else [None]
    if any(type(rank) is not int or not 0 <= rank < n for rank in listed):
        raise InstanceError(f"{ranks!r}"[:60], "dead", f"ranks 0 to {n - 1}")
    return tuple(listed)
