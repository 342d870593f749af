from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from mapc.errors import InstanceError, UnavailableError, UsageError
from mapc.markup import clean
from mapc.models import KINDS
from mapc.visual import plots
from mapc.visual.figure import Axis, Figure, Line, Points, Rects, Rule, Steps, column
from oracles.plot_samples import of_all_marks, rects, views

ROOT = Path(__file__).parents[3]
MAGIC = {"pdf": b"%PDF-", "png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml"}
EMPTY = column([])
NOTHING = (
    (),
    (Rects("r", "c1", EMPTY, EMPTY, EMPTY, EMPTY, ()),),
    (Rects("r", "heat", EMPTY, EMPTY, EMPTY, EMPTY, (), EMPTY),),
    (Steps("s", "plan", column([0]), EMPTY, fill=True),),
    (Line("l", "plan", EMPTY, EMPTY), Points("p", "plan", EMPTY, EMPTY, ())),
    (Line("l", "plan", column([1, 2]), column([np.nan, np.nan])),),
)
HOSTILE = (
    "<script>alert(1)</script>",
    "\"'&;--><!--",
    "x" * 10_000,
    "a\x00b\x1b[31m\nc\ud800",
    "\u202e\u05e9\u05dc\u05d5\u05dd \u0627\u0644",
    "日本語 \N{GRINNING FACE}",
    "$\\frac{",
    "$$",
    "\\",
    "%s {0}",
)


def texts(svg):
    root = ET.fromstring(svg)
    return [e.text for e in root.iter("{http://www.w3.org/2000/svg}text") if e.text]


# -- every family --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_of_every_family_is_drawn(kind):
    """As SVG, whose text can be read back; the other formats get the first figure below."""
    seen = set()
    for view in views()[kind]:
        for figure in plots.there(view):
            if figure.key in seen:
                continue
            seen.add(figure.key)
            words = texts(plots.rendered(figure, "svg"))
            assert re.sub(r"\W", "", figure.title) in re.sub(r"\W", "", "".join(words))
            assert clean(figure.x.label, 80) in words


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_figure_of_every_family_is_saved(kind, tmp_path):
    for form, magic in MAGIC.items():
        plots.plot(views()[kind][0], tmp_path / f"a.{form}", dpi=60)
        assert (tmp_path / f"a.{form}").read_bytes().startswith(magic)


@pytest.mark.parametrize("kind", KINDS)
def test_the_documentation_lists_all_figures(kind):
    page = (ROOT / "docs" / "plots.md").read_text(encoding="utf-8")
    _, _, below = page.partition(f"\n### `{kind}`\n")
    own = re.split(r"^#", below, maxsplit=1, flags=re.M)[0]
    listed = set(re.findall(r"^\| `([^`]+)` \|", own, re.M))
    _, _, shared = page.partition("\n### Of every family\n")
    listed |= set(re.findall(r"^\| `([^`]+)` \|", re.split(r"^#", shared, flags=re.M)[0], re.M))
    keys = {figure.key for view in views()[kind] for figure in plots.there(view)}
    numbered = {re.sub(r"-\d+$", "-N", key) for key in keys}
    assert listed == numbered


# -- bytes ---------------------------------------------------------------------------------------

DRAW = """
import sys
from oracles.plot_samples import of_all_marks
from mapc.visual import plots
for kind in ("pdf", "png", "svg"):
    plots.save(of_all_marks(), sys.argv[1] + "." + kind, dpi=80)
assert "matplotlib.pyplot" not in sys.modules
"""


def test_equal_figures_give_equal_bytes_anywhere(tmp_path):
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "tests"),
        "PYTHONHASHSEED": "7",
        "MPLBACKEND": "svg",
    }
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(tmp_path / "elsewhere")], env=environment, timeout=120
    )
    assert done.returncode == 0
    for kind in MAGIC:
        here = plots.rendered(of_all_marks(), kind, dpi=80)
        assert here == plots.rendered(of_all_marks(), kind, dpi=80)
        assert here == (tmp_path / f"elsewhere.{kind}").read_bytes()
    assert here != plots.rendered(of_all_marks(1), "svg")


def test_settings_of_the_user_change_nothing_and_stay():
    import matplotlib

    plain = plots.rendered(of_all_marks(), "svg")
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert plots.rendered(of_all_marks(), "svg") == plain
        plots.draw(of_all_marks())
        assert dict(matplotlib.rcParams) == before


def test_files_hold_no_dates_and_no_producers():
    figure = Figure("k", "t", "", Axis("x"), Axis("y"), (rects(3),))
    for kind in MAGIC:
        data = plots.rendered(figure, kind, dpi=60)
        for word in (b"Date", b"date>", b"Producer", b"Creator", b"Software", b"matplotlib.org"):
            assert word not in data, (kind, word)


def test_fonts_are_embedded_and_text_stays_text():
    pdf = plots.rendered(of_all_marks(), "pdf")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"/Title (All marks)" in pdf
    svg = plots.rendered(of_all_marks(), "svg")
    assert {"All marks", "capacity", "lower bound", "peak", "live"} <= set(texts(svg))


def test_a_page_has_the_size_asked_for():
    figure = Figure("k", "", "", Axis(""), Axis(""), ())
    pdf = plots.rendered(figure, "pdf", width=3.4, height=2.5)
    assert b"/MediaBox [ 0 0 244.8 180 ]" in pdf
    png = plots.rendered(figure, "png", width=3.4, height=2.5, dpi=100)
    assert [int.from_bytes(png[at : at + 4], "big") for at in (16, 20)] == [340, 250]


def test_the_title_can_be_left_to_the_caption():
    figure = of_all_marks()
    assert "All marks" not in texts(plots.rendered(figure, "svg", title=False))
    high, low = plots.draw(figure), plots.draw(figure, title=False)
    assert high.get_figheight() > low.get_figheight()


# -- edges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("marks", NOTHING)
def test_figures_without_anything_are_drawn(marks):
    figure = Figure("k", "Nothing", "", Axis.of_names("x", []), Axis("y", 0, 1), marks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = {form: plots.rendered(figure, form, dpi=60) for form in MAGIC}
    assert all(data[form].startswith(magic) for form, magic in MAGIC.items())


def test_axes_without_extent_are_drawn():
    figure = Figure("k", "t", "", Axis("x", 2, 2), Axis("y", 1, 1, log=True), (rects(3),))
    assert plots.rendered(figure, "svg").startswith(MAGIC["svg"])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_only_text(name):
    line = Line(name, "plan", column([0, 1]), column([0, 1]))
    rules = (Rule(name, "limit", "y", 0.5), Rule(name, "mark", "x", 0.5))
    figure = Figure(
        "k", name, name, Axis.of_names(name, [name, name]), Axis(name, 0, 1), (line, *rules),
        note=name,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = plots.rendered(figure, "svg")
    found = texts(svg)
    assert any(clean(name, 28) in text for text in found)
    assert all(len(text) <= 200 for text in found)
    tags = {e.tag.rpartition("}")[2] for e in ET.fromstring(svg).iter()}
    assert "script" not in tags
    assert len(svg) < 100_000


def test_hostile_names_go_into_fonts_and_titles_of_files():
    names = Axis.of_names("x", HOSTILE)
    figure = Figure("k", "(a) \\( <b> \x00 日本語", "", names, Axis("y"), ())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind, magic in MAGIC.items():
            assert plots.rendered(figure, kind, dpi=60).startswith(magic)


def test_names_in_other_scripts_stay_what_they_are_in_svg():
    figure = Figure("k", "日本語", "", Axis("x"), Axis("y"), ())
    assert "日本語" in texts(plots.rendered(figure, "svg"))


def test_twenty_thousand_marks():
    figure = Figure("k", "t", "", Axis("x", 0, 10), Axis("y", 0, 100), (rects(20_000),))
    assert len(plots.rendered(figure, "png", width=3, dpi=60)) < 100_000
    few = replace(figure, marks=(rects(2_000),))
    assert len(plots.rendered(few, "svg")) < 2_000 * 250


# -- calls ---------------------------------------------------------------------------------------


def test_a_size_without_room_for_the_axes_is_refused(tmp_path):
    line = Line("a line", "plan", column([0, 1]), column([0, 1]))
    figure = Figure("k", "A title", "", Axis("x", 0, 1), Axis("y", 0, 1), (line,))
    path = tmp_path / "f.pdf"
    with pytest.raises(UsageError, match=r"height 0\.5: no room for the axes; expected about \d"):
        plots.save(figure, path, height=0.5)
    with pytest.raises(UsageError, match=r"width 0\.5: no room for the axes; expected more"):
        plots.save(figure, path, width=0.5)
    assert not path.exists()
    plots.save(figure, path, height=2)
    assert path.read_bytes().startswith(MAGIC["pdf"])


def test_a_figure_is_chosen_by_key(tmp_path):
    view = views()["allocation"][0]
    keys = [figure.key for figure in plots.there(view)]
    assert plots.choose(plots.there(view)).key == keys[0]
    assert plots.plot(view, tmp_path / "a.svg", keys[1], width=3).key == keys[1]
    assert (tmp_path / "a.svg").read_bytes() == plots.rendered(
        plots.choose(plots.there(view), keys[1]), "svg", width=3
    )
    with pytest.raises(UsageError, match=f"figure 'none': not there; expected {', '.join(keys)}"):
        plots.plot(view, tmp_path / "b.svg", "none")
    with pytest.raises(UsageError, match="no figure at all"):
        plots.choose(())
    with pytest.raises(InstanceError, match="no plan to draw"):
        plots.plot(replace(view, plan=None), tmp_path / "b.svg")
    assert not (tmp_path / "b.svg").exists()


def test_the_course_of_a_run_is_drawn_where_it_is_known():
    view = views()["allocation"][0]
    assert plots.there(view)[-1].key == "gap-over-time"
    bare = replace(view, record=type(view.record)())
    assert "gap-over-time" not in {figure.key for figure in plots.there(bare)}


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0},
        {"width": float("nan")},
        {"width": 101},
        {"height": 0.1},
        {"height": float("inf")},
        {"dpi": 1},
        {"dpi": float("nan")},
        {"width": 50, "height": 50, "dpi": 300},
        {"width": 100, "height": 1, "dpi": 900},
    ],
)
def test_sizes_that_are_none(options, tmp_path):
    with pytest.raises(UsageError, match="expected"):
        plots.save(of_all_marks(), tmp_path / "a.png", **options)
    assert list(tmp_path.iterdir()) == []


def test_dpi_is_of_pixels_alone():
    data = plots.rendered(of_all_marks(), "svg", dpi=5)
    assert data == plots.rendered(of_all_marks(), "svg")


@pytest.mark.parametrize("name", ["a.jpg", "a", "pdf", "-"])
def test_other_kinds_of_files(name, tmp_path):
    with pytest.raises(UsageError, match=r"expected \.pdf or \.png or \.svg"):
        plots.save(of_all_marks(), tmp_path / name)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "a.SVG"
    target.write_text("old")

    def fails(*args):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("mapc.visual.plots._drawn", fails)
        with pytest.raises(MemoryError):
            plots.save(of_all_marks(), target)
    assert target.read_text() == "old"
    plots.save(of_all_marks(), target)
    assert target.read_bytes() == plots.rendered(of_all_marks(), "svg")
    with pytest.raises(UsageError, match="cannot be written"):
        plots.save(of_all_marks(), tmp_path / "none" / "a.svg")


def test_without_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (plots.require, lambda: plots.draw(of_all_marks())):
        with pytest.raises(UnavailableError, match=r"pip install 'mapc\[plots\]'"):
            call()
    with pytest.raises(UnavailableError):
        plots.save(of_all_marks(), tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []
