"""Devices and the links between them, as columns.

One vocabulary for every family: a scratchpad and its off-chip memory, the GPUs of a cluster, the
ranks of a training job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mapc.errors import InstanceError
from mapc.graph.operators import IntArray

if TYPE_CHECKING:
    import networkx as nx

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DeviceGraph:
    """Devices with memory and speed, joined by directed links.

    Attributes
    ----------
    names : tuple of str
    memory : int64[n_devices]
        Capacity in bytes.
    node : int64[n_devices]
        The host a device sits in.
    speed : float64[n_devices]
        Work per second relative to the first device.
    link_source, link_target : int64[n_links]
    bandwidth : float64[n_links]
        Bytes per second.
    latency : float64[n_links]
        Seconds per message.

    Raises
    ------
    InstanceError
        For columns of unequal length, negative memory, speeds or bandwidths that are not positive
        and finite, links to devices that do not exist or from a device to itself.
    """

    names: tuple[str, ...]
    memory: IntArray
    node: IntArray
    speed: FloatArray
    link_source: IntArray
    link_target: IntArray
    bandwidth: FloatArray
    latency: FloatArray

    def __post_init__(self) -> None:
        n, m = len(self.names), len(self.link_source)
        for column in ("memory", "node", "speed"):
            if len(getattr(self, column)) != n:
                raise InstanceError(
                    f"{len(getattr(self, column))} entries", f"devices.{column}", f"{n}"
                )
        for column in ("link_target", "bandwidth", "latency"):
            if len(getattr(self, column)) != m:
                raise InstanceError(
                    f"{len(getattr(self, column))} entries", f"devices.{column}", f"{m}"
                )
        self._check("memory", self.memory < 0, self.memory, ">= 0 bytes")
        self._check("speed", ~(self.speed > 0) | np.isinf(self.speed), self.speed, "> 0")
        ends = np.concatenate([self.link_source, self.link_target])
        self._check("links", (ends < 0) | (ends >= n), ends, f"a device 0 to {n - 1}")
        self._check("links", self.link_source == self.link_target, self.link_source, "two devices")
        wrong = ~(self.bandwidth > 0) | np.isinf(self.bandwidth)
        self._check("bandwidth", wrong, self.bandwidth, "> 0 bytes/s")
        wrong = ~(self.latency >= 0) | np.isinf(self.latency)
        self._check("latency", wrong, self.latency, ">= 0 s")

    @staticmethod
    def _check(
        column: str, wrong: NDArray[np.bool_], values: IntArray | FloatArray, right: str
    ) -> None:
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InstanceError(f"{values[at]}", f"devices.{column}[{at}]", right)

    @classmethod
    def scratchpad(cls, capacity: int, bandwidth: float = 1.0) -> DeviceGraph:
        """Return a scratchpad of ``capacity`` bytes linked both ways to unbounded memory."""
        return cls(
            names=("scratchpad", "off-chip"),
            memory=np.array([capacity, np.iinfo(np.int64).max]),
            node=np.zeros(2, dtype=np.int64),
            speed=np.ones(2),
            link_source=np.array([0, 1]),
            link_target=np.array([1, 0]),
            bandwidth=np.full(2, bandwidth),
            latency=np.zeros(2),
        )

    @classmethod
    def cluster(
        cls,
        ranks_per_node: Sequence[int],
        memory: int,
        intra_bandwidth: float,
        inter_bandwidth: float,
    ) -> DeviceGraph:
        """Return ranks grouped in nodes, every pair linked, fast inside a node."""
        node = np.repeat(np.arange(len(ranks_per_node)), ranks_per_node).astype(np.int64)
        n = len(node)
        source, target = np.nonzero(~np.eye(n, dtype=np.bool_))
        same = node[source] == node[target]
        return cls(
            names=tuple(f"rank{i}" for i in range(n)),
            memory=np.full(n, memory, dtype=np.int64),
            node=node,
            speed=np.ones(n),
            link_source=source,
            link_target=target,
            bandwidth=np.where(same, intra_bandwidth, inter_bandwidth),
            latency=np.zeros(len(source)),
        )

    def to_networkx(self) -> nx.DiGraph[int]:
        """Return the devices as a ``networkx.DiGraph`` with ``bandwidth`` on the edges."""
        import networkx as nx

        view: nx.DiGraph[int] = nx.DiGraph()
        view.add_nodes_from((i, {"name": name}) for i, name in enumerate(self.names))
        view.add_edges_from(
            (int(a), int(b), {"bandwidth": float(w)})
            for a, b, w in zip(self.link_source, self.link_target, self.bandwidth, strict=True)
        )
        return view
