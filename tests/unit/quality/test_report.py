"""What a report says: runs, differences, what to record."""

from __future__ import annotations

import json

import pytest

from mapc.quality.findings import Finding, number
from mapc.quality.report import BETTER, FAILED, INCONCLUSIVE, PASSED, Checked, Report

GOOD = Checked("bits/good", PASSED, status="optimal", objective=3, bound=3, steps=2, nodes=1)
BAD = Checked(
    "bits/bad",
    FAILED,
    (Finding("objective", "at most 3", "4, by greedy"), Finding("run", "an answer", "a\nb\x1b[0m")),
    status="feasible",
    objective=4,
    seconds=1.25,
)
MORE = Checked(
    "bits/more",
    BETTER,
    better=("objective 3 -> 2",),
    folder="my lib/bits",
    patch={"objective": 2, "proven": True},
    status="optimal",
    objective=2,
    bound=2,
)
LATE = Checked("bits/late", INCONCLUSIVE, remarks=("not done within 1 seconds",))


def test_a_difference_reads_like_one() -> None:
    text = Report("lib", (BAD,)).text()
    assert "bits/bad: FAIL\n  objective\n    - at most 3\n    + 4, by greedy\n" in text
    assert "    + a b\N{REPLACEMENT CHARACTER}[0m\n" in text


def test_what_is_better_comes_with_the_command_that_records_it() -> None:
    text = Report("lib", (MORE,)).text()
    assert "bits/more: better than the index says\n  objective 3 -> 2\n" in text
    assert "  $ mapc record 'my lib/bits' more\n" in text
    assert '  "best": {"objective": 2, "proven": true}\n' in text


def test_counts_and_outcome() -> None:
    report = Report("lib", (GOOD, BAD, MORE, LATE))
    assert report.summary == "4 instances: 1 pass, 1 better, 1 FAIL, 1 inconclusive"
    assert not report.ok
    assert Report("lib", (GOOD, MORE, LATE)).ok
    assert "bits/late: inconclusive, not done within 1 seconds\n" in report.text()


def test_seconds_are_left_out_unless_asked_for() -> None:
    report = Report("lib", (BAD,))
    assert "1.25" not in report.text() + json.dumps(report.document())
    assert "1.25" in report.text(timings=True)
    assert report.document(timings=True)["cases"][0]["seconds"] == 1.25


def test_the_document_has_everything() -> None:
    document = json.loads(json.dumps(Report("lib", (GOOD, BAD, MORE)).document()))
    assert document["counts"] == {"pass": 1, "better": 1, "FAIL": 1, "inconclusive": 0}
    good, bad, more = document["cases"]
    assert (good["objective"], good["steps"], good["command"]) == (3, 2, None)
    assert bad["findings"][0] == {
        "check": "objective",
        "expected": "at most 3",
        "found": "4, by greedy",
    }
    assert more["command"] == "mapc record 'my lib/bits' more"


def test_versions_stand_first() -> None:
    first = Report("lib", ()).text().splitlines()[0]
    assert first.startswith("mapc ")
    assert " highs " in first


@pytest.mark.parametrize(
    ("value", "text"), [(None, "none"), (3, "3"), (0.1 + 0.2, "0.30000000000000004")]
)
def test_equal_texts_are_equal_numbers(value: float | None, text: str) -> None:
    assert number(value) == text
