"""Cells, rows and remarks of records and comparisons."""

from __future__ import annotations

from typing import Any

import pytest

from mapc.quality import tables
from mapc.quality.compare import compare
from mapc.quality.index import Size
from mapc.quality.running import Record


def record(name: str, objective: Any = None, **fields: Any) -> Record:
    given: dict[str, Any] = {"kind": "bits", "sha256": "0" * 64, "status": "feasible", **fields}
    return Record(name=name, objective=objective, **given)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (1234567, "1,234,567"), (0.123456789, "0.123457"), (1234567.8, "1.23457e+06")],
)
def test_numbers(value: Any, text: str) -> None:
    assert tables.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0%"), (0.1234, "12.34%"), (-0.01, "-1.00%"), (3e-8, "3.0e-06%")],
)
def test_percentages_are_zero_only_where_it_is_zero(value: Any, text: str) -> None:
    assert tables.percent(value) == text


def test_a_row_for_each_record() -> None:
    size = Size(rows=1200, columns=34, nonzeros=5678)
    table = tables.bench_table(
        [
            record(
                "a",
                110,
                bound=99,
                gap=0.1,
                to_best=0.05,
                primal_integral=1.5,
                seconds=3.14159,
                models={"choice": size, "other": Size(rows=1, columns=1, nonzeros=1)},
            ),
            record("b", status="infeasible", seconds=0.0),
            record("c", status="failed", error="it broke"),
            record("d", status="unknown", bound=7, seconds=10.0),
        ]
    )
    assert "seed" not in table
    assert {key: column[0] for key, column in table.items()} == {
        "instance": "a",
        "objective": "110",
        "bound": "99",
        "gap": "10.00%",
        "to best": "5.00%",
        "integral": "1.50",
        "seconds": "3.14",
        "model": "choice",
        "rows": "1,200",
        "cols": "34",
        "nnz": "5,678",
    }
    assert table["objective"] == ["110", "infeasible", "failed", "-"]
    assert table["bound"] == ["99", "-", "-", "7"]
    assert table["nnz"][1:] == ["-", "-", "-"]


def test_seeds_are_shown_where_they_differ() -> None:
    table = tables.bench_table([record("a", 1), record("a", 1, seed=5)])
    assert table["seed"] == ["0", "5"]


def test_the_summary_counts_and_averages() -> None:
    table = tables.summary_table(
        [
            record("a", 1, status="optimal", to_best=0.0, gap=0.0, seconds=3.0),
            record("b", 1, to_best=0.02, gap=0.03, seconds=8.0, primal_integral=2.0),
            record("c", status="failed", error="it broke"),
            record("d", 1, kind="memory", to_best=-0.01, seconds=1.0),
            record("e", kind="memory", status="infeasible", seconds=1.0),
        ]
    )
    assert table == {
        "family": ["bits", "memory", "all"],
        "runs": ["3", "2", "5"],
        "failed": ["1", "0", "1"],
        "proven": ["1", "1", "2"],
        "best": ["1", "1", "2"],
        "to best": ["1.00%", "-1.00%", "0.33%"],
        "gap": ["1.00%", "-", "1.00%"],
        "integral": ["2.00", "-", "2.00"],
        "seconds": ["5.00", "1.00", "2.46"],
    }


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"bound": 10, "best": 10}, None),
        ({"bound": 11, "best": 10, "bound_method": "lp"}, "bound 11 of lp is above a plan of 10"),
        ({"bound": 1.0 + 1e-12, "best": 1.0}, None),
        ({"bound": 1.0 + 1e-6, "best": 1.0}, "is above a plan of 1"),
        ({"objective": 9, "best": 10, "best_bound": 9}, None),
        ({"objective": 8, "best": 10, "best_bound": 9}, "plan of 8 by  is below the bound known"),
        ({"status": "infeasible", "best": 10}, "proven to have no plan, and one of 10 is known"),
        ({"status": "infeasible", "without_plan": True}, None),
        ({"objective": 3, "without_plan": True}, "and it was proven that there is none"),
    ],
)
def test_what_cannot_be_true(fields: Any, fault: str | None) -> None:
    found = tables.faults(record("a", **fields))
    if fault is None:
        assert found == []
    else:
        assert len(found) == 1
        assert fault in found[0]


def test_remarks_say_failures_better_plans_and_contradictions() -> None:
    found = tables.remarks(
        [
            record("a", 10, to_best=0.0, best=10),
            record("b", status="failed", error="it broke", seed=3),
            record("c", 9, best=10, to_best=-0.1, method="core"),
            record("d", 12, best=10, to_best=0.1, bound=11, bound_method="lp"),
        ]
    )
    assert found == [
        "bits/b, seed 3: it broke",
        "bits/c: 9 by core is better than the best known, 10",
        "bits/d: bound 11 of lp is above a plan of 10: one of the two is wrong",
    ]


def test_pairs_that_changed_are_listed() -> None:
    old = [record(name, 10, bound=5, seconds=1.0) for name in "abcd"]
    new = [
        record("a", 9, bound=5, seconds=2.0),
        record("b", 11, bound=6, seconds=2.0),
        record("c", 10, bound=5, seconds=2.0),
        record("d", 10, bound=4, seconds=2.0),
    ]
    found = compare(old, new)
    table = tables.pairs_table(found.pairs)
    assert table == {
        "instance": ["a", "b", "d"],
        "objective": ["10", "10", "10"],
        "now": ["9", "11", "10"],
        "": ["+", "!", ""],
        "bound": ["5", "5", "5"],
        "now ": ["5", "6", "4"],
        " ": ["", "+", "!"],
        "seconds": ["1.00", "1.00", "1.00"],
        "now  ": ["2.00", "2.00", "2.00"],
    }
    assert tables.pairs_table(found.pairs, everything=True)["instance"] == list("abcd")
    assert tables.means_table(found.means) == {
        "family": ["bits"],
        "runs": ["4"],
        "better": ["1"],
        "equal": ["2"],
        "worse": ["1"],
        "gap": ["-"],
        "now": ["-"],
        "integral": ["-"],
        "now ": ["-"],
        "seconds": ["1.00"],
        "now  ": ["2.00"],
    }


def test_differences_between_benches() -> None:
    old = [record("a", 1, time_limit=1.0), record("gone", 1), record("moved", 1)]
    new = [record("a", 1), record("moved", 1, sha256="1" * 64), record("new", 1)]
    assert tables.differences(compare(old, new)) == [
        "asked for differently: time_limit 1.0 -> None",
        "bits/moved: another problem than before",
        "bits/gone: not measured now",
        "bits/new: not measured before",
    ]
