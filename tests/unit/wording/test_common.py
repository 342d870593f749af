import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.solvers.base import Status
from mapc.solvers.result import Result
from mapc.wording.common import brief, fact_rows, percent, result_rows, size


@pytest.mark.parametrize(
    ("phrase", "short"),
    [
        ("196 KiB extra off-chip traffic", "196 KiB"),
        ("a peak of 1,024 KiB", "1,024 KiB"),
        ("everything fits", "everything fits"),
        ("163,000 units of extra cost", "163,000 units"),
        ("a step of 12.3 ms", "12.3 ms"),
        ("a step time of 58.001 balanced layers", "58.001"),
        ("a step time of 0.0127 s", "0.0127 s"),
        ("a step time of 3 s-units", "3"),
        ("-3", "-3"),
    ],
)
def test_brief(phrase, short):
    assert brief(phrase) == short


@settings(deadline=None)
@given(st.floats(0, 1e6))
def test_percent_says_zero_only_for_zero(gap):
    assert (percent(gap) == "0 %") == (gap == 0)
    if gap > 1e-3:
        assert float(percent(gap).split()[0]) == pytest.approx(100 * gap, abs=0.006)


def test_size_names_the_bytes_where_it_rounds():
    assert size(1568 * 1024) == "1,568 KiB"
    assert size(1536) == "1.5 KiB"
    assert size(151528) == "147.977 KiB (151,528 B)"


def test_facts():
    facts = {
        "name": "net",
        "m_p_lower_bytes": 12,
        "m_p_upper_bytes": 16,
        "x_lower_bytes": 3,
        "x_upper_bytes": 3,
        "capacity_bytes": 12,
        "capacity_note": "M_R",
        "capacity2_bytes": None,
        "empty": "",
        "operators": 12345,
        "proven": True,
        "share": 0.123456,
        "ranks": [1, 2],
        "sha256": "ab" * 32,
    }
    assert fact_rows(facts) == [
        ("name", "net"),
        ("M_P", "12 B to 16 B"),
        ("x", "3 B (proven)"),
        ("capacity", "12 B (M_R)"),
        ("operators", "12,345"),
        ("proven", "yes"),
        ("share", "0.1235"),
        ("ranks", "1, 2"),
        ("SHA-256", "abababababababab..."),
    ]


def test_result_rows():
    result = Result(
        "memory",
        Status.FEASIBLE,
        objective=8,
        bound=4,
        method="luck",
        bound_method="thought",
        seconds=1.234,
        interrupted=True,
        facts={"operators": 4, "compulsory_bytes": 8},
        notes=("one", "two"),
        phrase=lambda value: f"{value} B of traffic",
    )
    assert result_rows(result) == [
        ("status", "feasible (interrupted)"),
        ("objective", "8 B of traffic"),
        ("compulsory traffic", "8 B"),
        ("bound", "4 B, by thought"),
        ("gap", "50.00 %"),
        ("operators", "4"),
        ("method", "luck"),
        ("seconds", "1.23"),
        ("note", "one"),
        ("note", "two"),
    ]


def test_sizes_by_name():
    assert fact_rows({"bank_peak_bytes": {"fast": 0, "slow": 2048}}) == [
        ("bank peak", "fast 0 B, slow 2 KiB")
    ]
