"""Reports in a browser: nothing goes wrong, pictures answer, and they show the plan's numbers."""

import base64
import json
import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import mapc
from mapc.models import family_of
from mapc.models.memory.addresses import place_or_lose
from mapc.models.memory.schedule import Schedule, evict_by_next_use
from mapc.quality.suite import Suite
from mapc.solvers.base import Status
from mapc.solvers.result import Result
from mapc.visual.loading import failed, of_plan, of_result
from mapc.visual.report import make
from mapc.visual.view import Record

LIBRARY = Path(__file__).parents[2] / "instances"
KINDS = ("memory", "allocation", "bits", "placement", "sequence")
WIDTHS = (1280, 390)
MAX_BYTES = 2_000_000

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(2)>",
    "</title></svg><b>bold</b>",
    "]]><!--",
    "x" * 10_000,
    "\u202eevil\u202c \u05e2\u05d1\u05e8\u05d9\u05ea \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "null\x00byte",
    "{{7*7}} ${7*7} javascript:alert(3)",
)


def size_of(entry):
    """How much there is to draw: the largest count among a family's facts."""
    counts = ("operators", "buffers", "groups", "sequences")
    facts = entry.facts
    found = max((facts.get(name, 0) for name in counts), default=0)
    layers = facts.get("layers", 0) * facts.get("experts", 0) * facts.get("profiles", 1)
    return max(found, layers)


@cache
def largest(kind):
    """The largest instance of a family in the library, with the best plan known."""
    cases = sorted(Suite.read(LIBRARY, kinds=[kind]), key=lambda case: -size_of(case.entry))
    for case in cases:
        problem = case.problem()
        plan = case.best_plan(problem)
        if plan is not None:
            return of_plan(problem, plan, Record(), case.name)
    raise AssertionError(f"no plan of {kind} in the library")


def many_operators():
    """A plan with more than 5,000 rectangles: what does not fit is evicted, in the given order."""
    net = mapc.generate("memory", network="layered", operators=5_000, seed=0)
    problem = family_of(net).with_capacity(net, "M_R")
    schedule = Schedule(problem, problem.graph.given_order)
    plan = place_or_lose(schedule, evict_by_next_use(schedule), lambda: True)
    assert len(plan.tensor) > 5_000
    return of_plan(problem, plan, Record(), "5,000 operators")


def small(kind):
    names = {"memory": "light_densenet121-mr"}
    cases = Suite.read(LIBRARY, kinds=[kind], tiers=[1])
    case = next((c for c in cases if c.name == names.get(kind)), next(iter(cases)))
    return case.problem()


def infeasible():
    problem = replace(small("memory"), capacity=1)
    return of_result(problem, mapc.solve(problem, time_limit=None), "too small")


def broken():
    problem = small("memory")
    return of_result(problem, failed(problem, ZeroDivisionError("<b>"), {"seed": 1}), "broken")


def hostile_graph():
    """A chain of operators, all of whose names are meant to do harm."""
    names = [f"{name}{i}" for i, name in enumerate(HOSTILE)]
    tensors = dict.fromkeys(["in", *names], 64)
    before = ["in", *names[:-1]]
    ops = [
        {"op": name, "name": name, "ins": [ins], "outs": [name]}
        for name, ins in zip(names, before, strict=True)
    ]
    head = {"name": HOSTILE[0], "unit": "B", "inputs": ["in"], "outputs": [names[-1]]}
    return {**head, "tensors": tensors, "ops": ops}


def hostile(folder):
    path = folder / "hostile.json"
    path.write_text(json.dumps(hostile_graph()))
    problem = mapc.read(path, scratchpad=128)
    result = mapc.solve(problem, time_limit=None)
    result = replace(result, notes=HOSTILE, command=HOSTILE[1], method=HOSTILE[0])
    return of_result(problem, result, HOSTILE[1])


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The report that Ctrl-C leaves of ``mapc solve --report``."""
    folder = tmp_path_factory.mktemp("interrupted")
    mapc.write(mapc.generate("memory", network="layered", operators=200), folder / "net.json")
    command = [sys.executable, "-m", "mapc", "solve", "net.json", "--scratchpad", "M_R"]
    process = subprocess.Popen(
        [*command, "--time-limit", "300", "--report", "report.html"],
        cwd=folder,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stderr:
        if " incumbent: " in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    return folder / "report.html"


@pytest.fixture(scope="module")
def reports(tmp_path_factory, interrupted):
    """``reports(name)`` makes a report once and returns its path."""
    folder = tmp_path_factory.mktemp("reports")
    views = {
        **{kind: (lambda kind=kind: [largest(kind)]) for kind in KINDS},
        "operators": lambda: [many_operators()],
        "infeasible": lambda: [infeasible()],
        "failed": lambda: [broken()],
        "hostile": lambda: [hostile(folder)],
        "two": lambda: [largest("allocation"), largest("allocation")],
    }
    made = {"interrupted": interrupted}

    def of(name):
        if name not in made:
            made[name] = folder / f"{name}.html"
            make(views[name]()).write(made[name])
        return made[name]

    return of


NAMES = (*KINDS, "operators", "infeasible", "failed", "interrupted", "hostile", "two")


@pytest.mark.parametrize("name", NAMES)
def test_a_report_opens_without_a_complaint(visit, reports, screenshots, name):
    page = visit(reports(name))
    assert page.messages == []
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    for selector in ("header h1", "main#report", "#filter", "#theme"):
        assert page.one(selector).is_displayed(), selector
    assert len(page.all(".verdict")) == (2 if name == "two" else 1)
    assert page.run("return document.querySelectorAll('script').length") == 1
    for width in WIDTHS:
        page.resize(width)
        assert page.run("return document.documentElement.scrollWidth") <= width
        page.screenshot(screenshots / f"{name}.{width}.png")
    assert page.messages == []


@pytest.mark.parametrize("name", NAMES)
def test_size(reports, name):
    assert reports(name).stat().st_size <= MAX_BYTES


@pytest.mark.parametrize("name", KINDS)
def test_pictures_of_the_family_are_there(visit, reports, name):
    page = visit(reports(name))
    from mapc.visual.pictures import figures

    keys = {figure.key for figure in figures(largest(name))}
    shown = {figure.get_attribute("data-key") for figure in page.all("main figure")}
    assert keys <= shown
    assert len(keys) >= 2


def test_ends_without_a_plan_say_why(visit, reports):
    assert visit(reports("infeasible")).one(".verdict").text.startswith("infeasible")
    text = visit(reports("failed")).one("header").text
    assert "failed: ZeroDivisionError: <b>" in text
    page = visit(reports("interrupted"))
    assert "interrupted" in page.one("header").text
    assert page.all("figure[data-key=memory-map] rect")


# -- looking closer --------------------------------------------------------------------------------


@pytest.fixture
def page(visit, reports):
    return visit(reports("allocation"))


def figure(page, key="buffer-map"):
    found = page.one(f"figure[data-key={key}]")
    page.run("arguments[0].scrollIntoView({block: 'center'})", found)
    return found


def test_hovering_shows_what_a_mark_is(page):
    picture = figure(page)
    widest = page.run(
        """const area = r => r.getBoundingClientRect().width * r.getBoundingClientRect().height;
        return [...arguments[0].querySelectorAll('rect')].sort((a, b) => area(b) - area(a))[0]""",
        picture,
    )
    title = page.run("return arguments[0].querySelector('title').textContent", widest)
    ActionChains(page.browser).move_to_element(widest).perform()
    tip = page.one(".tip")
    assert tip.is_displayed()
    assert tip.text == title
    ActionChains(page.browser).move_to_element(page.one("h1")).perform()
    assert not tip.is_displayed()


def test_the_filter_dims_what_does_not_match(page):
    titles = page.run("return [...document.querySelectorAll('rect title')].map(t => t.textContent)")
    word = titles[0].split()[0].rstrip(",:")
    page.one("#filter").send_keys(word)
    expected = page.run(
        """return [...document.querySelectorAll('.marks rect, .marks .points path')].filter(
            m => m.textContent.toLowerCase().includes(arguments[0].toLowerCase())).length""",
        word,
    )
    said = page.wait(lambda: page.one("#matches").text)
    assert said.startswith(f"{expected:,} of ")
    bright = page.run(
        """return document.querySelectorAll(
            '.marks rect:not(.dim), .marks .points path:not(.dim)').length"""
    )
    assert bright == expected
    assert page.all("rect.dim")


def test_zoom_by_buttons_keys_and_a_box(page):
    picture = figure(page)
    svg = picture.find_element("css selector", "svg")
    whole = svg.get_dom_attribute("viewBox")
    zoom_in, _, show_all = picture.find_elements("css selector", ".figtools button")
    zoom_in.click()
    closer = svg.get_dom_attribute("viewBox")
    assert float(closer.split()[2]) == pytest.approx(float(whole.split()[2]) / 2)
    show_all.click()
    assert svg.get_dom_attribute("viewBox") == whole
    plot = picture.find_element("css selector", ".plot")
    plot.send_keys("+")
    assert svg.get_dom_attribute("viewBox") == closer
    plot.send_keys("0")
    assert svg.get_dom_attribute("viewBox") == whole
    area = picture.find_element("css selector", ".area")
    drag = ActionChains(page.browser).move_to_element_with_offset(area, -60, -40)
    drag.click_and_hold().move_by_offset(120, 80).release().perform()
    boxed = [float(part) for part in svg.get_dom_attribute("viewBox").split()]
    assert boxed[2] == pytest.approx(float(whole.split()[2]) * 120 / area.size["width"], rel=0.02)
    assert page.messages == []


def test_the_keyboard_walks_through_the_marks(page):
    plot = figure(page).find_element("css selector", ".plot")
    plot.send_keys(Keys.ARROW_RIGHT)
    first = page.one("#heard").get_attribute("textContent")
    plot.send_keys(Keys.ARROW_RIGHT)
    second = page.one("#heard").get_attribute("textContent")
    assert first
    assert second
    assert first != second
    assert page.one(".tip").text == second
    plot.send_keys(Keys.ESCAPE)
    assert not page.one(".tip").is_displayed()


def test_the_legend_hides_a_series(page):
    button = figure(page).find_element("css selector", ".legend button")
    series = button.get_attribute("data-series")
    group = figure(page).find_element("css selector", f"g[data-series='{series}']")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert page.run("return getComputedStyle(arguments[0]).display", group) == "none"
    button.click()
    assert page.run("return getComputedStyle(arguments[0]).display", group) != "none"


def test_light_and_dark(page):
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(ground)
    page.one("#theme").click()
    assert page.run(ground) != light
    page.one("#theme").click()
    assert page.run(ground) == light


def test_without_script_all_is_there_to_be_read(visit, reports, chromium):
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = visit(reports("allocation"))
        assert page.one("header h1").is_displayed()
        assert not page.one(".tools").is_displayed()
        assert page.one("figure[data-key=buffer-map] svg").is_displayed()
        ticks = page.all("figure[data-key=buffer-map] .xt span")
        assert len(ticks) >= 2
        assert all(tick.is_displayed() for tick in ticks)
    finally:
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_paper_gets_light_colours_and_no_buttons(visit, reports, chromium):
    page = visit(reports("allocation"))
    page.one("#theme").click()  # dark on the screen
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        ground = page.run("return getComputedStyle(document.body).backgroundColor")
        assert ground in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)")
        assert not page.one(".tools").is_displayed()
        assert not any(button.is_displayed() for button in page.all(".figtools button"))
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    printed = chromium.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(printed).startswith(b"%PDF")


def test_hostile_names_do_nothing(visit, reports):
    page = visit(reports("hostile"))
    assert page.messages == []
    assert page.run("return document.querySelectorAll('img, iframe').length") == 0
    assert page.run("return [...document.querySelectorAll('b')].map(b => b.textContent)") == [
        page.one(".verdict b").text
    ]
    text = page.run("return document.body.textContent")
    assert "<script>alert(1)</script>" in text
    assert "\x00" not in text
    assert "\u202e" not in text
    assert "x" * 1_001 not in text
    for width in WIDTHS:
        page.resize(width)
        assert page.run("return document.documentElement.scrollWidth") <= width


# -- the numbers on the pictures -------------------------------------------------------------------

RECTS = """return [...arguments[0].querySelectorAll(arguments[1])].map(
    r => ['x', 'y', 'width', 'height'].map(name => r.getAttribute(name)))"""


def rectangles(page, key, selector):
    rows = page.run(RECTS, page.one(f"figure[data-key={key}]"), selector)
    return sorted(tuple(float(value) for value in row) for row in rows)


def test_residencies_are_those_of_the_plan(visit, reports):
    view = largest("memory")
    plan, sizes = view.plan, view.problem.sizes
    expected = sorted(
        (start, address, stop - start, sizes[t])
        for t, start, stop, address in plan.residency.tolist()
        if sizes[t]
    )
    assert view.problem.workspaces.max() == 0
    shown = rectangles(visit(reports("memory")), "memory-map", "rect")
    assert [row for row in shown if row[3]] == expected


def test_buffers_are_those_of_the_plan(visit, reports):
    view = largest("allocation")
    problem = view.problem
    columns = (problem.lower, view.plan.offset, problem.upper - problem.lower, problem.padded)
    expected = sorted(zip(*(column.tolist() for column in columns), strict=True))
    assert rectangles(visit(reports("allocation")), "buffer-map", "rect") == expected


def test_loads_are_those_of_the_plan(visit, reports):
    view = largest("placement")
    page = visit(reports("placement"))
    (map_,) = page.all("figure[data-key=load]")
    shown = page.run(
        "return [...arguments[0].querySelectorAll('rect')].map(r => Number(r.dataset.v))", map_
    )
    assert len(shown) == view.problem.n_layers * view.problem.n_ranks
    # figures are of all profiles by weight, tokens split equally over the copies of an expert
    assert view.facts["dispatch"] == "equal"
    assert view.facts["goal"] == "expected"
    expected = []
    for layer, slots in enumerate(view.plan.slots):
        copies = np.bincount(slots.ravel(), minlength=view.problem.n_experts)
        load = (view.problem.counts[:, layer] / copies)[:, slots].sum(axis=2)
        multiples = load / load.mean(axis=1, keepdims=True)
        expected.append(np.average(multiples, axis=0, weights=view.problem.weight))
    assert np.allclose(np.array(shown).reshape(-1, view.problem.n_ranks), expected, rtol=1e-6)


def test_groups_are_those_of_the_plan(visit, reports):
    view = largest("sequence")
    plan, problem = view.plan, view.problem
    degree = problem.cost.degree[plan.mode]
    page = visit(reports("sequence"))
    shown = rectangles(page, "gantt", "g.s:not(.quiet):not(.baseline) > rect")
    expected = sorted(zip(plan.first_rank.tolist(), degree.tolist(), strict=True))
    assert sorted((row[1], row[3]) for row in shown) == expected
    assert max(row[0] + row[2] for row in shown) == pytest.approx(view.objective, rel=1e-12)


def test_losses_are_those_of_the_plan(visit, tmp_path):
    problem = mapc.generate("bits", groups=40, formats=3, seed=3)
    result = mapc.solve(problem, time_limit=None)
    make([of_result(problem, result)]).write(tmp_path / "bits.html")
    page = visit(tmp_path / "bits.html")
    titles = page.run(
        """return [...document.querySelectorAll('figure[data-key=formats] rect')].map(
            r => [Number(r.getAttribute('x')), r.querySelector('title').textContent])"""
    )
    chosen = problem.format_of[result.plan.option]
    assert len(titles) == problem.n_groups
    for x, title in titles:
        group = int(x)
        assert problem.groups[group] in title
        assert problem.formats[int(chosen[group])] in title


def test_a_result_without_a_bound_has_a_page(visit, tmp_path):
    problem = small("memory")
    result = Result("memory", Status.UNKNOWN, reason="the limit was reached before a first plan")
    make([of_result(problem, result)]).write(tmp_path / "none.html")
    assert visit(tmp_path / "none.html").messages == []
