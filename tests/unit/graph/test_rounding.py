from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapc.errors import InstanceError
from mapc.graph.formats import BLOCK, CAST, FORMATS, INTEGER, PACKED, Format, format_named
from mapc.graph.rounding import FloatArray, as_rows, can_round, quantise, round_float

ROUNDED = [f for f in FORMATS.values() if can_round(f)]
ANY_ROW = [f for f in ROUNDED if f.align == 1]
MORE = [format_named(n) for n in ("int4_g32_asym", "int3_g8_asym", "mlx4_g64", "mlx2_g16")]


def drawn_weights(seed: int, channels: int, row: int, spread: int, zeros: bool) -> FloatArray:
    """Weights up to 8, not so small that scales in fp16 lose their own precision.

    Drawn by numpy: hypothesis takes long over arrays of this size, element by element.
    """
    rng = np.random.default_rng(seed)
    magnitude = 8.0 * 2.0 ** -rng.uniform(0, spread, (channels, row))
    weights = magnitude * rng.choice([-1.0, 1.0], (channels, row))
    if zeros:
        weights[rng.random((channels, row)) < 0.3] = 0.0
        weights[rng.random(channels) < 0.3] = 0.0
    return weights.astype(np.float32).astype(np.float64)


seeds = st.integers(0, 2**32)
matrices = st.builds(
    drawn_weights, seeds, st.integers(1, 5), st.integers(1, 70), st.integers(0, 12), st.booleans()
)
blocks256 = st.builds(
    drawn_weights, seeds, st.integers(1, 3), st.just(256), st.integers(0, 12), st.booleans()
)


def rows_for(format: Format) -> st.SearchStrategy[FloatArray]:
    return blocks256 if format.align > 1 else matrices


def absmax(weights: FloatArray, format: Format) -> FloatArray:
    """Largest magnitude among the weights that share a scale, at every weight."""
    w = np.abs(weights)
    if format.scope == "tensor":
        return np.full(w.shape, w.max())
    if format.scope == "channel":
        return np.broadcast_to(w.max(axis=1, keepdims=True), w.shape)
    result = np.empty(w.shape)
    for at in range(0, w.shape[1], format.block):
        part = w[:, at : at + format.block]
        result[:, at : at + format.block] = part.max(axis=1, keepdims=True)
    return result


# -- grids ---------------------------------------------------------------------------------------


def grid(exponent: int, mantissa: int) -> FloatArray:
    """Every value >= 0 of a small float, from its bit patterns."""
    bias = 2 ** (exponent - 1) - 1
    values = []
    for code in range(2 ** (exponent + mantissa)):
        e, m = divmod(code, 2**mantissa)
        if e == 0:
            values.append(m * 2.0 ** (1 - bias - mantissa))
        else:
            values.append((1 + m / 2**mantissa) * 2.0 ** (e - bias))
    if (exponent, mantissa) == (4, 3):
        values = values[:-1]  # one code is NaN
    if exponent >= 5:
        values = values[: -(2**mantissa)]  # infinities and NaN
    return np.array(values)


@pytest.mark.parametrize(("exponent", "mantissa"), [(2, 1), (2, 3), (3, 2), (4, 3), (5, 2)])
def test_floats_round_to_the_nearest_of_all_their_values(exponent: int, mantissa: int) -> None:
    values = grid(exponent, mantissa)
    assert np.array_equal(round_float(values, exponent, mantissa), values)
    assert np.array_equal(round_float(-values, exponent, mantissa), -values)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.0, values[-1] * 1.2, 2000)
    nearest = np.abs(x[:, None] - values).min(axis=1)
    assert np.array_equal(np.abs(round_float(x, exponent, mantissa) - x), nearest)


@pytest.mark.parametrize(("exponent", "mantissa"), [(2, 1), (2, 3), (3, 2), (4, 3), (5, 2)])
def test_ties_go_to_the_even_code(exponent: int, mantissa: int) -> None:
    values = grid(exponent, mantissa)
    middles = (values[1:] + values[:-1]) / 2
    codes = np.searchsorted(values, round_float(middles, exponent, mantissa))
    assert np.array_equal(codes % 2, np.zeros(len(codes)))
    assert np.array_equal(np.abs(codes - np.arange(len(codes)) - 0.5), np.full(len(codes), 0.5))


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e5, 1e5, width=32)))
def test_casts_are_those_of_numpy(values: FloatArray) -> None:
    x = values.astype(np.float64)
    half = np.clip(x, -65504, 65504).astype(np.float16).astype(np.float64)
    assert np.array_equal(quantise(x, FORMATS["fp16"], None), half)
    assert np.array_equal(quantise(x, FORMATS["fp32"], None), x)
    top = values.view(np.uint32).astype(np.uint64)
    even = (top + 0x7FFF + ((top >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    brain = even.astype(np.uint32).view(np.float32)
    assert np.array_equal(quantise(x, FORMATS["bf16"], None), brain.astype(np.float64))


# -- what holds for every format -----------------------------------------------------------------


def codes_of(format: Format) -> FloatArray:
    """Every value of an element, before scaling."""
    if format.kind == INTEGER:
        return np.arange(-format.largest, format.largest + 1)
    positive = grid(format.exponent, format.mantissa)
    return np.concatenate([-positive, positive])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([f for f in ANY_ROW if f.kind != CAST]),
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 80),
)
def test_values_on_the_grid_come_back_unchanged(
    format: Format, seed: int, channels: int, row: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.choice(codes_of(format), (channels, row))
    # every scale is pinned by the largest element of those that share it
    weights[:, :: format.block or row] = format.largest
    if format.scope != "tensor":
        weights[1:] *= 2.0 ** -rng.integers(0, 5, (channels - 1, 1))
    if format.tensor_bits:
        weights *= 448.0  # the outer scale becomes a power of two
    assert np.array_equal(quantise(weights * 0.25, format, 0), weights * 0.25)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 15))
def test_affine_grids_come_back_unchanged(seed: int, row: int, zero: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([[0, 15], rng.integers(0, 16, row)])
    weights = (codes[None] - zero) * 0.125
    for name in ("int4_g64_asym", "mlx4_g64"):
        assert np.array_equal(quantise(weights, format_named(name), 0), weights)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([f for f in ANY_ROW if f.kind == INTEGER and not f.zero_bits]), matrices)
def test_integers_are_off_by_half_a_step_at_most(format: Format, weights: FloatArray) -> None:
    step = absmax(weights, format) / format.largest
    # scales are rounded to 11 bits: the step may be larger, the extreme clipped, by that much
    slack = absmax(weights, format) * 2.0**-10 + 1e-7
    assert (np.abs(quantise(weights, format, 0) - weights) <= step / 2 + slack).all()


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([f for f in ANY_ROW if f.scale == "e8m0"]), matrices)
def test_mx_errors_keep_within_the_element(format: Format, weights: FloatArray) -> None:
    top = absmax(weights, format)
    # nothing but the values beyond the largest element is off by more than half a step
    bound = np.maximum(np.abs(weights) * 2.0 ** -(format.mantissa + 1), top * 2.0**-2)
    assert (np.abs(quantise(weights, format, 0) - weights) <= bound + 1e-30).all()


@settings(deadline=None, max_examples=50)
@given(st.sampled_from(ROUNDED + MORE).flatmap(lambda f: st.tuples(st.just(f), rows_for(f))))
def test_rounding_keeps_order_sign_and_zero(drawn: tuple[Format, FloatArray]) -> None:
    format, weights = drawn
    got = quantise(weights, format, 0)
    assert got.shape == weights.shape
    assert np.isfinite(got).all()
    if format.kind == PACKED:
        return  # sub-blocks have scales of their own, minima are rounded
    width = format.block if format.scope == BLOCK else weights.shape[1]
    for w, q in zip(weights, got, strict=True):
        for at in range(0, len(w), width):
            order = np.argsort(w[at : at + width], kind="stable")
            assert (np.diff(q[at : at + width][order]) >= 0).all()
    if not format.zero_bits:
        assert (got * weights >= 0).all()
        assert (got[weights == 0] == 0).all()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(ROUNDED), blocks256, st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_powers_of_two_factor_out(format: Format, weights: FloatArray, factor: float) -> None:
    if format.kind == CAST:
        return
    once = quantise(weights * factor, format, 0)
    assert np.allclose(once, quantise(weights, format, 0) * factor, rtol=1e-3, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(blocks256)
def test_more_bits_lose_less(weights: FloatArray) -> None:
    """Per weight: half a step of more bits is below half a step of fewer, up to the scale."""
    worst = [
        np.abs(quantise(weights, FORMATS[f"int{bits}"], 0) - weights).max() for bits in range(2, 9)
    ]
    top = float(np.abs(weights).max())
    for bits, error in zip(range(2, 9), worst, strict=True):
        assert error <= top * (0.5 / (2 ** (bits - 1) - 1) + 2.0**-10) + 1e-7


def test_errors_of_gaussian_weights_are_ordered_as_the_formats_promise() -> None:
    weights = np.random.default_rng(0).normal(size=(16, 1024))
    error = {f.name: float(((quantise(weights, f, 0) - weights) ** 2).sum()) for f in ROUNDED}
    chains = [
        [f"int{bits}" for bits in range(8, 1, -1)],
        ["int4_g32", "int4_g64", "int4_g128", "int4"],
        ["fp32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2"],
        ["mxfp8_e4m3", "mxfp6_e3m2", "mxfp4"],
        ["mxfp6_e2m3", "fp4_g16", "mxfp4"],
        ["q8_0", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k"],
        ["q8_0", "q5_1", "q5_0", "q4_1", "q4_0"],
        ["iq4_nl", "q4_0"],
    ]
    for chain in chains:
        values = [error[name] for name in chain]
        assert values == sorted(values), chain
    assert error["nvfp4"] < error["mxfp4"]


# -- shapes and refusals -------------------------------------------------------------------------


def test_axes_say_what_a_channel_is() -> None:
    weights = np.random.default_rng(2).normal(size=(3, 8, 5)).astype(np.float32)
    by_last = quantise(weights, FORMATS["int4"], -1)
    for channel in range(5):
        alone = quantise(weights[:, :, channel].reshape(1, -1), FORMATS["int4"], 0)
        assert np.array_equal(by_last[:, :, channel].reshape(1, -1), alone)
    by_two = quantise(weights, FORMATS["int4"], (0, 2))
    for i in range(3):
        for j in range(5):
            alone = quantise(weights[i, :, j][None], FORMATS["int4"], 0)
            assert np.array_equal(by_two[i, :, j][None], alone)
    assert as_rows(weights, (0, 2)).shape == (15, 8)
    assert as_rows(weights, None).shape == (1, 120)


def test_a_short_last_block_is_a_block_of_its_own() -> None:
    weights = np.random.default_rng(3).normal(size=(2, 37))
    for name in ("int4_g32", "mxfp4", "fp4_g16", "int4_g32_asym", "mlx4_g32"):
        format = format_named(name)
        whole = quantise(weights, format, 0)
        tail = weights[:, 32:]
        assert np.array_equal(whole[:, 32:], quantise(tail, format, 0)), name


@pytest.mark.parametrize("format", ROUNDED + MORE, ids=lambda f: f.name)
def test_zeros_stay_zeros(format: Format) -> None:
    assert not quantise(np.zeros((2, 256)), format, 0).any()
    assert quantise(np.zeros((0, 256)), format, 0).shape == (0, 256)


def test_formats_known_by_size_only_are_refused() -> None:
    assert not can_round(FORMATS["iq2_xs"])
    with pytest.raises(InstanceError, match="format 'iq2_xs': no encoder"):
        quantise(np.ones((1, 256)), FORMATS["iq2_xs"], 0)


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InstanceError, match="format 'q8_0': rows of 33 weights"):
        quantise(np.ones((1, 33)), FORMATS["q8_0"], 0)


def test_tensor_scale_covers_the_largest_of_all_rows() -> None:
    weights = np.array([[448.0, 1.0], [0.001, 0.5]])
    got = quantise(weights, FORMATS["fp8_e4m3_tensor"], 0)
    assert got[0].tolist() == [448.0, 1.0]
    assert got[1, 1] == 0.5
    # half of the smallest subnormal and a bit more
    assert got[1, 0] == 2.0**-9
