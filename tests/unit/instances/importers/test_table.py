from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.errors import InstanceError
from mapc.instances.importers import import_table

TABLE = """\
# made by hand
group, format, loss, size, latency[us], weights, tie, allowed
conv1, int4, 2.5, 256, 10, 64, t, 1
conv1, int8, 0.5, 512, 20, 64, t, 1
conv2, int4, 1e-3, 128, 5, , t, 1
conv2, int8, 0, 256, 9, 32, t, no
head, bf16, 0, 1600, 3, 100, ,
"""


def write(folder: Path, text: str, name: str = "net.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_rows_become_options(tmp_path: Path) -> None:
    problem = import_table(write(tmp_path, TABLE))
    assert problem.name == "net"
    assert problem.groups == ("conv1", "conv2", "head")
    assert problem.formats == ("int4", "int8", "bf16")
    assert problem.start.tolist() == [0, 2, 4, 5]
    assert problem.loss.tolist() == [2.5, 0.5, 0.001, 0.0, 0.0]
    assert problem.resources == ("size", "latency")
    assert problem.units == ("bits", "us")
    assert problem.cost.tolist() == [[256, 512, 128, 256, 1600], [10, 20, 5, 9, 3]]
    assert problem.weights.tolist() == [64, 32, 100]
    assert problem.allowed.tolist() == [True, True, True, False, True]
    assert [problem.ties[i].tolist() for i in range(len(problem.ties))] == [[0, 1]]
    assert problem.budget == (None, None)
    assert problem.provenance == {"source": "net.csv", "format": "table"}


def test_json_holds_the_same_rows(tmp_path: Path) -> None:
    rows = [
        {"group": "a", "format": "int4", "loss": 2, "size": 4, "time": 1, "weights": 1},
        {"group": "b", "format": "int4", "loss": 1.5, "size": 8, "time": 2, "allowed": True},
        {"group": "b", "format": "x", "loss": 1.5, "size": 8, "time": 2, "allowed": False},
    ]
    bare = import_table(write(tmp_path, json.dumps(rows), "bare.json"))
    assert bare.name == "bare"
    assert bare.allowed.tolist() == [True, True, False]
    more = {"rows": rows, "name": "n", "units": {"time": "ns"}, "budget": {"size": 9}}
    full = import_table(write(tmp_path, json.dumps({**more, "ties": [["b", "a"]]}), "full.json"))
    assert full.name == "n"
    assert full.units == ("bits", "ns")
    assert full.budget == (9, None)
    assert full.ties[0].tolist() == [1, 0]
    assert full.cost.tolist() == bare.cost.tolist() == [[4, 8, 8], [1, 2, 2]]


@settings(deadline=None, max_examples=30)
@given(
    st.dictionaries(
        st.text("abc_.0", min_size=1, max_size=4),
        st.dictionaries(
            st.sampled_from(["int2", "int4", "int8"]),
            st.tuples(st.floats(0, 1e6), st.integers(0, 2**40)),
            min_size=1,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_csv_and_json_agree(
    tmp_path_factory: pytest.TempPathFactory,
    groups: dict[str, dict[str, tuple[float, int]]],
) -> None:
    folder = tmp_path_factory.mktemp("table")
    rows = [
        {"group": g, "format": f, "loss": loss, "size": size}
        for g, options in groups.items()
        for f, (loss, size) in options.items()
    ]
    lines = ["group,format,loss,size", *(",".join(map(str, row.values())) for row in rows)]
    by_csv = import_table(write(folder, "\n".join(lines), "t.csv"))
    by_json = import_table(write(folder, json.dumps(rows), "t.json"))
    assert by_csv.groups == by_json.groups == tuple(groups)
    assert by_csv.loss.tolist() == by_json.loss.tolist() == [r["loss"] for r in rows]
    assert by_csv.cost[0].tolist() == by_json.cost[0].tolist() == [r["size"] for r in rows]


def test_rows_of_a_group_need_not_stand_together(tmp_path: Path) -> None:
    text = "group,format,loss,size,tie,weights\na,int8,1,8,t,\nb,int4,2,4,u,\na,int4,3,5,,7\n"
    problem = import_table(write(tmp_path, text + "c,int4,4,6,t,3\n"))
    assert problem.groups == ("a", "b", "c")
    assert problem.start.tolist() == [0, 2, 3, 4]
    assert [problem.formats[i] for i in problem.format_of.tolist()] == ["int8", *["int4"] * 3]
    assert problem.loss.tolist() == [1, 3, 2, 4]
    assert problem.cost.tolist() == [[8, 5, 4, 6]]
    assert problem.weights.tolist() == [7, 0, 3]
    assert [problem.ties[i].tolist() for i in range(len(problem.ties))] == [[0, 2]]


def test_signs_and_blanks_around_numbers(tmp_path: Path) -> None:
    problem = import_table(write(tmp_path, HEAD + "a, int4 ,+1e0, +4\na,int8, 0 ,-0\n"))
    assert problem.formats == ("int4", "int8")
    assert problem.loss.tolist() == [1, 0]
    assert problem.cost.tolist() == [[4, 0]]


HEAD = "group,format,loss,size\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "table: no options"),
        (HEAD, "table: no options"),
        ("group,format,size\na,int4,4\n", "line 1: no column 'loss'"),
        ("group,format,loss,loss\na,int4,4,4\n", "line 1: a column without a name, or one twice"),
        ("group,format,loss,\na,int4,4,4\n", "line 1: a column without a name"),
        (HEAD + "a,int4,1\n", "line 2: 3 fields; expected 4 as in the header"),
        (HEAD + "a,int4,1,4\n\na,int8,1,4,5\n", "line 4: 5 fields"),
        (HEAD + ",int4,1,4\n", "line 2: column 'group': ''"),
        (HEAD + "a,,1,4\n", "line 2: column 'format': ''"),
        (HEAD + "a,int4,-1,4\n", "line 2: column 'loss': '-1'"),
        (HEAD + "a,int4,nan,4\n", "line 2: column 'loss': 'nan'"),
        (HEAD + "a,int4,inf,4\n", "line 2: column 'loss': 'inf'"),
        (HEAD + "a,int4,,4\n", "line 2: column 'loss': ''"),
        (HEAD + "a,int4,x,4\n", "line 2: column 'loss': 'x'"),
        (HEAD + "a,int4,1,4.5\n", "line 2: column 'size': '4.5'; expected a whole number"),
        (HEAD + "a,int4,1,-4\n", "line 2: column 'size': '-4'"),
        (HEAD + "a,int4,1,\n", "line 2: column 'size': ''"),
        (HEAD + "a,int4,1,1e3\n", "line 2: column 'size': '1e3'"),
        (HEAD + "a,int4,1,9999999999999999999\n", "line 2: column 'size'"),
        (HEAD + "a,int4,1,999999999999999999\n", "group 'a'"),
        (HEAD + "a,int4,1,4\na,int4,1,4\n", "line 3: group 'a': format 'int4' twice"),
        (
            "group,format,loss,weights\na,int4,1,4\na,int8,1,5\n",
            "line 3: column 'weights': 5 where an earlier row of group 'a' has 4",
        ),
        ("group,format,loss,tie\na,int4,1,s\na,int8,1,t\n", "line 3: column 'tie': 't' where"),
        ("group,format,loss,allowed\na,int4,1,maybe\n", "line 2: column 'allowed': 'maybe'"),
        ("group,format,loss,allowed\na,int4,1,0\n", "group 'a': every option is forbidden"),
        ("group,format,loss,tie\na,int4,1,t\nb,int8,1,t\n", "no allowed format in common"),
        ("group,format,loss,time[us\na,int4,1,4\n", "header: column 'time[us'"),
        (HEAD + 'a,"int4,1,4\n', "malformed CSV"),
        # lines count as editors count them, whatever stands between
        ("# c\n\n" + HEAD + '\n"a\nb",int4,1,4\n\na,int8,x,4\n', "line 8: column 'loss': 'x'"),
        # of several the first row is told, whatever its column
        (HEAD + "a,int4,1,x\na,int8,y,8\n,int2,1,4\n", "line 2: column 'size': 'x'"),
        (HEAD + "a,int4,1,4\na,int4,y,8\n", "line 3: group 'a': format 'int4' twice"),
        (HEAD + "a,int4,1,4\nb,int4,1,4\na,int4,1,4\nb,int4,1,4\n", "line 4: group 'a'"),
        (HEAD + "a,int4,1,4\na,int8,1\n,int2,1,4\n", "line 3: 3 fields"),
        (
            "group,format,loss,tie\na,x,1,\nb,x,1,s\na,y,1,t\nb,y,1,\na,z,1,s\n",
            "line 6: column 'tie': 's' where an earlier row of group 'a' has 't'",
        ),
    ],
)
def test_malformed_tables_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InstanceError) as caught:
        import_table(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


ROW = {"group": "a", "format": "int4", "loss": 1, "size": 4}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[", "malformed JSON"),
        ("[]", "rows: no rows"),
        ("{}", "rows: no rows"),
        ([1], "rows: no rows"),
        ({"rows": [ROW], "colour": 1}, "'colour': no such member"),
        ([{**ROW, "loss": "x"}], "rows[0]: column 'loss': 'x'"),
        ([{**ROW, "loss": True}], "rows[0]: column 'loss': True"),
        ([{**ROW, "loss": None}], "rows[0]: column 'loss': None"),
        ([{**ROW, "loss": [1]}], "rows[0]: column 'loss': [1]"),
        ([{**ROW, "size": 4.0}], "rows[0]: column 'size': 4.0"),
        ([{**ROW, "size": True}], "rows[0]: column 'size': True"),
        ([{**ROW, "size": -4}], "rows[0]: column 'size': -4; expected a whole number >= 0"),
        ([{**ROW, "size": 2**63}], f"column 'size': {2**63}; expected 0 to {2**50}"),
        ([{**ROW, "weights": 2**63}], f"column 'weights': {2**63}; expected 0 to {2**50}"),
        ([{**ROW, "allowed": None}], "rows[0]: column 'allowed': None; expected 1 or 0"),
        ([{**ROW, "allowed": 1.0}], "rows[0]: column 'allowed': 1.0; expected 1 or 0"),
        ([ROW, {**ROW, "format": "x", "allowed": [1]}], "rows[1]: column 'allowed': [1]"),
        ([ROW, {"group": "b", "format": "x", "loss": 1}], "rows[1]: column 'size': None"),
        ([{"group": "a", "loss": 1}], "no column 'format'"),
        ([{**ROW, "group": 3}], "rows[0]: column 'group': 3"),
        ({"rows": [ROW], "units": {"time": "s"}}, "units 'time': no such resource"),
        ({"rows": [ROW], "units": 3}, "units: 3"),
        ({"rows": [ROW], "budget": {"time": 3}}, "budget 'time': no such resource"),
        ({"rows": [ROW], "budget": {"size": 3.5}}, "budget: {'size': 3.5}"),
        ({"rows": [ROW], "budget": {"size": -1}}, "budget -1"),
        ({"rows": [ROW], "ties": [["a", "z"]]}, "ties[0]: no group 'z'"),
        ({"rows": [ROW], "ties": 3}, "ties: 3"),
        ({"rows": [ROW], "ties": [[["a"]]]}, "ties[0]: no group ['a']"),
    ],
)
def test_malformed_json_is_refused_in_one_line(tmp_path: Path, document: Any, message: str) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    path = write(tmp_path, text, "t.json")
    with pytest.raises(InstanceError) as caught:
        import_table(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="cannot be read"):
        import_table(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"group,format,loss\n\xe9,int4,1\n")
    with pytest.raises(InstanceError, match="not UTF-8"):
        import_table(tmp_path / "latin.csv")
