from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from mapc.errors import InstanceError, UsageError
from mapc.graph.formats import FORMATS, storage_bits
from mapc.instances.importers import ties_by_rule
from mapc.instances.sensitivity import WeightTensor, problem_from_weights, weight_errors

RNG = np.random.default_rng(0)
WEIGHTS = {
    "layer.q_proj": RNG.normal(size=(8, 64)),
    "layer.k_proj": RNG.normal(size=(4, 64)),
    "head": RNG.normal(size=(10, 20)),
}
CHOICE = [FORMATS[name] for name in ("int4", "q8_0", "bf16")]


def tensors() -> list[WeightTensor]:
    return [
        WeightTensor(name, w.shape, 0, partial(np.asarray, w), facts={"from": "test"})
        for name, w in WEIGHTS.items()
    ]


def test_groups_have_the_formats_their_rows_fit_with_exact_sizes() -> None:
    problem = problem_from_weights("net", tensors(), CHOICE, provenance={"source": "x"})
    assert problem.groups == tuple(WEIGHTS)
    assert problem.formats == ("int4", "q8_0", "bf16")
    assert np.diff(problem.start).tolist() == [3, 3, 2]  # 20 is no multiple of 32
    assert problem.weights.tolist() == [512, 256, 200]
    assert problem.resources == ("size",)
    assert problem.units == ("bits",)
    for option in range(problem.n_options):
        name = problem.groups[problem.group_of[option]]
        format = FORMATS[problem.formats[problem.format_of[option]]]
        assert problem.cost[0, option] == storage_bits(format, WEIGHTS[name].shape, 0)
        expected = weight_errors(WEIGHTS[name], [format], 0).relative[0]
        assert problem.loss[option] == expected
    assert problem.provenance["tensors"]["head"] == {"shape": [10, 20], "from": "test"}
    assert problem.provenance["source"] == "x"


@pytest.mark.parametrize("loss", ["relative", "squared", "mean"])
def test_losses_are_what_they_say(loss: str) -> None:
    problem = problem_from_weights("net", tensors(), CHOICE[:1], loss=loss)
    for i, weights in enumerate(WEIGHTS.values()):
        found = weight_errors(weights, CHOICE[:1], 0)
        assert problem.loss[i] == getattr(found, loss)[0]


def test_traces_weigh_squared_errors() -> None:
    traces = {"layer.q_proj": 2.0, "layer.k_proj": 0.0, "head": 0.5}
    plain = problem_from_weights("net", tensors(), CHOICE, loss="squared")
    weighed = problem_from_weights("net", tensors(), CHOICE, hessian=traces)
    factor = np.array([traces[plain.groups[g]] for g in plain.group_of])
    assert np.array_equal(weighed.loss, plain.loss * factor)


def test_ties_follow_from_names() -> None:
    ties = partial(ties_by_rule, rules=["qkv"])
    problem = problem_from_weights("net", tensors(), CHOICE, ties=ties)
    assert [problem.ties[i].tolist() for i in range(len(problem.ties))] == [[0, 1]]


def test_every_tensor_is_loaded_once() -> None:
    loaded: list[str] = []

    def load(name: str) -> np.ndarray:
        loaded.append(name)
        return WEIGHTS[name]

    spied = [WeightTensor(n, w.shape, 0, partial(load, n)) for n, w in WEIGHTS.items()]
    problem_from_weights("net", spied, CHOICE)
    assert loaded == list(WEIGHTS)


@pytest.mark.parametrize(
    ("hessian", "message"),
    [
        ({"layer.q_proj": 1.0, "layer.k_proj": 1.0}, "tensor 'head': hessian: no trace"),
        ({"layer.q_proj": -1.0}, "tensor 'layer.q_proj': hessian: trace -1.0"),
        ({"layer.q_proj": float("inf")}, "trace inf"),
        ({"layer.q_proj": float("nan")}, "trace nan"),
    ],
)
def test_traces_must_be_there_and_make_sense(hessian: dict[str, float], message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        problem_from_weights("net", tensors(), CHOICE, hessian=hessian)
    assert message in str(caught.value)


def test_a_tensor_that_no_format_fits_is_named() -> None:
    with pytest.raises(InstanceError, match="tensor 'head': rows of 20 weights fit none of q8_0"):
        problem_from_weights("net", tensors(), [FORMATS["q8_0"]])


def test_weights_that_are_not_finite_are_named() -> None:
    bad = WeightTensor("bad", (2, 2), 0, lambda: np.full((2, 2), np.nan))
    with pytest.raises(InstanceError, match="tensor 'bad': weights: a value that is not finite"):
        problem_from_weights("net", [bad], CHOICE)


def test_choices_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="loss 'kl': no such loss"):
        problem_from_weights("net", tensors(), CHOICE, loss="kl")
    with pytest.raises(UsageError, match="formats none"):
        problem_from_weights("net", tensors(), [])
    with pytest.raises(UsageError, match="formats int4, int4"):
        problem_from_weights("net", tensors(), CHOICE[:1] * 2)
    with pytest.raises(UsageError, match="format 'iq2_xs': known by its size only"):
        problem_from_weights("net", tensors(), [FORMATS["iq2_xs"]])
    with pytest.raises(InstanceError, match="no weights to quantize"):
        problem_from_weights("net", [], CHOICE)
