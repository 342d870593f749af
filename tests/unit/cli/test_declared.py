from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mapc.cli.declared import flag, given
from mapc.options import Option

OPTIONS = (
    Option("group_size", "Weights that share a scale.", int, 32),
    Option("scale", "Factor.", float),
    Option("exact", "Count all of it.", bool, True),
    Option("formats", "What to choose from.", many=True, default=("int4", "int8")),
    Option("widths", "Bits.", int, many=True),
    Option("mode", "How.", choices=("a", "b"), many=True),
    Option("table", "What to read.", Path),
)


def parse(*args):
    seen = {}
    command = click.Command("x", callback=lambda **options: seen.update(options))
    command.params = [flag(option) for option in OPTIONS]
    done = CliRunner().invoke(command, args)
    return given(seen) if done.exit_code == 0 else done.stderr


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((), {}),
        (("--group-size", "64"), {"group_size": 64}),
        (("--scale", "1.5"), {"scale": 1.5}),
        (("--exact",), {"exact": True}),
        (("--no-exact",), {"exact": False}),
        (("--formats", "int4, fp8"), {"formats": ["int4", "fp8"]}),
        (("--formats", "int4", "--formats", "fp8,nf4"), {"formats": ["int4", "fp8", "nf4"]}),
        (("--formats", r"x{1\,2}=>y,z"), {"formats": ["x{1,2}=>y", "z"]}),
        (("--widths", "4,8"), {"widths": [4, 8]}),
        (("--mode", "b,a"), {"mode": ["b", "a"]}),
        (("--table", "a,b.csv"), {"table": "a,b.csv"}),
    ],
)
def test_values(args, options):
    assert parse(*args) == options


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--group-size", "x"), "'x' is not a valid integer"),
        (("--formats", "int4,,int8"), "expected values separated by commas"),
        (("--formats", ""), "expected values separated by commas"),
        (("--widths", "4,x"), "'x' is not a valid integer"),
        (("--mode", "a,c"), "'c' is not one of"),
    ],
)
def test_values_that_are_none(args, message):
    assert message in parse(*args)


def test_help_says_kind_and_default():
    command = click.Command("x", params=[flag(option) for option in OPTIONS])
    text = " ".join(CliRunner().invoke(command, ["--help"]).stdout.split())
    for part in (
        "--group-size N Weights that share a scale. [default: 32]",
        "--scale X Factor.",
        "--exact / --no-exact Count all of it. [default: exact]",
        "--formats TEXT,... What to choose from. [default: int4,int8]",
        "--mode a|b,... How.",
        "--table FILE What to read.",
    ):
        assert part in text
