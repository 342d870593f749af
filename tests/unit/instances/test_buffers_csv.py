import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc import instances
from mapc.errors import InstanceError, UsageError
from mapc.graph.operators import OperatorGraph, Ragged
from mapc.instances.buffers_csv import parse_buffers
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.allocation.problem import AllocationProblem
from mapc.models.memory.problem import MemoryProblem

DATA = Path(os.environ.get("MAPC_DATA") or Path(__file__).parents[4] / "shared" / "data")

# buffers and the largest number of bytes live at one time
REAL = {
    "A": (154, 1048576),
    "C": (203, 1039360),
    "D": (213, 986112),
    "J": (409, 989184),
    "K": (454, 1048576),
}


@pytest.fixture
def read(tmp_path):
    def read(text, **options):
        path = tmp_path / "buffers.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return instances.read(path, **options)

    return read


@pytest.mark.parametrize("name", REAL)
def test_real_instances(name):
    path = DATA / "memory" / f"{name}.1048576.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there; set MAPC_DATA")
    problem = instances.read(path)
    assert (problem.n_buffers, problem.max_load) == REAL[name]
    assert problem.name == f"{name}.1048576"
    assert problem.capacity is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), max_size=6).filter(str.isprintable),
            st.integers(-(2**50), 2**50),
            st.integers(1, 2**50),
            st.integers(0, 2**44),
            st.integers(0, 2**50),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda row: row[0],
    ),
    st.integers(1, 64),
)
def test_round_trip(tmp_path_factory, rows, alignment):
    names, lower, length, size, offset = zip(*rows, strict=True)
    problem = AllocationProblem(
        name="buffers",
        names=names,
        lower=np.array(lower),
        upper=np.array(lower) + np.array(length),
        size=np.array(size),
        alignment=alignment,
    )
    path = tmp_path_factory.mktemp("round") / "buffers.csv"
    plan = AllocationPlan(np.array(offset))
    instances.write_csv(problem, path, plan)
    again, plan_again, info = instances.read_plan(path)
    assert instances.content_hash(again) == instances.content_hash(problem)
    assert info.instance_sha256 == instances.content_hash(problem)
    assert plan_again == plan
    instances.write_csv(problem, path)
    assert instances.content_hash(instances.read(path)) == instances.content_hash(problem)
    with pytest.raises(InstanceError, match="a CSV of buffers without a plan"):
        instances.read_plan(path)


@pytest.mark.parametrize(
    "text",
    [
        "id,lower,upper,size\na,0,3,4\nb,2,9,5\n",
        "size,upper,id,lower\r\n4,3,a,0\r\n5,9,b,2\r\n",
        "buffer_id,start,upper,size\na,0,3,4\nb,2,9,5",
        "buffer,begin,end,size\na,0,2,4\nb,2,8,5\n",  # the last step inside, as minimalloc has it
        "# pool_offset=64\nid, lower, upper, size, kind\na, 0, 3, +4, WORKSPACE\nb, 2, 9, 5,\n\n",
        "id,lower,upper,size,alignment,gaps\na,0,3,4,1,\nb,2,9,5,1, \n",
        "id,lower,upper,size,offset\na,0,3,4,\nb,2,9,5,\n",
    ],
)
def test_spellings(read, text):
    problem = read(text)
    assert problem.names == ("a", "b")
    assert problem.lower.tolist() == [0, 2]
    assert problem.upper.tolist() == [3, 9]
    assert problem.size.tolist() == [4, 5]
    assert problem.alignment == 1


def test_recognised_without_a_suffix(tmp_path):
    path = tmp_path / "buffers"
    path.write_text("# made by hand\nid,lower,upper,size\na,0,3,4\n")
    assert instances.read(path).names == ("a",)


def test_offsets_are_the_plan_and_not_part_of_the_problem(read, tmp_path):
    text = "id,lower,upper,size,offset\na,0,3,4,8\nb,2,9,5,0\n"
    assert instances.content_hash(read(text)) == instances.content_hash(
        read("id,lower,upper,size\na,0,3,4\nb,2,9,5\n")
    )
    assert parse_buffers(text, "f", "n")[1] == AllocationPlan(np.array([8, 0]))


def test_alignment(read):
    text = "id,lower,upper,size,alignment\na,0,3,4,16\nb,2,9,5,16\n"
    assert read(text).alignment == 16
    assert read(text, alignment=32).alignment == 32


def test_alignments_of_single_buffers(read, tmp_path):
    problem = read("id,lower,upper,size,alignment\na,0,3,4,12\nb,2,9,5,8\n")
    assert problem.alignment == 4
    assert problem.grain.tolist() == [12, 8]
    assert problem.padded.tolist() == [4, 8]
    instances.write_csv(problem, tmp_path / "again.csv")
    again = instances.read(tmp_path / "again.csv")
    assert instances.content_hash(again) == instances.content_hash(problem)


def test_banks_have_no_column(read, tmp_path):
    problem = read("id,lower,upper,size\na,0,3,4\n")
    with pytest.raises(UsageError, match="no columns for banks"):
        instances.write_csv(replace(problem, banks=(("x", 8),)), tmp_path / "banks.csv")


MALFORMED = {
    "no column": ("id,lower,size\na,0,1\n", "header: no column 'upper'"),
    "unknown column": ("id,lower,upper,size,cost\na,0,1,2,3\n", "header: column 'cost'"),
    "column twice": ("id,lower,start,upper,size\na,0,0,1,2\n", "header: column 'start' is there"),
    "two ends": ("id,lower,upper,end,size\na,0,1,1,2\n", "header: column 'end' is there twice"),
    "no rows": ("id,lower,upper,size\n", "no buffers"),
    "only comments": ("# nothing\n", "no header"),
    "short row": ("id,lower,upper,size\na,0,1,2\nb,0,1\n", "line 3: 3 fields; expected 4"),
    "long row": ("id,lower,upper,size\na,0,1,2,3\n", "line 2: 5 fields; expected 4"),
    "float": ("id,lower,upper,size\na,0,1,2.5\n", "line 2, column 'size': '2.5'; expected an int"),
    "exponent": ("id,lower,upper,size\na,0,1e3,2\n", "line 2, column 'upper': '1e3'"),
    "NaN": ("id,lower,upper,size\na,nan,1,2\n", "line 2, column 'lower': 'nan'"),
    "huge": ("id,lower,upper,size\na,0,1," + "9" * 500 + "\n", "line 2, column 'size': '999"),
    "other digits": ("id,lower,upper,size\na,0,1,\u0662\n", "line 2, column 'size'"),
    "empty cell": ("id,lower,upper,size\na,0,,2\n", "line 2, column 'upper': ''"),
    "vector clocks": ("id,lower,upper,size\na,0:1,1:2,2\n", "line 2, column 'lower': '0:1'"),
    "reversed": ("id,lower,upper,size\na,3,3,2\n", "buffer 'a': lifetime is empty"),
    "negative size": ("id,lower,upper,size\na,0,3,-2\n", "buffer 'a': size out of range"),
    "id twice": ("id,lower,upper,size\na,0,3,2\na,0,3,2\n", "buffer 'a': id used twice"),
    "gap": ("id,lower,upper,size,gaps\na,0,3,2,1-2\n", "line 2, column 'gaps': gap '1-2'"),
    "alignments": (
        "id,lower,upper,size,alignment\na,0,3,2,1\nb,0,3,2,0\n",
        "alignment 0",
    ),
    "alignment": ("id,lower,upper,size,alignment\na,0,3,2,0\n", "alignment 0"),
    "half a plan": ("id,lower,upper,size,offset\na,0,3,2,\nb,0,3,2,8\n", "line 2, column 'offset'"),
    "open quote": ('id,lower,upper,size\n"a,0,3,2\n', "malformed CSV: unexpected end"),
    "byte-order mark": (b"\xef\xbb\xbfid,lower,upper,size\na,0,3,2\n", "byte-order mark"),
    "latin-1": (
        "id,lower,upper,size\n\xe4,0,3,2\n".encode("latin-1"),
        "byte 20 .0xe4. is not UTF-8",
    ),
    "empty": (b"", "empty file"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_tables_are_named_in_one_line(read, tmp_path, case):
    text, message = MALFORMED[case]
    with pytest.raises(InstanceError, match=message) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path / 'buffers.csv'}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert os.listdir(tmp_path) == ["buffers.csv"]


def test_what_does_not_fit_a_table_is_not_written(read, tmp_path):
    problem = read("id,lower,upper,size\na,0,3,4\n")
    graph = OperatorGraph(
        *("g", ("o",), ("k",), np.zeros(1, np.int64), Ragged.of([[]]), Ragged.of([[0]])),
        *(("t",), np.ones(1, np.int64), np.ones(1, np.bool_), np.zeros(1, np.bool_)),
    )
    with pytest.raises(UsageError, match="a memory problem goes to JSON"):
        instances.write_csv(MemoryProblem(graph), tmp_path / "out.csv")
    with pytest.raises(UsageError, match="does not place the 1 buffers"):
        instances.write_csv(problem, tmp_path / "out.csv", AllocationPlan(np.zeros(2)))
    for name in ("\ud800", "a\rb", "a\nb", "\0"):
        with pytest.raises(UsageError, match="printable names only"):
            instances.write_csv(replace(problem, names=(name,)), tmp_path / "out.csv")
    assert os.listdir(tmp_path) == ["buffers.csv"]


def test_fixed_addresses(read, tmp_path):
    problem = read("id,lower,upper,size,fixed\na,0,3,4,\nb,2,9,5,16\nc,2,9,5,-1\n")
    assert problem.held.tolist() == [-1, 16, -1]
    instances.write_csv(problem, tmp_path / "out.csv")
    again = instances.read(tmp_path / "out.csv")
    assert instances.content_hash(again) == instances.content_hash(problem)
    none = read("id,lower,upper,size,fixed\na,0,3,4,\nb,2,9,5,-1\n")
    plain = read("id,lower,upper,size\na,0,3,4\nb,2,9,5\n")
    assert instances.content_hash(none) == instances.content_hash(plain)
    with pytest.raises(InstanceError, match=r"line 2, column 'fixed': 'x'"):
        read("id,lower,upper,size,fixed\na,0,3,4,x\n")
    with pytest.raises(InstanceError, match="fixed address -7"):
        read("id,lower,upper,size,fixed\na,0,3,4,-7\n")
    reserving = replace(problem, reserved=np.array([[0, 3, 4, 8]]))
    with pytest.raises(UsageError, match="no column for reserved ranges"):
        instances.write_csv(reserving, tmp_path / "out.csv")
