"""Networks against the figures that were published with them."""

from __future__ import annotations

import numpy as np
import pytest

import mapc
from mapc.errors import UsageError
from mapc.instances.generators.graphs import DEFAULTS, SEEDED, generate

SMALL = {
    "randwire": {"nodes": 8, "channels": 8, "resolution": 32},
    "darts": {"cells": 3, "channels": 8, "resolution": 32},
    "nasnet": {"cells": 1, "channels": 8, "resolution": 64},
    "amoebanet": {"cells": 1, "channels": 8, "resolution": 64},
    "unet": {"depth": 2, "channels": 4, "resolution": 32},
    "gpt": {"layers": 2, "hidden": 16, "heads": 4, "tokens": 8, "vocabulary": 100},
    "layered": {"operators": 60, "width": 4},
}


def columns(problem):
    graph = problem.graph
    return (
        graph.name,
        graph.operator_names,
        graph.tensor_names,
        graph.tensor_bytes.tolist(),
        graph.inputs.values.tolist(),
        graph.outputs.values.tolist(),
    )


def weights_of(problem) -> int:
    return int(problem.graph.tensor_bytes[problem.graph.is_constant].sum())


def test_every_network_is_tested() -> None:
    from mapc.instances.generators import GENERATORS

    (option,) = (o for o in GENERATORS["memory"].options if o.name == "network")
    assert set(option.choices) == set(DEFAULTS) == set(SMALL)
    declared = {o.name for o in GENERATORS["memory"].options}
    assert {name for options in DEFAULTS.values() for name in options} <= declared


@pytest.mark.parametrize("network", SMALL)
@pytest.mark.parametrize("fuse", [False, True])
def test_equal_options_give_equal_graphs_that_can_be_solved(network: str, fuse: bool) -> None:
    one, other = (generate(network, seed=3, fuse=fuse, **SMALL[network]) for _ in range(2))
    assert columns(one) == columns(other)
    graph = one.graph
    assert graph.given_order.tolist() == list(range(graph.n_operators))
    # what nobody reads is what the network is for
    ends = graph.consumers.lengths == 0
    assert np.array_equal(ends, graph.is_output)
    result = mapc.solve(
        mapc.models.family_of(one).with_capacity(one, "M_R"), methods=["eviction"], time_limit=None
    )
    assert result.plan is not None


@pytest.mark.parametrize("network", SMALL)
def test_another_seed_gives_another_graph_where_the_network_is_random(network: str) -> None:
    one, other = (generate(network, seed=seed, **SMALL[network]) for seed in (0, 1))
    assert (columns(one) != columns(other)) == (network in SEEDED)


@pytest.mark.parametrize("network", SMALL)
def test_fusing_changes_neither_weights_nor_outputs(network: str) -> None:
    plain = generate(network, weights=True, **SMALL[network])
    fused = generate(network, weights=True, fuse=True, **SMALL[network])
    assert weights_of(plain) == weights_of(fused)
    assert plain.compulsory == fused.compulsory
    assert fused.smallest_capacity <= plain.smallest_capacity + weights_of(plain)
    kinds = [kind for kinds in fused.graph.operator_kinds for kind in kinds.split("+")]
    assert sorted(kinds) == sorted(plain.graph.operator_kinds)


@pytest.mark.parametrize(
    ("network", "options", "millions"),
    [
        # Zoph et al. 2018, table 2: NASNet-A (6 @ 4032) has 88.9 million parameters
        ("nasnet", {}, 88.9),
        # Liu et al. 2019, table 3: DARTS (second order) on ImageNet, 4.7 million
        ("darts", {}, 4.7),
        # Xie et al. 2019, table 2: small regime, WS, 5.6 million
        ("randwire", {}, 5.6),
        # 12 layers of 12 * 768**2 + 13 * 768, and the last normalisation
        ("gpt", {}, 85.056),
        # and a matrix with a shift for every word
        ("gpt", {"vocabulary": 50257}, 85.056 + 50257 * 769 / 1e6),
        ("unet", {}, 31.0),
    ],
)
def test_networks_have_as_many_parameters_as_published(network, options, millions) -> None:
    found = weights_of(generate(network, weights=True, **options))
    assert found / 1e6 == pytest.approx(millions, rel=0.025)


def test_shapes_of_nasnet_large_are_those_of_the_paper() -> None:
    graph = generate("nasnet", fuse=True).graph
    size = dict(zip(graph.tensor_names, graph.tensor_bytes.tolist(), strict=True))
    assert size["input"] == 3 * 331 * 331
    assert size["stem.norm.out"] == 96 * 165 * 165
    # stacks of 42 x 42, 21 x 21 and 11 x 11; a normal cell puts six states together
    concats = [name for name in size if name.endswith(".concat.out") and name.count(".") == 2]
    sizes = [size[name] for name in concats if name.startswith("cell")]
    assert sizes[0] == 4 * 42 * 83 * 83
    assert sizes[2:8] == [6 * 168 * 42 * 42] * 6
    assert sizes[-1] == 4032 * 11 * 11


def test_dtype_scales_all_tensors() -> None:
    small, large = (generate("darts", dtype=dtype, **SMALL["darts"]) for dtype in ("int4", "fp16"))
    assert np.array_equal(large.graph.tensor_bytes, 4 * small.graph.tensor_bytes)


def test_a_layered_graph_has_as_many_operators_as_asked_for() -> None:
    graph = generate("layered", operators=5000, width=16).graph
    assert graph.n_operators == 5000
    layers = len({name.split(".")[0] for name in graph.operator_names})
    assert 5000 / 16 / 1.2 < layers < 5000 / 16 * 1.2


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        ("resnet", {}, "network 'resnet': expected one of randwire, "),
        ("gpt", {"cells": 2}, "network gpt: has no option 'cells'; expected layers, hidden, "),
        ("darts", {"cells": 0}, "cells 0: expected 1 to 1000000"),
        ("randwire", {"rewire": 1.5}, "rewire 1.5: expected 0.0 to 1.0"),
        ("randwire", {"neighbours": 3}, "neighbours 3: expected an even number from 2 to nodes"),
        ("randwire", {"nodes": 4}, "neighbours 4: expected an even number from 2 to nodes"),
        ("unet", {"resolution": 100}, r"resolution 100: expected a multiple of 2\*\*depth, 16"),
        ("gpt", {"heads": 5}, "heads 5: expected a divisor of hidden, 768"),
        ("gpt", {"dtype": "int3"}, "dtype 'int3'"),
    ],
)
def test_what_no_network_can_be_made_of_is_refused(network, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        generate(network, **options)
