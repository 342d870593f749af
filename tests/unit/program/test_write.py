import os

import pytest

from mapc.errors import UsageError
from mapc.program import Program
from mapc.program.write import write_model


@pytest.fixture
def program():
    program = Program("cover")
    program.variables(3, cost=[3, 2, 4], name="pick")
    program.variables(1, 0, 5, cost=-0.5, name="count")
    program.rows([[0, 1], [1, 2]], lower=1, name="cover")
    program.rows([[0, 1, 2, 3]], [2, 2, 2, 1], upper=7, name="room")
    program.minimise([], [], offset=1)
    return program


OPTIMUM = 3 + 0 - 2.5  # pick the second, count five


@pytest.mark.parametrize("name", ["m.mps", "m.lp", "M.MPS", "m.x.lp"])
def test_a_linear_format_reads_back(program, name, highs, tmp_path):
    path = tmp_path / name
    write_model(program, path)
    lower = path.rename(tmp_path / f"again{path.suffix.lower()}")
    assert highs(None, lower)[0] == pytest.approx(OPTIMUM)


def test_text_and_binary_proto_read_back(program, tmp_path):
    cp_model = pytest.importorskip("ortools.sat.python.cp_model")
    from google.protobuf import text_format
    from ortools.sat import cp_model_pb2

    write_model(program, tmp_path / "m.pb.txt")
    write_model(program, str(tmp_path / "m.pb"))
    binary = cp_model_pb2.CpModelProto.FromString((tmp_path / "m.pb").read_bytes())
    text = text_format.Parse((tmp_path / "m.pb.txt").read_text(), cp_model_pb2.CpModelProto())
    assert binary == text
    assert [v.name for v in text.variables] == ["pick.0", "pick.1", "pick.2", "count.0"]
    model = cp_model.CpModel()
    model.proto.parse_text_format(text_format.MessageToString(binary))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    assert solver.solve(model) == cp_model.OPTIMAL
    assert solver.objective_value == pytest.approx(OPTIMUM)
    assert sorted(os.listdir(tmp_path)) == ["m.pb", "m.pb.txt"]


@pytest.mark.parametrize("name", ["m.json", "m", "m.lp.gz", "m.txt", "lp"])
def test_another_suffix_is_refused_with_the_right_ones(program, name, tmp_path):
    with pytest.raises(UsageError, match=r"\.mps, \.lp, \.pb, \.pb\.txt"):
        write_model(program, tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".pb", ".pb.txt"])
def test_what_the_format_cannot_hold_is_refused_and_leaves_no_file(program, suffix, tmp_path):
    program.variables(1, integer=False, name="real")
    with pytest.raises(UsageError, match=r"real\[0\] is continuous"):
        write_model(program, tmp_path / f"m{suffix}")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".mps", ".lp", ".pb", ".pb.txt"])
def test_a_path_that_cannot_be_written_is_one_line(program, suffix, tmp_path):
    with pytest.raises(UsageError, match="cannot be written: no such folder"):
        write_model(program, tmp_path / "none" / f"m{suffix}")
    (tmp_path / f"taken{suffix}").mkdir()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        write_model(program, tmp_path / f"taken{suffix}")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == [f"taken{suffix}"]
