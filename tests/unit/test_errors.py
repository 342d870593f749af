"""Errors are one line: what, where, what would be right; each has its exit code."""

import pytest

from mapc.errors import (
    CheckError,
    ExitCode,
    InfeasibleError,
    InstanceError,
    MapcError,
    UnavailableError,
    UsageError,
)


def test_every_error_has_the_exit_code_of_its_meaning() -> None:
    codes = {
        MapcError: 1,
        UsageError: 2,
        InfeasibleError: 3,
        InstanceError: 5,
        UnavailableError: 6,
        CheckError: 7,
    }
    assert {kind: int(kind.exit_code) for kind in codes} == codes
    assert all(issubclass(kind, MapcError) for kind in codes)


def test_exit_codes_are_distinct() -> None:
    assert len({code.value for code in ExitCode}) == len(ExitCode)
    assert (ExitCode.OK, ExitCode.NO_PLAN, ExitCode.INTERRUPTED) == (0, 4, 130)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("size -1",), "size -1"),
        (("size -1", "tensor 'a'"), "tensor 'a': size -1"),
        (("size -1", "tensor 'a'", ">= 0"), "tensor 'a': size -1; expected >= 0"),
        (("size -1", "", ">= 0"), "size -1; expected >= 0"),
    ],
)
def test_message_says_what_where_and_what_is_right(parts: tuple[str, ...], expected: str) -> None:
    assert str(InstanceError(*parts)) == expected


def test_message_is_one_line_whatever_names_hold() -> None:
    error = InstanceError("bad\nvalue", "tensor 'a\r\n\tb'", "good\x0bvalue")
    assert str(error) == "tensor 'a b': bad value; expected good value"
    assert len(str(error).splitlines()) == 1


def test_inside_puts_a_wider_place_in_front() -> None:
    error = InstanceError("size -1", "tensor 'a'", ">= 0")
    assert str(error.inside("net.json")) == "net.json: tensor 'a': size -1; expected >= 0"
    assert str(InstanceError("empty").inside("net.json")) == "net.json: empty"
    assert str(error) == "tensor 'a': size -1; expected >= 0"
