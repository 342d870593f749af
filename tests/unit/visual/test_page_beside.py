import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapc.units import format_bytes
from mapc.visual.figure import Axis, Figure, Line, Scale, Section, Table, column
from mapc.visual.page_beside import beside, common, difference, differences
from mapc.visual.view import Record, View


def picture(high=10.0, unit="bytes", scale=None, names=(), log=False):
    y = Axis.of_names("y", names) if names else Axis("y", 1, high, unit, log=log)
    line = Line("line", "plan", column([0, 1]), column([1, high]))
    return Figure("map", "The map", "", Axis("x", 0, high), y, (line,), scale=scale)


def view(label="a.json", objective=10, name="net", **facts):
    facts = {"name": name, **facts}
    record = Record(status="optimal", bound=objective, seconds=1.5)
    return View(label, "memory", None, object(), record, objective, facts, (), format_bytes)


def section(key="s", text="", figures=(), tables=()):
    return Section(key, f"Section {key}", text, tuple(figures), tuple(tables))


def test_pictures_of_one_thing_have_common_axes():
    small, large = common([picture(10), picture(30)])
    assert small.x == large.x == Axis("x", 0, 30)
    assert small.y == large.y == Axis("y", 1, 30, "bytes")


def test_and_a_common_scale():
    first, second = common([picture(scale=Scale("a", 1, 2)), picture(scale=Scale("b", 0, 1.5))])
    assert first.scale == second.scale == Scale("a", 0, 2)


@pytest.mark.parametrize(
    "other",
    [
        picture(30, unit="ms"),
        picture(30, names=("a", "b")),
        picture(30, log=True),
        picture(30, scale=Scale("", 0, 1)),
    ],
)
def test_pictures_of_different_things_keep_their_axes(other):
    found = common([picture(10), other, picture(20)])
    assert found[1] is other
    assert found[0].y == found[2].y == Axis("y", 1, 20, "bytes")


def test_one_plan_has_its_sections_in_order():
    table = Table("A table", ("a",), ((1,),))
    found = beside([view()], [(section("b", "Text.", [picture()]), section("a", tables=[table]))])
    assert re.findall("<h2><bdi>(.*?)</bdi></h2>", found) == ["Section b", "Section a"]
    assert "Text." in found
    assert found.count("<figure") == 1
    assert "A table" in found
    assert "which" not in found


@pytest.mark.parametrize("count", [2, 3])
def test_several_plans_share_sections(count):
    views = [view(f"{i}.json") for i in range(count)]
    sections = [(section(text="Text.", figures=[picture(10 * (i + 1))]),) for i in range(count)]
    found = beside(views, sections)
    assert found.count("<h2>") == 1
    assert found.count("Text.") == 1
    assert found.count("<figure") == count
    assert re.findall('class="which"><bdi>(.*?)</bdi>', found) == [
        f"{i}.json" for i in range(count)
    ]
    assert set(re.findall('viewBox="(.*?)"', found)) == {
        f"0 -{10 * count} {10 * count} {10 * count - 1}"
    }


def test_what_only_one_plan_has_is_shown_of_it():
    found = beside([view("a.json"), view("b.json")], [(section("x"),), (section("y"),)])
    assert re.findall("<h2><bdi>(.*?)</bdi></h2>", found) == ["Section x", "Section y"]


def test_plans_without_pictures_have_nothing():
    assert beside([view(), view()], [(), ()]) == ""


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_differences_of_numbers(first, second):
    text = difference(first, second)
    if first == second:
        assert text == "none"
        return
    change = int(text.split()[0].replace(",", ""))
    assert change == second - first
    assert text[0] in "+-"


@pytest.mark.parametrize("pair", [("a", 1), (1, None), (True, 2), (float("nan"), 1), ([1], [2])])
def test_no_difference_of_what_is_no_number(pair):
    assert difference(*pair) is None


def test_the_table_of_two_has_differences_in_their_units():
    found = differences([view(peak_bytes=2048), view("b.json", 12, peak_bytes=1024)])
    rows = re.findall("<tr>(.*?)</tr>", found)
    texts = [re.sub("<[^>]+>", "|", row).strip("|") for row in rows]
    texts = [re.sub(r"\|+", "|", text) for text in texts]
    assert texts[0] == "figure|a.json|b.json|difference"
    assert "objective|10 B|12 B|+2 B (+20 %)" in texts
    assert "peak used|2 KiB|1 KiB|-1 KiB (-50 %)" in texts
    assert "different instances" not in found


def test_only_single_numbers_are_compared_and_of_problems_those_that_differ():
    import mapc

    problem = mapc.generate("allocation", buffers=4, seed=1)
    known = {"buffers": 4, "capacity_bytes": 64, "moves": 1, "listed": [1], "told": "x", "no": None}
    first = replace(view(**known), problem=problem)
    second = replace(view("b.json", **known | {"capacity_bytes": 128}), problem=problem)
    labels = re.findall('<tr><th scope="row"><bdi>(.*?)</bdi>', differences([first, second]))
    assert labels[-2:] == ["capacity", "moves"]
    assert "buffers" not in labels


def test_three_have_no_differences_and_instances_are_told_apart():
    found = differences([view(), view("b.json"), view("c.json", name="other", more=1)])
    assert "difference<" not in found
    assert "different instances" in found
    assert re.search(r"<bdi>more</bdi></th>.*?1</", found)
