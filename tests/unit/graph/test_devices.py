"""Devices and links: what they refuse, and the two ready-made ones."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.graph import DeviceGraph


def devices(**changes: Any) -> DeviceGraph:
    """Three devices in a row, linked one way."""
    columns: dict[str, Any] = {
        "names": ("a", "b", "c"),
        "memory": np.array([1, 2, 3]),
        "node": np.array([0, 0, 1]),
        "speed": np.array([1.0, 2.0, 0.5]),
        "link_source": np.array([0, 1]),
        "link_target": np.array([1, 2]),
        "bandwidth": np.array([100.0, 10.0]),
        "latency": np.array([0.0, 1e-6]),
    }
    return DeviceGraph(**{**columns, **changes})


REFUSED = {
    "memory too short": ({"memory": np.array([1])}, "devices.memory: 1 entries; expected 3"),
    "node too long": ({"node": np.zeros(4)}, "devices.node: 4 entries; expected 3"),
    "speed too short": ({"speed": np.ones(2)}, "devices.speed: 2 entries; expected 3"),
    "targets too few": ({"link_target": np.array([1])}, "devices.link_target: 1 entries"),
    "bandwidths too many": ({"bandwidth": np.ones(3)}, "devices.bandwidth: 3 entries; expected 2"),
    "latencies too few": ({"latency": np.ones(1)}, "devices.latency: 1 entries; expected 2"),
    "negative memory": ({"memory": np.array([1, -2, 3])}, "devices.memory[1]: -2; expected >= 0"),
    "no speed": ({"speed": np.array([1.0, 1.0, 0.0])}, "devices.speed[2]: 0.0; expected > 0"),
    "speed NaN": ({"speed": np.array([np.nan, 1.0, 1.0])}, "devices.speed[0]: nan; expected > 0"),
    "speed infinite": ({"speed": np.array([1.0, np.inf, 1.0])}, "devices.speed[1]: inf;"),
    "unknown source": ({"link_source": np.array([3, 1])}, "devices.links[0]: 3; expected a device"),
    "negative target": ({"link_target": np.array([1, -1])}, "devices.links[3]: -1; expected"),
    "link to itself": ({"link_target": np.array([1, 1])}, "devices.links[1]: 1; expected two"),
    "no bandwidth": ({"bandwidth": np.array([0.0, 1.0])}, "devices.bandwidth[0]: 0.0; expected"),
    "bandwidth NaN": ({"bandwidth": np.array([1.0, np.nan])}, "devices.bandwidth[1]: nan;"),
    "negative latency": ({"latency": np.array([0.0, -1.0])}, "devices.latency[1]: -1.0; expected"),
    "latency infinite": ({"latency": np.array([np.inf, 0.0])}, "devices.latency[0]: inf;"),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InstanceError, match="^" + re.escape(message)):
        devices(**changes)


def test_a_scratchpad_beside_unbounded_memory() -> None:
    pair = DeviceGraph.scratchpad(4096, bandwidth=2.0)
    assert pair.names == ("scratchpad", "off-chip")
    assert pair.memory.tolist() == [4096, np.iinfo(np.int64).max]
    assert list(zip(pair.link_source, pair.link_target, strict=True)) == [(0, 1), (1, 0)]
    assert pair.bandwidth.tolist() == [2.0, 2.0]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_a_cluster_links_every_pair_and_is_fast_inside_a_node(ranks: list[int]) -> None:
    cluster = DeviceGraph.cluster(ranks, 7, intra_bandwidth=9.0, inter_bandwidth=2.0)
    n = sum(ranks)
    assert len(cluster.names) == len(set(cluster.names)) == n
    assert np.bincount(cluster.node, minlength=len(ranks)).tolist() == ranks
    assert cluster.memory.tolist() == [7] * n
    pairs = list(zip(cluster.link_source.tolist(), cluster.link_target.tolist(), strict=True))
    assert sorted(pairs) == [(a, b) for a in range(n) for b in range(n) if a != b]
    for (a, b), speed in zip(pairs, cluster.bandwidth, strict=True):
        assert speed == (9.0 if cluster.node[a] == cluster.node[b] else 2.0)


def test_networkx_view_has_names_and_bandwidths() -> None:
    view = devices().to_networkx()
    assert [view.nodes[i]["name"] for i in range(3)] == ["a", "b", "c"]
    assert {(a, b): d["bandwidth"] for a, b, d in view.edges(data=True)} == {
        (0, 1): 100.0,
        (1, 2): 10.0,
    }
