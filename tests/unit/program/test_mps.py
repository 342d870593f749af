import numpy as np
import pytest
from hypothesis import given, settings

from mapc.program import Program
from mapc.program.mps import mps_text, write_mps

FILE = """\
NAME small_one
ROWS
 N cost.objective.row
 L cap.0
 L cap.1
 E same.0
 G least.0
 N idle.0
COLUMNS
 MARK0 'MARKER' 'INTORG'
 x.0 cost.objective.row 2
 x.0 cap.0 1
 x.0 same.0 1
 x.1 cap.1 1
 x.1 same.0 -1
 MARK1 'MARKER' 'INTEND'
 y.0 cost.objective.row -0.1
 y.0 cap.0 3
 y.0 least.0 1
 y.1 cap.1 3
 y.1 idle.0 1
 MARK2 'MARKER' 'INTORG'
 z.0 cost.objective.row 0
 MARK3 'MARKER' 'INTEND'
RHS
 RHS cost.objective.row -1.5
 RHS cap.0 4
 RHS cap.1 4
 RHS least.0 -2
RANGES
 RANGE cap.0 5
 RANGE cap.1 5
BOUNDS
 BV BOUND x.0
 BV BOUND x.1
 FR BOUND y.1
 MI BOUND z.0
 UP BOUND z.0 -3
ENDATA
"""


def test_every_section_reads_as_the_format_says():
    program = Program("small one")
    x = program.variables(2, cost=[2, 0], name="x")
    y = program.variables(2, [0, -np.inf], np.inf, integer=False, cost=[-0.1, 0], name="y")
    program.variables(1, -np.inf, -3, name="z")
    program.minimise([], [], offset=1.5)
    program.rows(np.stack([x[:], y[:]], axis=1), [1, 3], -1, 4, name="cap")
    program.rows([x[:]], [1, -1], 0, 0, name="same")
    program.rows([[y[0]]], lower=-2, name="least")
    program.rows([[y[1]]], name="idle")
    assert mps_text(program) == FILE


def test_highs_and_scip_read_back_the_same_optimum(mixed, highs, scip, tmp_path):
    @settings(max_examples=80, deadline=None, derandomize=True, database=None)
    @given(mixed())
    def check(program):
        expected, _ = highs(program)
        path = tmp_path / "model.mps"
        write_mps(program, path)
        found, _ = highs(None, path)
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))
        found = scip(path)
        assert found == (None if expected is None else pytest.approx(expected, abs=1e-6))

    check()


def test_a_range_keeps_its_lower_side_in_spite_of_rounding():
    program = Program()
    program.variables(1, integer=False)
    program.rows([[0]], 1.0, 0.1, 1e17, name="wide")
    program.rows([[0]], 1.0, -0.3, 0.1, name="fine")
    lines = [line.split() for line in mps_text(program).splitlines()]
    up = {words[1]: float(words[2]) for words in lines if words[0] == "RHS" and len(words) > 1}
    width = {words[1]: float(words[2]) for words in lines if words[0] == "RANGE"}
    assert up["wide.0"] - width["wide.0"] <= 0.1
    assert up["fine.0"] - width["fine.0"] <= -0.3
    assert up["fine.0"] - width["fine.0"] == pytest.approx(-0.3, rel=1e-15)


def test_an_empty_program_is_a_file_too(highs, tmp_path):
    write_mps(Program(), tmp_path / "empty.mps")
    assert highs(None, tmp_path / "empty.mps")[0] == 0
