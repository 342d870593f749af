from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.instances.importers.cluster_toml import Cluster, plain_cluster, read_cluster

WHOLE = """
nodes = 2
ranks_per_node = 2
memory = "40GiB"
flops = 4e14
memory_bandwidth = "3.35TB/s"
intra_bandwidth = "450GB/s"
inter_bandwidth = 5e10
dead = [3]
"""


def read(folder: Path, text: str) -> Cluster:
    path = folder / "cluster.toml"
    path.write_text(text)
    return read_cluster(path)


def test_a_whole_description(tmp_path: Path) -> None:
    cluster = read(tmp_path, WHOLE)
    assert cluster.node.tolist() == [0, 0, 1, 1]
    assert cluster.memory.tolist() == [40 * 2**30] * 4
    assert cluster.speed.tolist() == [1, 1, 1, 1]
    assert (cluster.flops, cluster.memory_bandwidth, cluster.dead) == (4e14, 3.35e12, (3,))
    devices = cluster.devices(relative=False)
    link = dict(
        zip(
            zip(devices.link_source.tolist(), devices.link_target.tolist(), strict=True),
            devices.bandwidth,
            strict=True,
        )
    )
    assert len(link) == 12
    assert (link[0, 1], link[1, 2]) == (450e9, 50e9)
    relative = cluster.devices(relative=True).bandwidth
    assert set(relative) == {1.0, 50 / 450}


def test_ranks_that_differ(tmp_path: Path) -> None:
    cluster = read(
        tmp_path, 'ranks_per_node = [2, 1]\nflops = [2e14, 4e14, 1e14]\nmemory = ["1GiB", 5, 7]'
    )
    assert cluster.node.tolist() == [0, 0, 1]
    assert cluster.speed.tolist() == [1, 2, 0.5]
    assert (cluster.flops, cluster.memory.tolist()) == (2e14, [2**30, 5, 7])
    assert read(tmp_path, "ranks_per_node = 2\nspeed = [2, 1]").speed.tolist() == [1, 0.5]
    matrix = "ranks_per_node = 2\nbandwidth = [[0, '8GB/s'], [4e9, 0]]"
    assert read(tmp_path, matrix).devices(relative=False).bandwidth.tolist() == [8e9, 4e9]


def test_nothing_said_about_links() -> None:
    devices = plain_cluster(4, 2).devices(relative=True)
    same = devices.node[devices.link_source] == devices.node[devices.link_target]
    assert devices.bandwidth.tolist() == np.where(same, 1, 0.25).tolist()
    assert plain_cluster(1, 1).devices(relative=True).bandwidth.tolist() == []


@pytest.mark.parametrize(
    ("ranks", "nodes", "message"),
    [
        (6, 4, "--ranks 6 on --nodes 4: expected a number of nodes that divides the ranks, or"),
        (2, 4, "--ranks 2 on --nodes 4"),
        (2, 0, "--ranks 2 on --nodes 0"),
        (0, 1, "--ranks 0: expected 1 to 4096"),
    ],
)
def test_ranks_that_cannot_be_spread(ranks: int, nodes: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plain_cluster(ranks, nodes)


TWO = "ranks_per_node = 2\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes = [", "malformed TOML"),
        ("\n", "ranks_per_node: None; expected a number >= 1, or one for each node"),
        ("nodes = 2", "ranks_per_node: None"),
        ("ranks_per_node = 0", "ranks_per_node: 0; expected"),
        ("ranks_per_node = true", "ranks_per_node: True; expected"),
        ("ranks_per_node = [2, 0]", "ranks_per_node: [2, 0]; expected"),
        ("ranks_per_node = []", "ranks_per_node: []; expected"),
        ("nodes = 3\nranks_per_node = [2, 2]", "nodes: 3; expected 2, as in ranks_per_node"),
        ("nodes = 4096\nranks_per_node = 4096", "ranks; expected at most 4096"),
        (TWO + "colour = 1", "key 'colour': unknown; expected one of nodes, "),
        (TWO + "speed = [1, 2, 3]", "speed: 3 entries; expected one number, or 2"),
        (TWO + "speed = [1, nan]", "speed: nan; expected a number > 0"),
        (TWO + "speed = [1, 0]", "speed: 0; expected a number > 0"),
        (TWO + "speed = [1, 2]\nflops = [1, 2]", "speed: given beside a list of flops"),
        (TWO + "flops = 'fast'", "flops: 'fast'; expected a number > 0"),
        (TWO + "memory = '3 cakes'", "memory: size '3 cakes': not a size"),
        (TWO + "memory = 1.5", "memory: 1.5; expected bytes, or a size"),
        (TWO + "memory = [1]", "memory: 1 entries; expected one size, or 2"),
        (TWO + "intra_bandwidth = '400Gb/s'", "intra_bandwidth: '400Gb/s'; expected bytes per"),
        (TWO + "inter_bandwidth = 1", "bandwidth: one of two; expected intra_bandwidth and"),
        ("nodes = 2\n" + TWO + "intra_bandwidth = 1", "bandwidth: one of two"),
        (TWO + "bandwidth = [[1, 2]]", "bandwidth: no square; expected 2 rows of 2 numbers"),
        (TWO + "bandwidth = [[0, 0], [1, 0]]", "bandwidth[0][1]: 0; expected a number > 0"),
        (TWO + "bandwidth = [[0, 1], [1, 0]]\nintra_bandwidth = 1", "given beside a matrix"),
        (TWO + "dead = [2]", "dead: [2]; expected ranks 0 to 1"),
        (TWO + "dead = 1", "dead: 1; expected ranks 0 to 1"),
    ],
)
def test_malformed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "cluster.toml"))
    assert "\n" not in str(caught.value)


def test_links_inside_one_node_need_no_others(tmp_path: Path) -> None:
    cluster = read(tmp_path, TWO + "intra_bandwidth = 7")
    assert cluster.devices(relative=False).bandwidth.tolist() == [7, 7]
