"""Networks of cells found by architecture search: DARTS, NASNet-A, AmoebaNet-D.

A cell reads the outputs of the two cells before it, brought to its own channels and size: *states*.
Each of its combinations adds two states, each after an operation, and is a further state. The
output is some of the states, concatenated.

Sources of the cells: DARTS-V2, Liu, Simonyan and Yang 2019 (arXiv:1806.09055); NASNet-A, Zoph,
Vasudevan, Shlens and Le 2018 (arXiv:1707.07012); AmoebaNet-D, Real, Aggarwal, Huang and Le 2019
(arXiv:1802.01548), its normal cell with the concatenation of the published TensorFlow program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mapc.instances.generators.graphs_layers import Layers, Map

Operation = tuple[str, int]
"""What is done, and the state it is done to."""


@dataclass(frozen=True)
class Cell:
    """Combinations of two operations each, and the states that are the output.

    State 0 is the output of the cell before the last one, state 1 that of the last one, state
    ``2 + k`` combination k.
    """

    combinations: tuple[tuple[Operation, Operation], ...]
    concat: tuple[int, ...]


_DARTS_NORMAL = Cell(
    (
        (("sep_3", 0), ("sep_3", 1)),
        (("sep_3", 0), ("sep_3", 1)),
        (("sep_3", 1), ("skip", 0)),
        (("skip", 0), ("dil_3", 2)),
    ),
    (2, 3, 4, 5),
)
_DARTS_REDUCTION = Cell(
    (
        (("max_3", 0), ("max_3", 1)),
        (("skip", 2), ("max_3", 1)),
        (("max_3", 0), ("skip", 2)),
        (("skip", 2), ("max_3", 1)),
    ),
    (2, 3, 4, 5),
)
_NASNET_NORMAL = Cell(
    (
        (("sep_5", 1), ("sep_3", 0)),
        (("sep_5", 0), ("sep_3", 0)),
        (("avg_3", 1), ("skip", 0)),
        (("avg_3", 0), ("avg_3", 0)),
        (("sep_3", 1), ("skip", 1)),
    ),
    (0, 2, 3, 4, 5, 6),
)
_NASNET_REDUCTION = Cell(
    (
        (("sep_5", 1), ("sep_7", 0)),
        (("max_3", 1), ("sep_7", 0)),
        (("avg_3", 1), ("sep_5", 0)),
        (("skip", 3), ("avg_3", 2)),
        (("sep_3", 2), ("max_3", 1)),
    ),
    (3, 4, 5, 6),
)
_AMOEBANET_NORMAL = Cell(
    (
        (("conv_1", 0), ("max_3", 0)),
        (("skip", 0), ("conv_7", 1)),
        (("conv_1", 1), ("conv_7", 1)),
        (("max_3", 2), ("skip", 2)),
        (("avg_3", 0), ("conv_1", 5)),
    ),
    (1, 3, 4, 6),
)
_AMOEBANET_REDUCTION = Cell(
    (
        (("max_2", 1), ("max_3", 1)),
        (("skip", 2), ("conv_3", 0)),
        (("conv_7", 2), ("max_3", 2)),
        (("skip", 3), ("max_2", 0)),
        (("avg_3", 2), ("conv_1", 3)),
    ),
    (4, 5, 6),
)


def darts(net: Layers, cells: int, channels: int, resolution: int) -> None:
    """Add DARTS-V2 as for ImageNet: a stem that divides by 8, so many cells, a classifier.

    The cells at a third and at two thirds reduce and double the channels.
    """
    x = net.input(3, resolution, resolution)
    with net.scope("stem0"):
        half = net.norm(net.conv(x, max(1, channels // 2), 3, 2))
        before = net.norm(net.conv(net.relu(half), channels, 3, 2))
    with net.scope("stem1"):
        last = net.norm(net.conv(net.relu(before), channels, 3, 2))
    reducing = {cells // 3, 2 * cells // 3}
    for number in range(cells):
        reduces = number in reducing
        channels *= 2 if reduces else 1
        cell = _DARTS_REDUCTION if reduces else _DARTS_NORMAL
        with net.scope(f"cell{number}"):
            before, last = last, _add_cell(net, cell, before, last, channels, reduces)
    net.output(net.classify(last, 1000))


def nasnet(net: Layers, cells: int, channels: int, resolution: int) -> None:
    """Add NASNet-A: a convolution, two reductions, then three stacks of so many normal cells.

    A reduction that doubles the channels stands between the stacks. With 6 cells, 168 channels
    and 331 x 331 pixels it is NASNet-A large (6 @ 4032).
    """
    x = net.input(3, resolution, resolution)
    with net.scope("stem"):
        stem = net.norm(net.conv(x, _stem_channels(channels), 3, 2, valid=True))
    _stacks(net, (_NASNET_NORMAL, _NASNET_REDUCTION), stem, cells, channels)


def amoebanet(net: Layers, cells: int, channels: int, resolution: int) -> None:
    """Add a network of AmoebaNet-D cells, stacked like those of NASNet."""
    x = net.input(3, resolution, resolution)
    with net.scope("stem"):
        stem = net.norm(net.conv(net.relu(x), _stem_channels(channels), 3, 2))
    _stacks(net, (_AMOEBANET_NORMAL, _AMOEBANET_REDUCTION), stem, cells, channels)


def _stem_channels(channels: int) -> int:
    return max(1, min(channels, 96))


def _stacks(net: Layers, kinds: tuple[Cell, Cell], stem: Map, cells: int, channels: int) -> None:
    """Two reductions at a quarter and a half of the channels, then the stacks and a classifier."""
    normal, reduction = kinds
    before = last = stem
    plan = [(reduction, max(1, channels // 4)), (reduction, max(1, channels // 2))]
    for stack in range(3):
        if stack:
            plan.append((reduction, channels << stack))
        plan += [(normal, channels << stack)] * cells
    for number, (cell, width) in enumerate(plan):
        with net.scope(f"cell{number}"):
            before, last = last, _add_cell(net, cell, before, last, width, cell is reduction)
    net.output(net.classify(net.relu(last), 1000))


def _add_cell(net: Layers, cell: Cell, before: Map, last: Map, channels: int, reduces: bool) -> Map:
    with net.scope("last"):
        current = net.relu_conv_norm(last, channels)
    with net.scope("before"):
        states = [_brought(net, before, current), current]
    for number, pair in enumerate(cell.combinations):
        sides = []
        for side, (operation, of) in zip(("left", "right"), pair, strict=True):
            # only what a cell is given has to shrink; its own states have
            stride = 2 if reduces and of < 2 else 1
            with net.scope(f"comb{number}.{side}"):
                sides.append(_OPERATIONS[operation](net, states[of], channels, stride))
        with net.scope(f"comb{number}"):
            states.append(net.add(*sides))
    return net.concat(*(states[at] for at in cell.concat))


def _brought(net: Layers, x: Map, like: Map) -> Map:
    """Bring the older input to the channels and the size of the younger one."""
    if x.height != like.height:
        return net.halved(x, like.channels)
    return net.relu_conv_norm(x, like.channels)


def _skip(net: Layers, x: Map, channels: int, stride: int) -> Map:
    return x if stride == 1 else net.halved(x, channels)


def _dilated(net: Layers, x: Map, channels: int, stride: int) -> Map:
    return net.separable(x, channels, 3, stride)


def _separable(kernel: int) -> Callable[[Layers, Map, int, int], Map]:
    return lambda net, x, channels, stride: net.separable_twice(x, channels, kernel, stride)


def _pool(kind: str, kernel: int) -> Callable[[Layers, Map, int, int], Map]:
    return lambda net, x, channels, stride: net.pool(x, kind, kernel, stride)


def _conv_1(net: Layers, x: Map, channels: int, stride: int) -> Map:
    return net.relu_conv_norm(x, channels, 1, stride)


def _conv_3(net: Layers, x: Map, channels: int, stride: int) -> Map:
    """Through a quarter of the channels."""
    narrow = net.relu_conv_norm(x, max(1, channels // 4))
    narrow = net.relu_conv_norm(narrow, narrow.channels, 3, stride)
    return net.relu_conv_norm(narrow, channels)


def _conv_7(net: Layers, x: Map, channels: int, stride: int) -> Map:
    """1 x 7 and 7 x 1 through a quarter of the channels."""
    narrow = net.relu_conv_norm(x, max(1, channels // 4), 1, stride)
    narrow = net.relu_conv_norm(narrow, narrow.channels, (1, 7))
    narrow = net.relu_conv_norm(narrow, narrow.channels, (7, 1))
    return net.relu_conv_norm(narrow, channels)


_OPERATIONS: dict[str, Callable[[Layers, Map, int, int], Map]] = {
    "skip": _skip,
    "sep_3": _separable(3),
    "sep_5": _separable(5),
    "sep_7": _separable(7),
    "dil_3": _dilated,
    "max_2": _pool("max_pool", 2),
    "max_3": _pool("max_pool", 3),
    "avg_3": _pool("avg_pool", 3),
    "conv_1": _conv_1,
    "conv_3": _conv_3,
    "conv_7": _conv_7,
}
