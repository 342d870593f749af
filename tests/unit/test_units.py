"""Byte sizes: read exactly, printed readably."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.errors import ExitCode, UsageError
from mapc.units import MAX_BYTES, format_bytes, parse_bytes, quantity, share


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4096", 4096),
        (4096, 4096),
        ("0", 0),
        ("1568KiB", 1568 * 1024),
        (" 64 kib ", 64 * 1024),
        ("1.5MiB", 3 * 2**19),
        ("2MB", 2_000_000),
        ("1kb", 1000),
        ("1GiB", 2**30),
        ("1024TiB", MAX_BYTES),
        ("0.001953125KiB", 2),
        ("7B", 7),
    ],
)
def test_sizes_are_read_exactly(text: str | int, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "KiB", "-1", "-4KiB", "+4", "1e3", "0x10", "1,000", "4 Ki B", "4KiBs", "nan", "inf", "1.",
     ".5KiB", "٣KiB", "1_000"],
)  # fmt: skip
def test_texts_that_are_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["0.3B", "0.5", "0.0001KiB", "1.0000000001GB"])
def test_part_of_a_byte_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="whole number of bytes"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["1025TiB", str(MAX_BYTES + 1), MAX_BYTES + 1, -1])
def test_sizes_out_of_range(text: str | int) -> None:
    with pytest.raises(UsageError, match="outside 0 to"):
        parse_bytes(text)


def test_a_hostile_text_gives_one_short_line() -> None:
    with pytest.raises(UsageError) as caught:
        parse_bytes("9" * 100_000)
    assert len(str(caught.value)) < 200
    assert caught.value.exit_code is ExitCode.USAGE


@given(st.integers(0, 2**20), st.sampled_from(["KiB", "MiB", "KB", "MB", ""]))
def test_units_are_factors(number: int, unit: str) -> None:
    factor = {"KiB": 2**10, "MiB": 2**20, "KB": 10**3, "MB": 10**6, "": 1}[unit]
    assert parse_bytes(f"{number}{unit}") == number * factor
    assert parse_bytes(f"{number}{unit.lower()}") == number * factor


@given(st.integers(0, 10**6), st.integers(0, 999))
def test_decimals_agree_with_fractions(whole: int, thousandths: int) -> None:
    value = (whole + Fraction(thousandths, 1000)) * 1000
    assert parse_bytes(f"{whole}.{thousandths:03d}KB") == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (401_408, "392 KiB"),
        (1536, "1.5 KiB"),
        (100 * 2**20 - 1024, "102,399 KiB"),
        (100 * 2**20, "100 MiB"),
        (2**30 - 2**20, "1,023 MiB"),
        (2**30, "1 GiB"),
        (10 * 2**30, "10 GiB"),
        (-401_408, "-392 KiB"),
        (1.5, "1.5 B"),
    ],
)
def test_sizes_are_printed_in_the_unit_people_use(value: float, expected: str) -> None:
    assert format_bytes(value) == expected


@given(st.integers(0, 100 * 2**20 // 1024))
def test_whole_kibibytes_survive_a_round_trip(kib: int) -> None:
    assert parse_bytes(format_bytes(kib * 1024).replace(",", "")) == kib * 1024


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(8 * 2048, "bits", "2 KiB"), (12, "bits", "1.5 B"), (3, "bytes", "3 B"), (1234, "", "1,234")],
)
def test_amounts_have_their_unit_and_sizes_are_in_bytes(value: int, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


@given(st.integers(0, 10**15), st.integers(1, 10**15))
def test_a_budget_is_used_up_only_when_it_is(used: int, budget: int) -> None:
    used = min(used, budget)
    text = share(used, budget)
    assert (text == "100.00 %") == (used == budget)
    assert float(text.split()[0]) <= 100 * used / budget + 1e-9
