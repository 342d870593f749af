from __future__ import annotations

import contextlib
import math
import tomllib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.graph.formats import (
    FORMATS,
    Format,
    format_named,
    formats_from,
    largest_float,
    matrix_shape,
    storage_bits,
)

# -- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("int4", Fraction(4)),
        ("int4_g32", Fraction(9, 2)),
        ("int4_g128", Fraction(33, 8)),
        ("int4_g128_asym", Fraction(33 * 4 + 1, 32)),
        ("mlx4_g64", Fraction(9, 2)),
        ("fp8", Fraction(8)),
        ("fp4_g16", Fraction(5)),
        ("nvfp4", Fraction(9, 2)),
        ("mxfp4", Fraction(17, 4)),
        ("mxfp6", Fraction(25, 4)),
        ("mxfp8", Fraction(33, 4)),
        ("Q2_K", Fraction(21, 8)),
        ("Q3_K", Fraction(55, 16)),
        ("Q4_K", Fraction(9, 2)),
        ("Q5_K", Fraction(11, 2)),
        ("Q6_K", Fraction(105, 16)),
        ("Q8_0", Fraction(17, 2)),
        ("Q4_0", Fraction(9, 2)),
        ("Q4_1", Fraction(5)),
        ("Q5_0", Fraction(11, 2)),
        ("Q5_1", Fraction(6)),
        ("IQ4_NL", Fraction(9, 2)),
        ("IQ4_XS", Fraction(17, 4)),
        ("IQ3_S", Fraction(55, 16)),
        ("IQ2_XXS", Fraction(33, 16)),
        ("IQ1_S", Fraction(25, 16)),
        ("bf16", Fraction(16)),
        ("fp32", Fraction(32)),
    ],
)
def test_bits_per_weight_count_all_that_is_stored(name: str, bits: Fraction) -> None:
    assert format_named(name).bits_per_weight == bits


@pytest.mark.parametrize(
    ("name", "shape", "axis", "bits"),
    [
        ("int4", (16, 3, 3, 3), 0, 16 * (27 * 4 + 16)),
        ("int4", (64, 10), 1, 10 * (64 * 4 + 16)),
        ("int4", (2, 64, 10), (0, 2), 20 * (64 * 4 + 16)),
        ("int4", (10, 10), None, 100 * 4 + 16),
        ("int4_g32", (16, 27), 0, 16 * (32 * 4 + 16)),  # the last block is padded
        ("int4_g32", (16, 33), 0, 16 * 2 * (32 * 4 + 16)),
        ("int4_g32_asym", (16, 32), 0, 16 * (32 * 4 + 16 + 4)),
        ("fp8_e4m3", (8, 5), 0, 8 * (5 * 8 + 32)),
        ("fp8_e4m3_tensor", (8, 5), 0, 8 * 5 * 8 + 32),
        ("nvfp4", (4, 32), 0, 4 * 2 * (16 * 4 + 8) + 32),
        ("mxfp4", (4, 31), 0, 4 * (32 * 4 + 8)),
        ("q4_k", (2, 512), 0, 2 * 2 * 144 * 8),
        ("bf16", (3, 5), 0, 240),
        ("int8", (0, 5), 0, 0),
        ("int8", (), None, 8 + 16),
    ],
)
def test_storage_is_exact(
    name: str, shape: tuple[int, ...], axis: int | tuple[int, ...] | None, bits: int
) -> None:
    assert storage_bits(format_named(name), shape, axis) == bits


@settings(deadline=None)
@given(
    st.sampled_from([f for f in FORMATS.values() if f.align == 1]),
    st.integers(1, 9),
    st.integers(1, 300),
)
def test_storage_never_beats_the_elements_and_wastes_one_block_at_most(
    format: Format, channels: int, row: int
) -> None:
    bits = storage_bits(format, (channels, row), 0)
    assert bits >= channels * row * format.bits
    spare = channels * (format.block_bits + 32 if format.block else 32) + format.tensor_bits
    assert bits <= channels * row * format.bits_per_weight + spare


def test_blocks_that_must_divide_the_row_are_refused() -> None:
    with pytest.raises(InstanceError, match=r"format 'q4_k': rows of 384 weights.*multiple of 256"):
        storage_bits(FORMATS["q4_k"], (8, 384), 0)
    assert not FORMATS["q8_0"].fits(48)
    assert FORMATS["q8_0"].fits(64)


def test_rows_follow_the_channel_axes() -> None:
    assert matrix_shape((4, 5, 6), -1) == (6, 20)
    assert matrix_shape((4, 5, 6), (0, 1)) == (20, 6)
    assert matrix_shape((0, 5), 0) == (0, 0)
    for axis in (2, -3, (0, 0), (0, -2)):
        with pytest.raises(InstanceError, match="channel axis"):
            matrix_shape((4, 5), axis)


@pytest.mark.parametrize(
    ("exponent", "mantissa", "largest"),
    [(2, 1, 6.0), (2, 3, 7.5), (3, 2, 28.0), (4, 3, 448.0), (5, 2, 57344.0), (5, 10, 65504.0)],
)
def test_largest_values_are_those_of_the_specifications(
    exponent: int, mantissa: int, largest: float
) -> None:
    assert largest_float(exponent, mantissa) == largest


def test_the_largest_casts_are_those_of_ieee() -> None:
    assert FORMATS["fp32"].largest == float(np.finfo(np.float32).max)
    assert FORMATS["fp16"].largest == float(np.finfo(np.float16).max)
    assert FORMATS["int8"].largest == 127.0
    with pytest.raises(InstanceError, match="no element"):
        _ = FORMATS["q4_k"].largest


# -- names ---------------------------------------------------------------------------------------


def test_names_are_keys_and_case_does_not_matter() -> None:
    assert all(name == f.name for name, f in FORMATS.items())
    assert format_named(" NVFP4 ") is FORMATS["nvfp4"]
    assert format_named("INT4_G48").block == 48
    assert format_named("fp4_g32").bits_per_weight == Fraction(9, 2)


@pytest.mark.parametrize(
    "name", ["int9", "int1", "int4_g0", "int4_g", "mlx4_g64_asym", "q4_kk", "", "fp8_e4m4", "4"]
)
def test_unknown_names_are_refused_with_a_suggestion(name: str) -> None:
    with pytest.raises(InstanceError, match=r"no such number format; expected e\.g\. \w+"):
        format_named(name)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_format_or_an_instance_error(name: str) -> None:
    with contextlib.suppress(InstanceError):
        assert format_named(name).bits_per_weight > 0


# -- formats of users ----------------------------------------------------------------------------

OWN = """
[[formats]]
name = "int4_g64_fp32"
kind = "integer"
bits = 4
scope = "block"
block = 64
scale = "fp32"
zero_bits = 4

[[formats]]
name = "e3m4"
kind = "float"
bits = 8
exponent = 3
mantissa = 4

[[formats]]
name = "fp24"
kind = "cast"
bits = 24
exponent = 8
mantissa = 15

[[formats]]
name = "codebook"
kind = "packed"
bits = 2
block = 64
packed_bits = 144
align = 64
"""


def test_users_describe_their_own() -> None:
    own = formats_from(tomllib.loads(OWN), "own.toml")
    assert own["int4_g64_fp32"].bits_per_weight == Fraction(4 * 64 + 36, 64)
    assert storage_bits(own["e3m4"], (4, 10), 0) == 4 * (80 + 16)
    assert storage_bits(own["fp24"], (4, 10), 0) == 4 * 240
    assert own["codebook"].bits_per_weight == Fraction(9, 4)
    assert format_named("codebook", own) is own["codebook"]
    assert format_named("int4", own) is FORMATS["int4"]


GOOD = {"name": "x", "kind": "integer", "bits": 4}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**GOOD, "name": "a b"}, "name 'a b'"),
        ({**GOOD, "name": 4}, "field 'name': 4; expected text"),
        ({**GOOD, "kind": "complex"}, "kind 'complex'"),
        ({**GOOD, "bits": 1}, "bits 1"),
        ({**GOOD, "bits": 33}, "bits 33"),
        ({**GOOD, "bits": True}, "field 'bits': True"),
        ({**GOOD, "bits": 4.5}, "field 'bits': 4.5"),
        ({**GOOD, "scope": "layer"}, "scope 'layer'"),
        ({**GOOD, "scope": "block"}, "block 0"),
        ({**GOOD, "block": 32}, "block 32"),
        ({**GOOD, "scale": "fp64"}, "scale 'fp64'"),
        ({**GOOD, "zero_bits": 5}, "zero_bits 5"),
        ({**GOOD, "tensor_bits": 16}, "tensor_bits 16"),
        ({**GOOD, "packed_bits": 16}, "packed_bits 16"),
        ({**GOOD, "align": 0}, "align 0"),
        ({**GOOD, "colour": 0}, "'colour': no such field"),
        ({"name": "x", "bits": 4}, "field 'kind': missing"),
        ({"name": "x", "kind": "float", "bits": 8, "exponent": 4, "mantissa": 4}, "(4, 4)"),
        ({"name": "x", "kind": "float", "bits": 8, "exponent": 9, "mantissa": 1}, "exponent 9"),
        ({"name": "x", "kind": "float", "bits": 8}, "exponent 0"),
        ({"name": "x", "kind": "packed", "bits": 2, "block": 8}, "packed_bits 0"),
        (7, "7; expected a table"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(entry: object, message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        formats_from({"formats": [entry]}, "own.toml")
    assert message in str(caught.value)
    assert str(caught.value).startswith("own.toml: formats[0]")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("document", [{}, [], {"formats": []}, {"formats": {}}, None])
def test_documents_without_formats_are_refused(document: object) -> None:
    with pytest.raises(InstanceError, match="no formats"):
        formats_from(document, "own.toml")


def test_a_name_counts_once() -> None:
    with pytest.raises(InstanceError, match=r"formats\[1\]: name 'x' given twice"):
        formats_from({"formats": [GOOD, GOOD]}, "own.toml")


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 8), st.integers(1, 512), st.integers(1, 8), st.integers(1, 2000))
def test_whole_blocks_cost_what_bits_per_weight_says(
    bits: int, block: int, channels: int, blocks: int
) -> None:
    format = format_named(f"int{bits}_g{block}")
    stored = storage_bits(format, (channels, block * blocks), 0)
    assert stored == math.prod((channels, block, blocks)) * format.bits_per_weight
