"""Random graphs: their edges, by what Watts and Strogatz say of them."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import UsageError
from mapc.instances.generators.graphs import generate
from mapc.instances.generators.graphs_wired import watts_strogatz


def test_without_moved_edges_the_graph_is_the_ring() -> None:
    edges = watts_strogatz(7, 4, 0.0, np.random.default_rng(0))
    ring = {tuple(sorted((a, (a + step) % 7))) for a in range(7) for step in (1, 2)}
    assert set(edges) == ring


@given(
    nodes=st.integers(5, 24),
    half=st.integers(1, 2),
    rewire=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_edges_are_as_many_as_in_the_ring_and_connect_all(nodes, half, rewire, seed) -> None:
    edges = watts_strogatz(nodes, 2 * half, rewire, np.random.default_rng(seed))
    assert edges == sorted(set(edges))
    assert all(a < b for a, b in edges)
    assert len(edges) == nodes * half
    assert nx.is_connected(nx.Graph(edges))
    assert edges == watts_strogatz(nodes, 2 * half, rewire, np.random.default_rng(seed))


@given(nodes=st.integers(5, 20), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_stage_reads_as_its_edges_say(nodes, seed) -> None:
    """Every node of a stage adds what its edges bring, the first draw being that of stage 3."""
    graph = generate("randwire", seed=seed, nodes=nodes, channels=8, resolution=32).graph
    edges = watts_strogatz(nodes, 4, 0.75, np.random.default_rng([seed, 0x57]))
    given = [sum(b == node for _, b in edges) for node in range(nodes)]
    names = {name: at for at, name in enumerate(graph.operator_names)}
    for node, times in enumerate(given):
        summed = names.get(f"stage3.node{node}.weighted_sum")
        assert (summed is not None) == (times > 1)
        if summed is not None:
            assert len(graph.inputs[summed]) == times


def test_a_graph_that_never_connects_is_refused(monkeypatch) -> None:
    import mapc.instances.generators.graphs_wired as module

    monkeypatch.setattr(module, "_is_connected", lambda known: False)
    with pytest.raises(UsageError, match="no connected graph in 1000 draws"):
        watts_strogatz(5, 2, 1.0, np.random.default_rng(0))
