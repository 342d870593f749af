"""Networks of equal blocks: U-Net, and decoders of the GPT kind.

Sources: Ronneberger, Fischer and Brox 2015 (arXiv:1505.04597), with padded convolutions, as today's
programs have it; Radford et al. 2019 for the decoder with its normalisations before attention and
before the two linear layers.
"""

from __future__ import annotations

from mapc.errors import UsageError
from mapc.instances.generators.graphs_layers import Layers, Map


def unet(net: Layers, depth: int, channels: int, resolution: int) -> None:
    """Add a U-Net: ``depth`` halvings and doublings, skip connections between equal sizes."""
    if resolution % (1 << depth):
        raise UsageError(f"resolution {resolution}: expected a multiple of 2**depth, {1 << depth}")
    x = net.input(3, resolution, resolution)
    skips: list[Map] = []
    for level in range(depth):
        with net.scope(f"down{level}"):
            x = _two_convolutions(net, x, channels << level)
            skips.append(x)
            x = net.pool(x, "max_pool", 2, 2)
    with net.scope("bottom"):
        x = _two_convolutions(net, x, channels << depth)
    for level in reversed(range(depth)):
        with net.scope(f"up{level}"):
            x = net.concat(skips[level], net.upsample(x, channels << level))
            x = _two_convolutions(net, x, channels << level)
    with net.scope("head"):
        net.output(net.conv(x, 2))


def _two_convolutions(net: Layers, x: Map, channels: int) -> Map:
    for _ in range(2):
        x = net.relu(net.norm(net.conv(x, channels, 3)))
    return x


def gpt(net: Layers, layers: int, hidden: int, heads: int, tokens: int, vocabulary: int) -> None:
    """Add a decoder on embedded tokens, from the first normalisation to the last.

    Per layer: normalisation; one linear layer for query, key and value; scores, softmax and
    their product with the values for all heads at once; a linear layer; the sum with what came
    in; and the same around two linear layers, the inner of width ``4 * hidden``. With a
    ``vocabulary`` the logits of all tokens, whose matrix is the largest weight, are the output.
    """
    if hidden % heads:
        raise UsageError(f"heads {heads}: expected a divisor of hidden, {hidden}")
    x = net.input(hidden, tokens, 1, "embedded")
    for number in range(layers):
        with net.scope(f"layer{number}"):
            with net.scope("attention"):
                x = net.add(x, _attention(net, _layer_norm(net, x), heads))
            with net.scope("mlp"):
                inner = _linear(net, "up", _layer_norm(net, x), 4 * hidden)
                inner = net.layer("gelu", [inner], (4 * hidden, tokens, 1), elementwise=True)
                x = net.add(x, _linear(net, "down", inner, hidden))
    x = _layer_norm(net, x)
    net.output(_linear(net, "logits", x, vocabulary) if vocabulary else x)


def _layer_norm(net: Layers, x: Map) -> Map:
    return net.layer("layer_norm", [x], (x.channels, x.height, 1), 2 * x.channels)


def _linear(net: Layers, name: str, x: Map, channels: int) -> Map:
    return net.layer(name, [x], (channels, x.height, 1), (x.channels + 1) * channels)


def _attention(net: Layers, x: Map, heads: int) -> Map:
    hidden, tokens = x.channels, x.height
    name = net.name("qkv")
    weight = net.builder.constant(f"{name}.weight", net.size((hidden + 1) * 3 * hidden))
    parts = {f"{name}.{part}": net.size(hidden * tokens) for part in ("query", "key", "value")}
    net.builder.run(name, "qkv", [x.name, weight], parts)
    query, key, value = (Map(part, hidden, tokens, 1) for part in parts)
    scores = net.layer("scores", [query, key], (heads, tokens, tokens))
    scores = net.layer("softmax", [scores], (heads, tokens, tokens))
    mixed = net.layer("context", [scores, value], (hidden, tokens, 1))
    return _linear(net, "projection", mixed, hidden)
