import json
import math
import re
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.markup import clean
from mapc.visual.figure import (
    Axis,
    Figure,
    Line,
    Points,
    Rects,
    Rule,
    Scale,
    Steps,
    Table,
    column,
)
from mapc.visual.svg import ROWS, draw, table
from oracles.markup_tree import Tree

TEXT = st.text(st.characters(), max_size=30) | st.sampled_from(
    ["<script>alert(1)</script>", '" onload="x', "</title></svg>", "]]>", "<!--", "\u202ex"]
)


def figure(text, **changed):
    """One of everything, with a text wherever there is one."""
    marks = (
        Rects(
            text("rects"), "c1", column([0, 2]), column([1, 4]), column([0, 3]), column([3, 8]),
            (text("first"), text("second")),
        ),
        Steps(text("steps"), "plan", column([0, 1, 4]), column([2, 5]), fill=True),
        Line(text("line"), "bound", column([0, 4]), column([1, 9]), dashed=True),
        Points(text("points"), "mark", column([1.5]), column([2.5]), (text("point"),)),
        Rule(text("rule"), "limit", "y", 8.5),
        Rule(text("upright"), "limit", "x", 2),
    )  # fmt: skip
    given_ = {
        "key": "one-of-each",
        "title": text("title"),
        "summary": text("summary"),
        "x": Axis.of_names(text("across"), [text(f"name {i}") for i in range(4)]),
        "y": Axis(text("up"), 0, 10, "bytes"),
        "marks": marks,
        "scale": Scale(text("scale"), 0.5, 2.5, "share"),
        "note": text("note"),
        "table": Table(
            text("caption"), (text("c"), text("d")), ((text("e"), 3), (None, 2.5)), ("", "bytes")
        ),
    }
    return Figure(**{**given_, **changed})


PLAIN = Tree(draw(figure(lambda name: name)))


def test_a_figure_has_everything():
    assert [e["text"] for e in PLAIN.of("title")] == [
        *("first", "second", "steps", "line", "point", "rule", "upright")
    ]
    assert len(PLAIN.of("rect")) == 2
    (svg,) = PLAIN.of("svg")
    assert svg["viewbox"] == "0 -10 4 10"
    assert svg["preserveaspectratio"] == "none"
    assert PLAIN.of("g", transform="scale(1,-1)")
    buttons = PLAIN.of("button")
    assert [b["aria-pressed"] for b in buttons] == ["true"] * 6
    assert all("disabled" in b for b in buttons)  # a script makes them work
    groups = [e["data-series"] for e in PLAIN.of("g") if "data-series" in e]
    assert groups == [b["data-series"] for b in buttons]
    texts = [e["text"] for e in PLAIN.of("bdi")]
    for text in ("title", "summary", "note", "across", "up", "caption", "scale", "name 2"):
        assert text in texts


@settings(max_examples=60)
@given(TEXT.filter(lambda text: clean(text) != ""), st.integers(0, 1))
def test_no_text_becomes_markup(text, digit):
    """The same elements with the same attributes, whatever the texts are."""
    found = Tree(draw(figure(lambda name: f"{text}{name}")))
    assert found.shape() == PLAIN.shape()
    assert found.others == []
    assert [e["text"] for e in found.of("title")] == [
        clean(f"{text}{e['text']}") for e in PLAIN.of("title")
    ]
    kept = ("x", "y", "width", "height", "d", "x1", "x2", "y1", "y2", "class", "viewbox")
    for mine, theirs in zip(found.elements, PLAIN.elements, strict=True):
        assert [mine.get(k) for k in kept] == [theirs.get(k) for k in kept]


def test_long_names_are_cut():
    assert len(draw(figure(lambda name: name + "x" * 10_000))) < 30_000


def test_low_values_at_the_top_need_no_turning():
    found = Tree(draw(figure(str, y=Axis("", 0, 10, down=True))))
    (svg,) = found.of("svg")
    assert svg["viewbox"] == "0 0 4 10"
    assert not [e for e in found.of("g") if "transform" in e]


def test_ticks_stand_where_their_values_are():
    found = Tree(draw(figure(str, x=Axis("", 100, 200), y=Axis("", 1, 1000, log=True))))
    places = {}
    for place, label in zip(found.elements, found.elements[1:], strict=False):
        if place["tag"] == "span" and label["tag"] == "bdi" and "style" in place:
            places[label["text"]] = place["style"]
    assert places["120"] == "left:20.0000%"
    assert places["200"] == "left:100.0000%"
    assert places["10"] == "bottom:33.3333%"
    assert places["1,000"] == "bottom:100.0000%"


def test_the_script_is_told_of_the_axes():
    axis = Axis("", 0, 2.0**40, "bytes")
    (plot,) = [e for e in Tree(draw(figure(str, y=axis))).elements if "data-y" in e]
    y = json.loads(plot["data-y"])
    assert y == {
        **{"unit": "bytes", "log": False, "names": [], "down": False},
        **{"factor": 2.0**28, "offset": 0.0},
    }
    assert json.loads(plot["data-x"])["names"] == [f"name {i}" for i in range(4)]


def test_rules_close_to_each_other_share_a_label():
    marks = tuple(Rule(f"r{c}", "limit", "y", at) for c, at in (("a", 5), ("b", 5.1), ("c", 9)))
    found = Tree(draw(figure(str, marks=marks)))
    assert len([e for e in found.of("div") if e.get("class") == "rl y"]) == 2
    texts = [e["text"] for e in found.of("bdi")]
    assert {"ra 5 B", "rb 5.1 B", "rc 9 B"} <= set(texts)


def test_a_rule_whose_name_has_its_value_does_not_say_it_twice():
    found = Tree(draw(figure(str, marks=(Rule("at step 7", "mark", "y", 5),))))
    assert [e["text"] for e in found.of("bdi")].count("at step 7") == 2  # legend and label


def test_marks_of_one_name_and_role_are_one_entry():
    one = Line("same", "c1", column([0, 1]), column([0, 1]))
    unnamed = Line("", "c1", column([0, 1]), column([0, 1]))
    found = Tree(draw(figure(str, marks=(one, one, unnamed), scale=None)))
    assert len(found.of("button")) == 1
    groups = [e["data-series"] for e in found.of("g") if "data-series" in e]
    assert groups == ["0", "0", "-1"]


def test_a_scale_says_its_ends():
    text = draw(figure(str, scale=Scale("load", 0.5, 2.5, "share")))
    assert "<span>50 %</span>" in text
    assert "<span>250 %</span>" in text
    assert "<span>1.00000001</span>" in draw(figure(str, scale=Scale("", 1, 1.00000001)))


ODD = (0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 1e-300)


@given(*[st.sampled_from(ODD)] * 4, st.booleans(), st.booleans(), st.booleans())
def test_odd_domains_break_nothing(a, b, c, d, log, down, marked):
    axes = {"x": Axis("x", a, b, log=log), "y": Axis("y", c, d, "bytes", log=log, down=down)}
    changed = axes | ({} if marked else {"marks": ()})
    found = Tree(draw(figure(str, scale=Scale("", a, b), height=0, **changed)))
    (svg,) = found.of("svg")
    box = [float(part) for part in svg["viewbox"].split()]
    assert all(map(math.isfinite, box))
    assert box[2] > 0
    assert box[3] > 0
    assert not re.search(r"(nan|inf)[%;]", " ".join(e.get("style", "") for e in found.elements))


def test_no_marks_no_names_no_table():
    empty = Figure("empty", "", "", Axis("", 0, 0), Axis.of_names("", []), ())
    found = Tree(draw(empty))
    assert not found.of("ul")
    assert not found.of("details")


# -- tables ----------------------------------------------------------------------------------------


CELLS = TEXT | st.none() | st.integers(-(10**15), 10**15) | st.floats()


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), TEXT)
def test_cells_hold_texts_and_exact_numbers(lines, text):
    found = Tree(table(Table(text, (text, "b"), tuple(lines), ("bytes", "ms"), text)))
    cells = [e for e in found.elements if e["tag"] == "td" or e.get("scope") == "row"]
    assert len(cells) == 2 * len(lines)
    assert {e["tag"] for e in found.elements} <= {
        *("div", "table", "caption", "bdi", "thead", "tr", "th", "tbody", "td", "p")
    }
    given_ = [cell for line in lines for cell in line]
    for cell, value in zip(cells, given_, strict=True):
        if isinstance(value, int | float):
            assert np.array_equal(float(cell["data-v"]), float(value), equal_nan=True)
            assert cell["class"] == "n"
        else:
            assert "data-v" not in cell
    texts = [e["text"] for e in found.of("bdi")]
    for value in given_:
        if isinstance(value, str):
            assert clean(value) in texts


def test_names_are_headers_of_their_rows():
    named = table(Table("", ("name", "x"), (("a", 1), ("", 2), (None, "b"))))
    assert re.findall('<th scope="row">(.*?)</th>', named) == ["<bdi>a</bdi>"]
    assert 'scope="row"' not in table(Table("", ("after", "x"), (("a", 1), (2.5, "b"))))


def test_long_tables_say_how_much_is_missing():
    rows = tuple((i,) for i in range(ROWS + 1))
    text = table(Table("", ("a",), rows, note="A note."))
    assert text.count("<tr>") == ROWS + 1
    assert "A note. 2,000 of 2,001 rows are shown." in text


# -- size ------------------------------------------------------------------------------------------


def many(n):
    rng = np.random.default_rng(0)
    x0, y0 = rng.integers(0, n, n), rng.integers(0, 2**23, n)
    x1, y1 = x0 + rng.integers(1, 60, n), y0 + rng.integers(1, 2**18, n)
    titles = tuple(
        f"conv2d_{i}: {int(y1[i] - y0[i]):,} B at {int(y0[i]):,}, steps {x0[i]} to {x1[i]}"
        for i in range(n)
    )
    marks = (Rects("", "c1", *(column(part) for part in (x0, x1, y0, y1)), titles),)
    return Figure("many", "", "", Axis("", 0, n + 60), Axis("", 0, 2**24, "bytes"), marks)


def test_five_thousand_rectangles_are_small():
    text = draw(many(5_000))
    assert len(text) < 1_200_000
    assert text.count("<rect") == 5_000


def test_what_is_only_heard_tells_plans_apart():
    picture = replace(figure(str), table=Table("caption", ("a",), ((1,),)))
    alone, whose = draw(picture), draw(picture, "b.json")
    assert "<h3><bdi>title</bdi></h3>" in alone
    assert 'role="group" aria-label="caption"' in alone
    assert 'data-key="key" aria-label' not in alone
    assert 'aria-label="title, b.json"' in whose
    assert 'role="group" aria-label="caption, b.json"' in whose
