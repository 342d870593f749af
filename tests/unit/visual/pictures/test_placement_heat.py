from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.visual.pictures.placement_heat import MAX_CELLS, Side, block_edges, heat, merged

CHECKED = settings(max_examples=60, deadline=None, derandomize=True)


def side(n: int, noun: str = "row", **more: str) -> Side:
    return Side(noun, f"{noun}s", tuple(str(i) for i in range(n)), **more)  # type: ignore[arg-type]


def say(value: float) -> str:
    return f"{value:g}"


@CHECKED
@given(st.integers(1, 200), st.integers(1, 400), st.integers(1, 5_000))
def test_blocks_are_no_more_than_asked_and_cover_everything(n: int, m: int, most: int) -> None:
    rows, columns = block_edges((n, m), most)
    assert (len(rows) - 1) * (len(columns) - 1) <= most
    for edges, size in ((rows, n), (columns, m)):
        assert edges[0] == 0
        assert edges[-1] == size
        assert (np.diff(edges) > 0).all()
        assert len(set(np.diff(edges)[:-1])) <= 1
    if n * m <= most:
        assert (len(rows), len(columns)) == (n + 1, m + 1)


@CHECKED
@given(st.integers(0, 2**20), st.integers(1, 12), st.integers(1, 12), st.integers(1, 30))
def test_blocks_keep_the_largest_value_and_the_sum(seed: int, n: int, m: int, most: int) -> None:
    values = np.random.default_rng(seed).integers(0, 100, (n, m)).astype(float)
    rows, columns = block_edges((n, m), most)
    top, total = (merged(values, rows, columns, by) for by in (np.fmax, np.add))
    for r in range(len(rows) - 1):
        for c in range(len(columns) - 1):
            block = values[rows[r] : rows[r + 1], columns[c] : columns[c + 1]]
            assert top[r, c] == block.max()
            assert total[r, c] == block.sum()


def test_a_small_table_is_drawn_cell_by_cell() -> None:
    rects, note = heat(np.array([[1.0, np.nan], [3.0, 4.0]]), side(2), side(2, "column"), say)
    assert note == ""
    assert rects.values is not None
    assert rects.values.tolist() == [1, 3, 4]
    assert list(zip(rects.x0, rects.x1, rects.y0, rects.y1, strict=True)) == [
        (0, 1, 0, 1),
        (0, 1, 1, 2),
        (1, 2, 1, 2),
    ]
    assert rects.titles == ("row 0, column 0: 1", "row 1, column 0: 3", "row 1, column 1: 4")


def test_a_large_table_is_merged_and_says_so() -> None:
    values = np.arange(100.0 * 200).reshape(100, 200)
    rects, note = heat(values, side(100), side(200, "column"), say)
    assert rects.values is not None
    assert len(rects.values) <= MAX_CELLS
    assert rects.values.max() == values.max()
    assert note == "Each cell shows the largest value of 2 x 3 (rows x columns)."
    assert rects.titles[0] == "rows 0 to 1, columns 0 to 2: at most 202"
    assert float(((rects.x1 - rects.x0) * (rects.y1 - rects.y0)).sum()) == values.size


def test_a_large_table_with_few_cells_stays_as_it_is() -> None:
    values = np.full((200, 200), np.nan)
    values[17, 3] = 2.0
    rects, note = heat(values, side(200), side(200, "column"), say)
    assert note == ""
    assert rects.titles == ("row 17, column 3: 2",)


def test_names_replace_noun_and_number() -> None:
    named = Side("rank", "ranks", ("<a>", "b"), ("a?", "b"), "from ")
    assert named.blocks([0, 1, 2]) == ["from a?", "from b"]
    assert named.blocks([0, 2]) == ["from ranks a? to b"]
    assert named.axis().names == ("<a>", "b")
    assert named.axis("to", down=True).down


@pytest.mark.parametrize("by", [np.fmax, np.add])
def test_one_cell(by: np.ufunc) -> None:
    rects, _ = heat(np.ones((1, 1)), side(1), side(1), say, by=by)
    assert rects.titles == ("row 0, row 0: 1",)
