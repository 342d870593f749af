from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.graph.formats import FORMATS, format_named
from mapc.graph.rounding import quantise
from mapc.instances.sensitivity import weight_errors

SOME = [format_named(n) for n in ("int4", "int8_g32", "nvfp4", "fp8_e4m3_tensor", "bf16", "fp32")]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32),
    st.integers(1, 6),
    st.integers(1, 50),
    st.sampled_from([0, 1, None]),
    st.integers(1, 200),
)
def test_errors_are_those_of_the_definition_whatever_the_chunk(
    seed: int, a: int, b: int, axis: int | None, chunk: int
) -> None:
    weights = np.random.default_rng(seed).normal(size=(a, b)).astype(np.float32)
    found = weight_errors(weights, SOME, axis, chunk=chunk)
    for format, squared in zip(SOME, found.squared, strict=True):
        expected = ((quantise(weights, format, axis) - weights) ** 2).sum(dtype=np.float64)
        assert squared == pytest.approx(expected, rel=1e-12, abs=1e-300)
    norm = (weights.astype(np.float64) ** 2).sum()
    assert found.norm == pytest.approx(norm, rel=1e-12)
    assert found.count == a * b
    assert np.allclose(found.relative * norm, found.squared)
    assert np.allclose(found.mean * a * b, found.squared)
    assert found.squared[-1] == 0.0  # float32 weights as fp32


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 5), st.integers(1, 70))
def test_importance_weighs_columns_expert_by_expert(
    seed: int, experts: int, out: int, row: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(experts, out, row))
    h = rng.uniform(0, 3, (experts, row))
    found = weight_errors(weights, SOME, (0, 1), importance=h, chunk=2 * row)
    for format, squared in zip(SOME, found.squared, strict=True):
        error = (quantise(weights, format, (0, 1)) - weights) ** 2
        assert squared == pytest.approx((error * h[:, None, :]).sum(), rel=1e-9, abs=1e-300)
    assert found.norm == pytest.approx((weights**2 * h[:, None, :]).sum(), rel=1e-9)


def test_importance_of_one_is_none() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 32))
    plain = weight_errors(weights, SOME)
    ones = weight_errors(weights, SOME, importance=np.ones(32))
    assert np.allclose(plain.squared, ones.squared, rtol=1e-12)


def test_zeros_and_nothing_lose_nothing() -> None:
    for shape in ((3, 4), (0, 4), (3, 0)):
        found = weight_errors(np.zeros(shape, dtype=np.float32), SOME)
        assert not found.squared.any()
        assert not found.relative.any()
        assert not found.mean.any()


def test_half_precision_weights_are_taken_as_they_are() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 32)).astype(np.float16)
    assert weight_errors(weights, [FORMATS["fp16"]]).squared[0] == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_must_be_finite(bad: float) -> None:
    weights = np.zeros((4, 4))
    weights[3, 3] = bad
    with pytest.raises(InstanceError, match="weights: a value that is not finite"):
        weight_errors(weights, SOME, chunk=4)


def test_weights_must_be_small_enough_to_be_squared() -> None:
    with pytest.raises(InstanceError, match="weights: squares too large for a float"):
        weight_errors(np.full((4, 4), 1e200), SOME)


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        (np.ones(5), "shape"),
        (np.ones((3, 4)), "shape"),
        (np.ones((0, 4)), "shape"),
        (np.ones((1, 1, 4)), "shape"),
        (-np.ones(4), "negative"),
        (np.full(4, np.nan), "not finite"),
    ],
)
def test_importance_must_fit(importance: object, message: str) -> None:
    with pytest.raises(InstanceError, match=message):
        weight_errors(np.ones((4, 4)), SOME, importance=importance)  # type: ignore[arg-type]
