from pathlib import Path

import pytest

from mapc.errors import UsageError
from mapc.options import Option, check_options

OPTIONS = (
    Option("groups", "How many.", int, required=True),
    Option("scale", "Factor.", float),
    Option("exact", "Count all.", bool),
    Option("mode", "How.", choices=("a", "b", "c")),
    Option("widths", "Bits.", int, many=True),
    Option("table", "What to read.", Path),
)


@pytest.mark.parametrize(
    "given",
    [
        {"groups": 0},
        {"groups": 1, "scale": 2, "exact": False},
        {"groups": 1, "scale": 2.5, "mode": "b", "widths": []},
        {"groups": 1, "widths": (4, 8)},
        {"groups": 1, "table": "a.csv"},
        {"groups": 1, "table": Path("a.csv")},
    ],
)
def test_good_options(given):
    check_options(OPTIONS, given, "generator x")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "generator x: option 'groups' is missing: How many."),
        (
            {"groups": 1, "size": 2},
            "generator x: unknown option 'size'; "
            "expected groups, scale, exact, mode, widths, table",
        ),
        ({"groups": "1"}, "generator x: option 'groups' is '1'; expected a whole number"),
        ({"groups": True}, "generator x: option 'groups' is True; expected a whole number"),
        ({"groups": 1.0}, "generator x: option 'groups' is 1.0; expected a whole number"),
        ({"groups": 1, "scale": "x"}, "generator x: option 'scale' is 'x'; expected a number"),
        ({"groups": 1, "scale": True}, "generator x: option 'scale' is True; expected a number"),
        ({"groups": 1, "exact": 1}, "generator x: option 'exact' is 1; expected True or False"),
        ({"groups": 1, "mode": "d"}, "generator x: option 'mode' is 'd'; expected a, b or c"),
        ({"groups": 1, "widths": 4}, "generator x: option 'widths' is 4; expected a list"),
        ({"groups": 1, "widths": "48"}, "generator x: option 'widths' is '48'; expected a list"),
        ({"groups": 1, "table": 3}, "generator x: option 'table' is 3; expected a path"),
        ({"groups": 1, "widths": [4, None]}, "option 'widths' is None; expected a whole number"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(UsageError) as error:
        check_options(OPTIONS, given, "generator x")
    assert message in str(error.value)


def test_what_takes_no_options_says_so():
    with pytest.raises(UsageError, match="unknown option 'x'; it takes none"):
        check_options((), {"x": 1}, "exporter y")


def test_flags_have_hyphens():
    assert Option("group_size", "").flag == "--group-size"
