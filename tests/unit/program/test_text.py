import os
import re
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.program import Program
from mapc.program.text import column_names, number, numbers, replacing, row_names, write_whole

SAFE = re.compile(r"[A-Za-df-z][A-Za-z0-9_.]*")
titles = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["x", "x__2", "x.0", "inf", "NaN", "e5", "free", "3d", "a b", "a_b", "st"]),
)


@given(st.lists(st.tuples(titles, st.sampled_from([1, 2, (2, 2), (), (3, 1, 2), 0])), max_size=6))
def test_names_are_unique_and_safe_whatever_the_blocks_are_called(blocks):
    program = Program()
    for title, shape in blocks:
        program.variables(shape, name=title)
    names = column_names(program)
    assert len(names) == program.n_columns == len(set(names))
    for title, _ in blocks:
        if program.n_columns:
            program.rows([[0], [0]], name=title)
    rows = row_names(program)
    assert len(rows) == program.n_rows == len(set(rows))
    for name in names + rows:
        assert SAFE.fullmatch(name)
        assert not re.match("inf|nan", name, re.IGNORECASE)
        assert "." in name  # which no keyword of the formats has
        assert len(name) < 100


def test_names_follow_the_numbering_of_the_columns():
    program = Program()
    program.variables((2, 2), name="keep")
    program.variables(1, name="peak bytes")
    program.variables(1, name="keep")
    assert column_names(program) == [
        "keep.0.0",
        "keep.0.1",
        "keep.1.0",
        "keep.1.1",
        "peak_bytes.0",
        "keep__2.0",
    ]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_numbers_read_back_as_they_were(values):
    words = numbers(np.array(values))
    assert [float(w) for w in words] == values
    assert words == [number(v) for v in values]


def test_whole_numbers_are_written_without_a_point():
    assert [number(v) for v in (3.0, -2.0, 0.0, 1e14, 0.1)] == [
        "3",
        "-2",
        "0",
        "100000000000000",
        "0.1",
    ]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "model.lp"
    write_whole(path, "old\n")

    def fail():
        with replacing(path, ".lp") as temporary:
            temporary.write_text("half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["model.lp"]
    write_whole(path, "new\n")
    assert path.read_text() == "new\n"
    assert os.listdir(tmp_path) == ["model.lp"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_whole(tmp_path / "model.lp", "x")
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("plain", "model.lp")]
    assert modes[0] == modes[1]


def test_a_missing_folder_is_told_apart_from_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_whole(tmp_path / "none" / "model.lp", "x")
