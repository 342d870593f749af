import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.cli.tables import columns, middle_cut
from mapc.cli.terminal import cells

numbers = st.integers(-(10**9), 10**9).map(lambda value: f"{value:,}")


@given(
    st.lists(st.text("abc.ü漢", min_size=1, max_size=90), min_size=1, max_size=3),
    st.integers(1, 12),
    st.integers(60, 120),
    st.data(),
)
def test_every_number_is_whole_and_every_line_fits(names, count, width, data):
    rows = len(names)
    table = {"name": names}
    for at in range(count):
        column = data.draw(st.lists(numbers, min_size=rows, max_size=rows))
        table[f"column{at}"] = column
    blocks = [text.split("\n") for text in columns(table, width).split("\n\n")]
    assert max(cells(line) for block in blocks for line in block) <= width
    assert len({block[0].split()[0] for block in blocks}) == 1  # each begins with the names
    header = [word for block in blocks for word in block[0].split()[1:]]
    assert header == [name for name in table if name != "name"]
    for at in range(rows):
        said = [word for block in blocks for word in block[at + 1].split()[1:]]
        assert said == [column[at] for name, column in table.items() if name != "name"]


@given(st.text("ab漢", max_size=60), st.integers(3, 40))
def test_middle_cut(text, width):
    short = middle_cut(text, width)
    assert cells(short) <= width
    assert short == text if cells(text) <= width else "..." in short


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (52, "a long name of 28 characters  1234567890  1234567890"),
        (51, "a long name of 28 characters 1234567890 1234567890"),
        (44, "a long nam...haracters 1234567890 1234567890"),
    ],
)
def test_closer_columns_then_shorter_names(width, expected):
    number = ["1234567890"]
    table = {"n": ["a long name of 28 characters"], "x": number, "y": number}
    assert columns(table, width).split("\n")[1:] == [expected]


def test_what_does_not_fit_stands_below():
    table = {"n": ["name"], **{f"c{i}": ["1234567890"] for i in range(4)}}
    assert columns(table, 32).split("\n\n") == [
        "n             c0          c1\nname  1234567890  1234567890",
        "n             c2          c3\nname  1234567890  1234567890",
    ]
