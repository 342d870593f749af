import html

import pytest

import mapc
from mapc.errors import UsageError


@pytest.fixture
def problem():
    return mapc.generate("allocation", buffers=6, seed=1)


@pytest.fixture
def result(problem):
    return mapc.solve(problem, time_limit=None)


def test_results_and_plans_are_drawn(problem, result):
    report = mapc.report(problem, result)
    assert report.html.startswith("<!doctype html>")
    assert result.phrase(result.objective) in report.html
    assert "buffer-map" in mapc.report(problem, result.plan).html


def test_labels_are_one_for_each(problem, result):
    both = mapc.report(problem, result, result.plan, labels=["first run", "second run"])
    assert "first run" in both.html
    assert "second run" in both.html
    with pytest.raises(UsageError, match="1 for 2"):
        mapc.report(problem, result, result.plan, labels=["one"])
    with pytest.raises(UsageError, match="no plans"):
        mapc.report(problem)


def test_plans_of_another_family_are_refused(result):
    other = mapc.generate("bits", groups=3, seed=1)
    for one in (result, result.plan):
        with pytest.raises(UsageError, match="plan 1: AllocationPlan; expected BitsPlan"):
            mapc.report(other, one)
    with pytest.raises(UsageError, match="plan 1: str; expected BitsPlan, or a result"):
        mapc.report(other, "plan.json")


def test_a_notebook_shows_the_whole_document_in_a_frame(problem, result):
    report = mapc.report(problem, result)
    frame = report._repr_html_()
    start = frame.index('srcdoc="') + len('srcdoc="')
    assert html.unescape(frame[start : frame.index('"', start)]) == report.html
    assert 'sandbox="allow-scripts"' in frame


def test_a_report_is_written_as_it_is(problem, result, tmp_path):
    report = mapc.report(problem, result)
    report.write(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.html
    with pytest.raises(UsageError):
        report.write(tmp_path / "nowhere" / "report.html")


def test_fronts_and_comparisons_of_the_api_are_drawn():
    problem = mapc.generate("bits", groups=12, formats=3, seed=2)
    result = mapc.solve(problem, time_limit=None)
    front = mapc.front(problem, points="all", time_limit=None)
    methods = mapc.compare(problem, time_limit=None)
    text = mapc.report(problem, result, front=front, comparison=methods).html
    alone = mapc.report(problem, result).html
    for words in ("hull-greedy", "front, as given"):
        assert words in text
        assert words not in alone


def test_one_picture_for_a_paper(problem, result, tmp_path):
    pytest.importorskip("matplotlib")
    mapc.plot(problem, result, tmp_path / "map.svg")
    mapc.plot(problem, result.plan, tmp_path / "live.svg", "live-bytes", width=3.4)
    assert (tmp_path / "map.svg").read_text() != (tmp_path / "live.svg").read_text()
    with pytest.raises(UsageError, match="nonsense"):
        mapc.plot(problem, result, tmp_path / "map.svg", "nonsense")
