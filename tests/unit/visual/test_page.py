import base64
import hashlib
import itertools
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.markup import clean
from mapc.solvers.base import Event
from mapc.visual.figure import Axis, Figure, Rects, Section, Table, column
from mapc.visual.page import page
from mapc.visual.view import Record, View
from oracles.markup_tree import Tree

TEXT = st.text(st.characters(), min_size=1, max_size=20) | st.sampled_from(
    [
        *("<script>alert(1)</script>", "</script><script>", "</style>", "</title><b>"),
        *('" onload="alert(1)', "]]>", "<!--", "-->", "\u202eevil", "a\x00b", "&lt;b&gt;"),
        "x" * 10_000,
    ]
)


def sections(text):
    marks = (
        Rects(text("kind"), "c1", *(column(c) for c in ([0], [2], [1], [3])), (text("mark"),)),
    )
    x, y = Axis(text("x"), 0, 4), Axis(text("y"), 0, 4, "bytes")
    figure = Figure("map", text("figure"), text("summary"), x, y, marks, note=text("note"))
    table = Table(text("caption"), (text("column"),), ((text("cell"),), (3,)), note=text("below"))
    return (Section("s", text("section"), text("paragraph"), (figure,), (table,)),)


def view(text=str, violations=(), **changed):
    trajectory = (
        Event(0.1, "bound", None, 1024, text("prover")),
        Event(0.2, "incumbent", 4096, 1024, text("finder")),
    )
    record = {
        "status": "feasible",
        "objective": 4096,
        "bound": 1024,
        "method": text("method"),
        "bound_method": text("bound method"),
        "seconds": 0.3,
        "reason": text("reason"),
        "notes": (text("a note"),),
        "asked": {"time_limit": 5.0, "seed": 3, "methods": [text("asked")]},
        "versions": {text("mapc"): text("1.0")},
        "command": text("command"),
        "trajectory": trajectory,
    }
    facts = {"name": text("net"), "peak_bytes": 2048, text("fact"): text("value")}
    return View(
        text("plan.json"), "memory", None, object(), Record(**(record | changed)), 4096, facts,
        violations, lambda value: f"{value / 1024:g} KiB", plan_file=text("plan.json"),
    )  # fmt: skip


def of(*views, text=str):
    return Tree(page(views, [sections(text) for _ in views]))


PLAIN = of(view(violations=("rule",)))


@settings(max_examples=40)
@given(TEXT.filter(lambda text: clean(text) != ""))
def test_no_text_becomes_markup(foreign):
    def text(name):
        return foreign + name

    found = of(view(text, violations=(text("rule"),)), text=text)
    assert found.shape() == PLAIN.shape()
    assert found.others == []
    for tag in ("script", "style"):
        assert found.of(tag) == PLAIN.of(tag)
    for mine, theirs in zip(found.of("rect"), PLAIN.of("rect"), strict=True):
        assert mine == theirs


def test_the_same_views_give_the_same_page():
    assert page([view()], [sections(str)]) == page([view()], [sections(str)])


def test_the_document():
    text = page([view()], [sections(str)])
    assert text.startswith('<!doctype html>\n<html lang="en">')
    (policy,) = re.findall('Content-Security-Policy" content="(.*?)"', text)
    (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in policy
    assert "default-src &#39;none&#39;" in policy
    found = Tree(text)
    assert "net (memory)" in found.of("title")[0]["text"]
    for element in found.elements:
        assert not {"src", "srcset", "action", "ping", "data"} & set(element)
        assert element.get("href", "#").startswith("#")
        assert not [name for name in element if name.startswith("on")]


def test_headings_and_landmarks_are_in_order():
    for views in ([view()], [view(), view()]):
        found = of(*views)
        levels = [int(e["tag"][1]) for e in found.elements if re.fullmatch("h[1-6]", e["tag"])]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        assert [len(found.of(tag)) for tag in ("header", "main", "footer")] == [1, 1, 1]
        ids = [e["id"] for e in found.elements if "id" in e]
        assert len(ids) == len(set(ids))
        assert found.of("a")[0]["href"] == "#report"


def test_what_a_page_says():
    texts = [e["text"] for e in PLAIN.elements]
    for expected in (
        *("4 KiB", "1 KiB", "75 %", "feasible", "method", "by bound method", "a note", "rule"),
        *("What was asked", "Gap over time", "Who found what when", "section", "command"),
        *(
            "2 KiB",
            "3",
            "5 s",
            "1.0",
            "mapc solve plan.json --time-limit 5 --seed 3 --method asked",
        ),
    ):
        assert expected in texts, expected


def boxes(found):
    return [e for e in found.of("div") if e.get("class") == "box"]


def test_warnings():
    assert boxes(of(view())) == []
    assert len(boxes(PLAIN)) == 1
    assert "Rules that the plan breaks" in [e["text"] for e in PLAIN.of("strong")]
    text = page([replace(view(), objective=8192)], [()])
    assert "The file says 4 KiB; replaying the plan gives 8 KiB." in text
    text = page([view(bound=8192)], [()])
    assert "The bound in the file, 8 KiB, is above what the plan comes to: it cannot hold." in text


def test_many_broken_rules_are_cut():
    found = of(view(violations=tuple(f"rule {i}" for i in range(60))))
    assert "and 10 more" in [e["text"] for e in found.elements]


@pytest.mark.parametrize("status", ["infeasible", "unknown"])
def test_a_run_without_a_plan(status):
    seen = replace(
        view(status=status, objective=None, trajectory=(), notes=()), plan=None, objective=None
    )
    text = page([seen])
    assert "reason" in text
    assert "Nothing is known of its steps." in text
    assert Tree(text).of("figure") == []


def test_several_plans():
    other = replace(view(bound=2048), label="other.json")
    found = of(view(), other, replace(other, label="third.json"))
    texts = [e["text"] for e in found.elements]
    assert "Side by side" in texts
    for name in ("plan.json", "other.json", "third.json"):
        assert f"How to do it again: {name}" in texts
        assert f"{name}: objective" in texts
    assert [e["text"] for e in found.of("h2")][:3] == [
        "Side by side",
        "What was asked",
        "How the runs went",
    ]
    assert texts.count("The run") == texts.count("The plan") == 3
    tables = [e["aria-label"] for e in found.of("div") if e.get("class") == "table"]
    assert len(tables) == len(set(tables)) >= 7
    named = [e["aria-label"] for e in found.of("figure") if e["data-key"] == "map"]
    assert named == [f"figure, {name}" for name in ("plan.json", "other.json", "third.json")]
    assert len([e for e in found.of("figure") if e["data-key"] == "map"]) == 3


def test_a_real_plan_has_its_own_pictures():
    from mapc import generate, solve
    from mapc.visual.loading import of_result

    problem = generate("bits", groups=5, seed=0)
    found = Tree(page([of_result(problem, solve(problem, time_limit=None), "bits")]))
    headings = [e["text"] for e in found.of("h2")]
    assert headings[:2] == ["What was asked", "How the run went"]
    assert len(found.of("figure")) >= 1
    texts = [e["text"] for e in found.elements]
    told = ["The problem", "groups", "The run", "time limit", "The plan", "mixed formats"]
    places = [texts.index(text) for text in told]
    assert places == sorted(places)
    assert "mapc.solve(problem, time_limit=None, seed=0)" in texts
    assert "plan file" not in " ".join(texts)
