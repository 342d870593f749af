"""Graphs put together by names: what is left out, merged and kept."""

from __future__ import annotations

import numpy as np
import pytest

from mapc.errors import InstanceError
from mapc.instances.operator_building import GraphBuilder


def build(*, extra_reader: bool = False, output_early: bool = False) -> GraphBuilder:
    """Return conv -> relu -> pool -> relu, beside an operator nobody needs."""
    builder = GraphBuilder("net")
    builder.tensor("x", 10)
    builder.constant("w", 7)
    builder.run("conv", "conv", ["x", "w", "x"], {"a": 20})
    builder.run("relu", "relu", ["a"], {"b": 20}, elementwise=True)
    builder.run("pool", "pool", ["b"], {"c": 5})
    builder.run("tail", "relu", ["c"], {"d": 5}, elementwise=True)
    builder.run("idle", "conv", ["b"], {"e": 99})
    if extra_reader:
        builder.run("tap", "add", ["a", "d"], {"f": 5})
        builder.output("f")
    if output_early:
        builder.output("a")
    builder.output("d")
    return builder


def test_operators_without_an_output_that_needs_them_are_left_out() -> None:
    graph, counts = build().graph()
    assert graph.operator_names == ("conv", "relu", "pool", "tail")
    assert graph.tensor_names == ("x", "a", "b", "c", "d")
    assert counts == {"unused": 1}
    assert graph.inputs.values.tolist() == [0, 1, 2, 3]
    assert graph.is_output.tolist() == [False, False, False, False, True]


def test_elementwise_operators_move_into_their_producers() -> None:
    graph, counts = build().graph(fuse=True)
    assert graph.operator_kinds == ("conv+relu", "pool+relu")
    assert graph.tensor_names == ("x", "b", "d")
    assert counts == {"unused": 1, "fused": 2}


@pytest.mark.parametrize("why", ["extra_reader", "output_early"])
def test_what_others_read_is_not_merged_away(why: str) -> None:
    graph, _ = build(**{why: True}).graph(fuse=True)
    assert graph.operator_names[:2] == ("conv", "relu")
    assert "a" in graph.tensor_names


def test_an_elementwise_operator_of_another_size_stays() -> None:
    builder = GraphBuilder("net")
    builder.tensor("x", 10)
    builder.run("conv", "conv", ["x"], {"a": 20})
    builder.run("cast", "cast", ["a"], {"b": 40}, elementwise=True)
    builder.output("b")
    assert builder.graph(fuse=True)[0].operator_names == ("conv", "cast")


def test_weights_come_where_they_are_asked_for_and_follow_what_is_merged() -> None:
    builder = build()
    assert not builder.graph()[0].is_constant.any()
    graph, _ = builder.graph(weights=True)
    assert np.flatnonzero(graph.is_constant).tolist() == [graph.tensor_names.index("w")]
    assert builder.graph(fuse=True)[0].operator_kinds == builder.graph(True)[0].operator_kinds


def test_a_tensor_is_declared_once() -> None:
    with pytest.raises(ValueError, match="'x' declared twice"):
        build().tensor("x", 1)


def test_a_graph_that_computes_nothing_is_refused() -> None:
    builder = GraphBuilder("net")
    builder.output(builder.tensor("x", 1))
    with pytest.raises(InstanceError, match="no operators"):
        builder.graph()
