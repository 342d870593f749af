"""Comparisons, against figures worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mapc.quality.compare import compare
from mapc.quality.running import Record


def record(name: str, objective: Any = None, **fields: Any) -> Record:
    given: dict[str, Any] = {"kind": "bits", "sha256": "0" * 64, "status": "feasible", **fields}
    return Record(name=name, objective=objective, **given)


@pytest.mark.parametrize(
    ("old", "new", "order"),
    [
        (10, 9, -1),
        (10, 11, 1),
        (10, 10, 0),
        (None, 10, -1),
        (10, None, 1),
        (None, None, 0),
        (0.1 + 0.2, 0.3, 0),
        (10**17, 10**17 + 1, 1),
        (1.0, 1.0 + 1e-6, 1),
    ],
)
def test_order_of_objectives_and_bounds(old: Any, new: Any, order: int) -> None:
    pair = compare([record("a", old, bound=old)], [record("a", new, bound=new)]).pairs[0]
    assert pair.objective == order
    # a higher bound is the better one, and none the worst of all
    assert pair.bound == (order if old is None or new is None else -order)


def test_what_is_paired() -> None:
    old = [
        record("a", 5),
        record("a", 4),
        record("a", 9, seed=1),
        record("gone", 1),
        record("moved", 1),
        record("broken", status="failed", error="it broke"),
    ]
    new = [
        record("moved", 1, sha256="1" * 64),
        record("broken", 3),
        record("a", 9, seed=1),
        record("a", 3),
        record("a", 3, kind="memory"),
    ]
    found = compare(old, new)
    assert [(one.new.seed, one.old.objective, one.new.objective) for one in found.pairs] == [
        (1, 9, 9),
        (0, 4, 3),
    ]
    assert found.only_old == ("bits/gone",)
    assert found.only_new == ("bits/broken", "memory/a")
    assert found.changed == ("bits/moved",)


def test_means_are_over_what_both_have() -> None:
    old = [
        record("a", 5, seconds=3.0, gap=0.0, primal_integral=1.0),
        record("b", 5, seconds=8.0, gap=0.03),
        record("c", 5, kind="memory", seconds=1.0),
    ]
    new = [
        record("a", 4, seconds=1.0, gap=0.0, primal_integral=3.0),
        record("b", 6, seconds=1.0, primal_integral=2.0),
        record("c", 5, kind="memory", seconds=1.0),
    ]
    bits, memory, both = compare(old, new).means
    assert (bits.name, memory.name, both.name) == ("bits", "memory", "all")
    assert (bits.pairs, bits.better, bits.equal, bits.worse) == (2, 1, 0, 1)
    assert bits.seconds == pytest.approx((math.sqrt(4 * 9) - 1, 1.0))
    assert bits.integral == pytest.approx((1.0, 3.0))
    assert bits.gap == (0.0, 0.0)
    assert memory.gap is None
    assert (both.pairs, both.better, both.equal, both.worse) == (3, 1, 1, 1)
    assert both.seconds == pytest.approx(((4 * 9 * 2) ** (1 / 3) - 1, 1.0))


def test_one_family_needs_no_mean_of_all() -> None:
    assert [one.name for one in compare([record("a", 1)], [record("a", 1)]).means] == ["bits"]
    assert compare([], []).means == ()


def test_other_settings_are_named_once() -> None:
    old = [record(name, 1, time_limit=10.0, best=1) for name in "ab"]
    new = [record(name, 1, time_limit=60.0, best=0, workers=2) for name in "ab"]
    found = compare(old, new)
    assert found.settings == ("time_limit 10.0 -> 60.0", "workers 1 -> 2")
    assert compare(old, old).settings == ()
