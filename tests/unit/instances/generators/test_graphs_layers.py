"""Shapes of layers, by hand."""

from __future__ import annotations

import pytest

from mapc.instances.generators.graphs_layers import Layers, Map
from mapc.instances.operator_building import GraphBuilder


@pytest.fixture
def net() -> Layers:
    return Layers(GraphBuilder("net"), 8)


def shape(x: Map) -> tuple[int, int, int]:
    return (x.channels, x.height, x.width)


def test_shapes_follow_kernel_stride_and_padding(net: Layers) -> None:
    x = net.input(3, 33, 20)
    assert shape(net.conv(x, 8, 3)) == (8, 33, 20)
    assert shape(net.conv(x, 8, 3, 2)) == (8, 17, 10)
    assert shape(net.conv(x, 8, 3, 2, valid=True)) == (8, 16, 9)
    assert shape(net.conv(x, 8, (1, 7), valid=True)) == (8, 33, 14)
    assert shape(net.pool(x, "max_pool", 2, 2)) == (3, 17, 10)
    assert shape(net.halved(x, 7)) == (7, 17, 10)
    assert shape(net.separable_twice(x, 6, 5, 2)) == (6, 17, 10)
    assert shape(net.upsample(x, 4)) == (4, 66, 40)
    assert shape(net.concat(x, x)) == (6, 33, 20)
    assert shape(net.classify(x, 10)) == (10, 1, 1)


def test_weights_are_counted(net: Layers) -> None:
    x = net.input(4, 8, 8)
    net.conv(x, 8, (1, 7))
    net.depthwise(x, 5)
    net.norm(x)
    sizes = net.builder.sizes
    assert sizes["conv.weight"] == 7 * 4 * 8
    assert sizes["depthwise.weight"] == 25 * 4
    assert sizes["norm.weight"] == 8


def test_sizes_are_rounded_up_to_whole_bytes() -> None:
    net = Layers(GraphBuilder("net"), 4)
    assert net.builder.sizes[net.input(1, 3, 3).name] == 5


def test_names_say_where_a_layer_stands(net: Layers) -> None:
    x = net.input(4, 8, 8)
    with net.scope("cell0"):
        with net.scope("left"):
            assert net.relu(x).name == "cell0.left.relu.out"
        assert net.relu(x).name == "cell0.relu.out"
        assert net.relu(x).name == "cell0.relu2.out"


def test_maps_of_different_shapes_do_not_add_up(net: Layers) -> None:
    x = net.input(4, 8, 8)
    with pytest.raises(ValueError, match="different shapes"):
        net.add(x, net.conv(x, 5))
    with pytest.raises(ValueError, match="different sizes"):
        net.concat(x, net.pool(x, "max_pool", 3, 2))
