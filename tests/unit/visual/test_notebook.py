"""Results and plans in notebooks: numbers of theirs, inert whatever they are called."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mapc
from mapc.graph.operators import IntArray
from mapc.models.allocation.plan import AllocationPlan
from mapc.models.bits.plan import BitsPlan
from mapc.models.memory.plan import MemoryPlan
from mapc.models.placement.plan import PlacementPlan
from mapc.models.sequence.plan import SequencePlan
from mapc.solvers.base import Event, Status
from mapc.solvers.result import Result
from mapc.visual.figure import Axis, Figure, Steps, column
from mapc.visual.notebook import HEIGHT, WIDTH, picture, position, result_html

ALLOWED = {
    *("div", "p", "b", "bdi", "table", "tbody", "tr", "th", "td", "br"),
    *("svg", "title", "line", "text", "path"),
}


class Shown(HTMLParser):
    """Tags, and the cells of tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag == "br":
            self.handle_data(" | ")
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def table(self) -> dict[str, str]:
        assert {len(row) for row in self.rows} == {2}
        return {row[0]: row[1] for row in self.rows}


def ints(*values: int) -> IntArray:
    return np.array(values, dtype=np.int64)


EVENTS = (
    Event(0.1, "incumbent", 40, None, "greedy"),
    Event(0.2, "bound", 40, 10, "cut"),
    Event(0.4, "incumbent", 30, 10, "search"),
)
RESULT = Result(
    kind="memory",
    status=Status.FEASIBLE,
    plan=None,
    objective=30,
    bound=24,
    method="search",
    bound_method="cut",
    seconds=0.51239,
    notes=("highs: not installed", "seed 3"),
    trajectory=EVENTS,
    phrase=lambda value: f"{value} B extra",
)


def test_the_numbers_are_those_of_the_result() -> None:
    shown = Shown(RESULT._repr_html_())
    assert shown.table == {
        "family": "memory",
        "status": "feasible",
        "objective": "30 B extra",
        "bound": "24 B extra, by cut",
        "gap": "20 %",
        "method": "search",
        "time": "0.512 s",
        "notes": "highs: not installed | seed 3",
    }
    assert shown.text.startswith(str(RESULT))


def test_a_run_without_a_plan_says_why() -> None:
    result = Result("bits", Status.INFEASIBLE, reason="budget 'size': too small", interrupted=True)
    shown = Shown(result_html(result))
    assert shown.table == {
        "family": "bits",
        "status": "infeasible",
        "time": "0 s",
        "interrupted": "yes",
        "reason": "budget 'size': too small",
    }
    assert "svg" not in shown.tags


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "</td></table><svg onload=alert(1)>",
        "\u202eevil\u2066\x00",
        "x" * 10_000,
    ],
)
def test_hostile_text_stays_text(text: str) -> None:
    event = Event(0.3, "incumbent", 20, 10, text)
    result = Result(
        kind=text,
        status=Status.FEASIBLE,
        objective=20,
        bound=10,
        method=text,
        bound_method=text,
        reason=text,
        notes=(text, text),
        trajectory=(*EVENTS, event),
        phrase=lambda value: f"{value} {text}",
    )
    html = result._repr_html_()
    shown = Shown(html)
    assert set(shown.tags) <= ALLOWED
    assert not {name for name in shown.attributes if name.startswith("on") or name == "src"}
    assert len(html) < 20_000
    assert not set("\x00\u202e\u2066") & set(html)


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
@settings(max_examples=60)
def test_html_parses_whatever_is_said(reason: str, notes: list[str]) -> None:
    shown = Shown(Result("bits", Status.UNKNOWN, reason=reason, notes=tuple(notes))._repr_html_())
    assert set(shown.tags) <= ALLOWED


def test_what_mapc_solve_returns_is_shown() -> None:
    problem = mapc.generate("bits", groups=6, seed=1)
    result = mapc.solve(problem, time_limit=None)
    shown = Shown(result._repr_html_())
    assert shown.table["objective"] == result.phrase(result.objective)
    assert shown.table["status"] == "optimal"
    assert shown.table["gap"] == "0 %"


# -- the picture ---------------------------------------------------------------------------------


def paths(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    assert root.attrib["viewBox"] == f"0 0 {WIDTH} {HEIGHT}"
    return [node.attrib["d"] for node in root.iter() if node.tag.endswith("path")]


def test_the_picture_is_the_step_functions() -> None:
    figure = Figure(
        key="k",
        title="T",
        summary="S.",
        x=Axis("x", 0.0, 4.0),
        y=Axis("y", 0.0, 10.0),
        marks=(Steps("s", "plan", column([0, 1, 2, 3, 4]), column([10, 5, math.nan, 0])),),
    )
    way, key = paths(picture(figure))
    across, up = (WIDTH - 92 - 14) / 4, (HEIGHT - 22 - 24) / 10
    bottom = HEIGHT - 24
    numbers = [float(n) for n in re.findall(r"[\d.]+", way)]
    assert re.sub(r"[\d.]+", "", way) == "M HVHM H"
    expected = [92, bottom - 10 * up, 92 + across, bottom - 5 * up, 92 + 2 * across]
    expected += [92 + 3 * across, bottom, 92 + 4 * across]
    assert numbers == pytest.approx(expected, abs=0.01)
    assert key.endswith("h20")


def test_the_picture_of_a_result_is_well_formed_and_names_its_lines() -> None:
    html = RESULT._repr_html_()
    svg = html[html.index("<svg") : html.index("</svg>") + 6]
    assert len(paths(svg)) == 4
    words = [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]
    assert {"bound", "objective"} <= set(words)
    assert "currentColor" in svg


def test_positions_on_both_kinds_of_axes() -> None:
    assert position(Axis("x", 2.0, 4.0), column([2, 3, 4])).tolist() == [0.0, 0.5, 1.0]
    log = position(Axis("x", 0.01, 1.0, log=True), column([0.0, 0.01, 0.1, 1]))
    assert log == pytest.approx([0, 0, 0.5, 1])


# -- plans ---------------------------------------------------------------------------------------


def test_a_memory_plan_says_what_it_holds() -> None:
    plan = MemoryPlan(
        order=ints(0, 1, 0, 2),
        tensor=ints(0, 1, 0),
        start=ints(0, 1, 3),
        stop=ints(1, 4, 4),
        address=ints(0, 8, 0),
        written=np.array([True, False, False]),
        workspace_address=ints(-1, -1, -1, -1),
        streamed=np.array([[1, 2]]),
    )
    assert Shown(plan._repr_html_()).table == {
        "steps": "4",
        "operators run again": "1",
        "tensors kept": "2",
        "residencies": "3",
        "residencies after the first of their tensor": "1",
        "residencies written out": "1",
        "inputs read from off-chip": "1",
        "banks used": "1",
    }


def test_an_allocation_says_what_it_holds() -> None:
    shown = Shown(AllocationPlan(ints(0, 4096, 16), ints(0, 1, 0))._repr_html_())
    assert shown.table == {"buffers": "3", "highest address": "4,096 B", "banks used": "2"}
    assert Shown(AllocationPlan(ints())._repr_html_()).table["highest address"] == "none"


def test_a_choice_of_formats_shows_its_options() -> None:
    assert Shown(BitsPlan(ints(1, 4))._repr_html_()).table == {"groups": "2", "options": "1, 4"}
    long = Shown(BitsPlan(np.arange(1_000))._repr_html_()).table
    assert long["groups"] == "1,000"
    assert long["options"].endswith("18, 19, …")


def test_a_placement_counts_replicas() -> None:
    slots = np.array([[[0, 1], [2, 0], [-1, -1]], [[1, 2], [0, 1], [-1, -1]]])
    shown = Shown(PlacementPlan(slots)._repr_html_())
    assert shown.table == {
        "layers": "2",
        "ranks": "3, 1 of them without experts",
        "slots per rank": "2",
        "experts, all layers": "6",
        "replicas beyond the first": "2",
        "split of tokens": "by the dispatch rule",
    }
    split = PlacementPlan(slots, np.zeros((1, 2, 1, 3, 2), dtype=np.int64))
    assert Shown(split._repr_html_()).table["split of tokens"] == "by the plan"


def test_a_sequence_plan_counts_groups_by_mode() -> None:
    plan = SequencePlan(ints(0, 0, 1), ints(2, 2, 5), ints(0, 4, 0), ints(0, 1, 2, 2))
    assert Shown(plan._repr_html_()).table == {
        "sequences": "4",
        "micro-batches": "2",
        "groups": "3",
        "groups of mode 2": "2",
        "groups of mode 5": "1",
    }
