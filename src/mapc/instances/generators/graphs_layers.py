"""Layers of convolutional networks on maps of channels x height x width.

Sizes are those of real tensors: channels x height x width elements. Convolutions and pools
pad their input to keep its size (divided by the stride, rounded up) unless told otherwise.
Operators are called ``scope.layer``, tensors after the operator that writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mapc.instances.operator_building import GraphBuilder


@dataclass(frozen=True)
class Map:
    """A tensor of channels x height x width elements."""

    name: str
    channels: int
    height: int
    width: int


class Layers:
    """Adds layers to a graph.

    Parameters
    ----------
    builder : GraphBuilder
    bits : int
        Width of an element.
    """

    def __init__(self, builder: GraphBuilder, bits: int) -> None:
        self.builder = builder
        self.bits = bits
        self._scope: list[str] = []
        self._times: dict[str, int] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Put ``name.`` before the names of the layers within."""
        self._scope.append(name)
        yield
        self._scope.pop()

    def size(self, elements: int) -> int:
        """Return the bytes of so many elements."""
        return -(-elements * self.bits // 8)

    def name(self, layer: str) -> str:
        """Return a name for a layer of this scope: the second of a kind is ``layer2``."""
        full = ".".join([*self._scope, layer])
        self._times[full] = times = self._times.get(full, 0) + 1
        return full if times == 1 else f"{full}{times}"

    def input(self, channels: int, height: int, width: int, name: str = "input") -> Map:
        """Declare what the network reads."""
        self.builder.tensor(name, self.size(channels * height * width))
        return Map(name, channels, height, width)

    def output(self, *maps: Map) -> None:
        """Say what the network is for."""
        self.builder.output(*(one.name for one in maps))

    def layer(
        self,
        kind: str,
        reads: Sequence[Map],
        shape: tuple[int, int, int],
        weights: int = 0,
        elementwise: bool = False,
    ) -> Map:
        """Add an operator with a result of ``shape`` and so many weights; return the result."""
        name = self.name(kind)
        read = [one.name for one in reads]
        if weights:
            read.append(self.builder.constant(f"{name}.weight", self.size(weights)))
        channels, height, width = shape
        writes = {f"{name}.out": self.size(channels * height * width)}
        self.builder.run(name, kind, read, writes, elementwise)
        return Map(f"{name}.out", *shape)

    # -- layers ---------------------------------------------------------------------------------

    def conv(
        self,
        x: Map,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        valid: bool = False,
    ) -> Map:
        """Convolve; ``valid`` does not pad."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        weights = rows * columns * x.channels * channels
        shape = (
            channels,
            _out(x.height, rows, stride, valid),
            _out(x.width, columns, stride, valid),
        )
        return self.layer("conv", [x], shape, weights)

    def depthwise(self, x: Map, kernel: int, stride: int = 1) -> Map:
        """Convolve every channel for itself."""
        shape = (x.channels, _out(x.height, kernel, stride), _out(x.width, kernel, stride))
        return self.layer("depthwise", [x], shape, kernel * kernel * x.channels)

    def norm(self, x: Map) -> Map:
        """Normalise a batch: a scale and a shift for each channel."""
        return self._elementwise("norm", [x], 2 * x.channels)

    def relu(self, x: Map) -> Map:
        """Cut off at zero."""
        return self._elementwise("relu", [x])

    def add(self, *maps: Map) -> Map:
        """Add maps of one shape."""
        return self._elementwise("add", maps)

    def weighted_sum(self, *maps: Map) -> Map:
        """Add maps of one shape, each times a weight of its own."""
        return self._elementwise("weighted_sum", maps, len(maps))

    def _elementwise(self, kind: str, maps: Sequence[Map], weights: int = 0) -> Map:
        first = maps[0]
        shape = (first.channels, first.height, first.width)
        if any((one.channels, one.height, one.width) != shape for one in maps):
            raise ValueError(f"{kind} of maps of different shapes: {maps}")
        return self.layer(kind, maps, shape, weights, elementwise=True)

    def pool(self, x: Map, kind: str, kernel: int = 3, stride: int = 1) -> Map:
        """Pool: ``max_pool`` or ``avg_pool``."""
        shape = (x.channels, _out(x.height, kernel, stride), _out(x.width, kernel, stride))
        return self.layer(kind, [x], shape)

    def concat(self, *maps: Map) -> Map:
        """Put maps of one height and width behind each other."""
        first = maps[0]
        if any((one.height, one.width) != (first.height, first.width) for one in maps):
            raise ValueError(f"concat of maps of different sizes: {maps}")
        channels = sum(one.channels for one in maps)
        return self.layer("concat", maps, (channels, first.height, first.width))

    def upsample(self, x: Map, channels: int) -> Map:
        """Double height and width by a transposed 2 x 2 convolution."""
        weights = 4 * x.channels * channels
        return self.layer("up_conv", [x], (channels, 2 * x.height, 2 * x.width), weights)

    def classify(self, x: Map, classes: int) -> Map:
        """Average over height and width, then a linear layer."""
        pooled = self.layer("global_pool", [x], (x.channels, 1, 1))
        return self.layer("linear", [pooled], (classes, 1, 1), (x.channels + 1) * classes)

    # -- what networks from architecture search are made of -----------------------------------

    def relu_conv_norm(
        self, x: Map, channels: int, kernel: int | tuple[int, int] = 1, stride: int = 1
    ) -> Map:
        """ReLU, convolution, normalisation."""
        return self.norm(self.conv(self.relu(x), channels, kernel, stride))

    def separable(self, x: Map, channels: int, kernel: int, stride: int = 1) -> Map:
        """ReLU, a convolution of each channel for itself and one across channels, normalisation."""
        return self.norm(self.conv(self.depthwise(self.relu(x), kernel, stride), channels))

    def separable_twice(self, x: Map, channels: int, kernel: int, stride: int = 1) -> Map:
        """Two separable convolutions, the first of them with the stride."""
        return self.separable(self.separable(x, channels, kernel, stride), channels, kernel)

    def halved(self, x: Map, channels: int) -> Map:
        """Halve height and width by two shifted 1 x 1 convolutions (factorised reduction)."""
        x = self.relu(x)
        left = self.conv(x, channels // 2, 1, 2)
        right = self.conv(x, channels - channels // 2, 1, 2)
        return self.norm(self.concat(left, right))


def _out(size: int, kernel: int, stride: int, valid: bool = False) -> int:
    return (size - kernel) // stride + 1 if valid else -(-size // stride)
