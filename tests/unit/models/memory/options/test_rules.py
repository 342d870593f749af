"""Options by rule, in Python and on the command line."""

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import mapc
from mapc.cli import app
from mapc.models.memory.options import Options
from mapc.models.memory.problem import MemoryProblem
from mapc.models.memory.verify import verify
from oracles.memory_options import least_cost

BLOCK = """{"name": "block", "inputs": ["x"], "outputs": ["y"], "constants": ["w", "v"],
 "tensors": {"x": 8, "w": 6, "h": 8, "v": 5, "k": 4, "y": 8},
 "ops": [
  {"op": "conv", "ins": ["x", "w"], "outs": ["h"], "name": "a"},
  {"op": "aten::relu_", "ins": ["h"], "outs": ["k"], "name": "b"},
  {"op": "LeakyRelu", "ins": ["h", "k", "v"], "outs": ["y"], "name": "c"}]}"""


@pytest.fixture
def block(tmp_path: Path) -> Path:
    path = tmp_path / "block.json"
    path.write_text(BLOCK)
    return path


@pytest.fixture
def problem(block: Path) -> MemoryProblem:
    return mapc.read(block, scratchpad=40)


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (["weights=pinned"], Options(pinned=(1, 3))),
        (["weights=streamed"], Options(streamable=((0, 1), (2, 3)))),
        (["weights=streamed", "pinned=v"], Options(streamable=((0, 1),), pinned=(3,))),
        (["weights=pinned", "streamed=v"], Options(streamable=((2, 3),), pinned=(1,))),
        (
            ["weights=pinned", "streamed=h", "weights=resident"],
            Options(streamable=((1, 2), (2, 2))),
        ),
        # relu's output is smaller than its input; conv is not elementwise
        (["in-place=elementwise"], Options(in_place=((2, 2, 5),))),
        (["in-place=elementwise", "in-place=none"], Options()),
        (["objective=energy"], Options(read_cost=163, write_cost=163)),
        (["objective=time", "write-cost=80"], Options(read_cost=39, write_cost=80)),
        (["objective=bytes", "stream-cost=0", "prefetch=3"], Options(stream_cost=0, prefetch=3)),
        # b writes 4 bytes; nobody reads what c writes
        (["recompute=elementwise"], Options(recompute=((1, 4),))),
        (["recompute=all", "read-cost=3"], Options(read_cost=3, recompute=((0, 24), (1, 12)))),
        (["recompute-cost=2", "recompute=b"], Options(recompute=((1, 8),))),
        (["recompute=b", "recompute=a", "recompute-cost=0"], Options(recompute=((0, 0), (1, 0)))),
        (["recompute=all", "recompute=none"], Options()),
    ],
)
def test_rules(problem: MemoryProblem, texts: list[str], options: Options) -> None:
    names = problem.graph.tensor_names
    assert names == ("x", "w", "h", "v", "k", "y")
    assert mapc.with_rules(problem, texts).options == options


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("weights=gone", "resident, pinned or streamed"),
        ("weight=pinned", "expected one of objective"),
        ("prefetch", "expected one of objective"),
        ("prefetch=-1", "a whole number"),
        ("prefetch=1001", "0 to 1000 steps"),
        ("pinned=h", "without a producer"),
        ("pinned=z", "the name of a tensor"),
        ("objective=joy", "bytes or energy or time"),
        ("in-place=all", "elementwise or none"),
        ("recompute=z", "elementwise, all, none or the name of an operator"),
        ("recompute-cost=-1", "a whole number"),
        ("recompute-cost=2", "operators that may run again, by recompute="),
        ("confined=x:a", "TENSOR:BANK with a bank of the rule banks="),
    ],
)
def test_what_is_no_rule_is_refused_in_one_line(
    problem: MemoryProblem, text: str, says: str
) -> None:
    with pytest.raises(mapc.UsageError, match=says) as caught:
        mapc.with_rules(problem, [text])
    assert "\n" not in str(caught.value)


def test_other_families_have_no_rules(tmp_path: Path) -> None:
    path = tmp_path / "buffers.csv"
    path.write_text("id,lower,upper,size\nb,0,1,4\n")
    with pytest.raises(mapc.UsageError, match="do not apply to allocation"):
        mapc.read(path, rules=["prefetch=1"])


def test_rules_go_before_the_names_of_capacities(block: Path) -> None:
    assert mapc.read(block, scratchpad="M_R").capacity == 25
    assert mapc.read(block, scratchpad="M_R", rules=["weights=streamed"]).capacity == 22 - 2
    assert mapc.read(block, scratchpad="M_R", rules=["weights=pinned"]).capacity == 20 + 11


def test_the_command_line_solves_and_checks_with_options(block: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    run = CliRunner().invoke
    rules = ["--rule", "weights=streamed", "--rule", "stream-cost=3", "--rule", "read-cost=2"]
    solve = ["solve", str(block), "--scratchpad", "20", *rules, "-q", "-o", str(plan)]
    done = run(app, solve)
    assert done.exit_code == 0, done.output
    problem = mapc.read(block, scratchpad=20, rules=rules[1::2])
    extra = least_cost(problem)
    assert f"{extra} units of extra cost" in done.output
    for command in (["check", str(plan)], ["check", str(block), str(plan)]):
        checked = run(app, command)
        assert checked.exit_code == 0, checked.output
        assert f"valid: {extra} units of extra cost" in checked.output
    other = run(app, ["check", str(block), str(plan), "--rule", "weights=pinned"])
    assert other.exit_code != 0


def test_symmetric_costs_scale_the_plain_optimum(problem: MemoryProblem) -> None:
    tight = replace(problem, capacity=25)
    plain = mapc.solve(tight, time_limit=None)
    dear = mapc.with_rules(tight, ["objective=energy"])
    result = mapc.solve(dear, time_limit=None)
    assert result.objective == 163 * plain.objective == verify(dear, result.plan).objective


def test_the_command_line_recomputes(tmp_path: Path) -> None:
    """s (64) is narrow to make again from x (16), and lies beside 256 + 256 else."""
    source = tmp_path / "skip.json"
    source.write_text(
        """{"name": "skip", "inputs": ["x"], "outputs": ["y"],
 "tensors": {"x": 16, "s": 64, "a": 256, "b": 256, "c": 64, "y": 64},
 "ops": [
  {"name": "stem", "op": "relu", "ins": ["x"], "outs": ["s"]},
  {"name": "expand", "op": "conv", "ins": ["s"], "outs": ["a"]},
  {"name": "filter", "op": "conv", "ins": ["a"], "outs": ["b"]},
  {"name": "project", "op": "conv", "ins": ["b"], "outs": ["c"]},
  {"name": "add", "op": "add", "ins": ["s", "c"], "outs": ["y"]}]}"""
    )
    plan = tmp_path / "plan.json"
    run = CliRunner().invoke
    rules = ["--rule", "recompute=elementwise", "--rule", "recompute-cost=1"]
    done = run(app, ["solve", str(source), "--scratchpad", "528", *rules, "-q", "-o", str(plan)])
    assert done.exit_code == 0, done.output
    assert "64 units of extra cost" in done.output
    assert "recomputed" in done.output
    checked = run(app, ["check", str(plan)])
    assert "valid: 64 units of extra cost" in checked.output
    for name in ("arena-json", "arena-c", "transfers"):
        out = run(app, ["export", str(plan), "--to", name])
        assert out.exit_code == 0, out.output
