"""The library of the repository: whole, small, and what the documentation says of it."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from mapc.models import KINDS
from mapc.quality.suite import Suite, check_suite

ROOT = Path(__file__).parents[3]
LIBRARY = ROOT / "instances"
MOST = 5 * 2**20


@pytest.fixture(scope="module")
def suite() -> Suite:
    return Suite.read(LIBRARY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_hash_plan_and_objective_holds(kind: str) -> None:
    audit = check_suite(Suite.read(LIBRARY / kind))
    assert audit.faults == ()
    assert audit.missing == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_has_enough_of_all_sizes(suite: Suite, kind: str) -> None:
    tiers = Counter(case.entry.tier for case in suite if case.kind == kind)
    assert tiers.total() >= 25
    assert min(tiers[tier] for tier in (1, 2, 3)) >= 1
    assert tiers[1] >= 5


def test_tier_1_is_proven_and_its_backends_agree(suite: Suite) -> None:
    tiny = [case for case in suite if case.entry.tier == 1]
    assert [one.label for one in tiny if not one.entry.gate.proven] == []
    assert [one.label for one in tiny if one.entry.best is None] == []
    for kind in KINDS:
        assert any(len(one.entry.gate.agree) for one in tiny if one.kind == kind), kind


def test_the_gate_has_a_limit_for_all_but_tier_3(suite: Suite) -> None:
    gated = [case for case in suite if case.entry.tier < 3]
    loose = [
        one.label for one in gated if one.entry.gate.objective is None and not one.entry.gate.proven
    ]
    assert loose == []


def test_some_have_no_plan(suite: Suite) -> None:
    none = [one for one in suite if one.entry.best and one.entry.best.proven]
    assert {one.kind for one in none if one.entry.best and one.entry.best.plan is None} >= {
        "allocation",
        "bits",
        "memory",
    }


def test_it_is_small_and_says_where_all_is_from(suite: Suite) -> None:
    assert sum(path.stat().st_size for path in LIBRARY.rglob("*") if path.is_file()) < MOST
    page = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    for case in suite:
        origin = case.entry.origin
        assert any(licence in origin for licence in ("Apache-2.0", "BSD-3-Clause", "MIT"))
    for name in ("onnx", "torchvision", "timm", "transformers", "HAWQ-V3", "mapc"):
        assert any(name in case.entry.origin for case in suite)
        assert name in page


def test_the_script_says_all_that_is_in_it(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import library  # type: ignore[import-not-found]

    said = {f"{item.kind}/{item.name}": item for item in library.items()}
    assert sorted(said) == sorted(case.label for case in suite)
    for case in suite:
        item = said[case.label]
        assert case.entry.tier == item.tier
        assert case.entry.source.generate == item.source.generate
        assert case.entry.source.file == item.source.file
        assert case.entry.run.methods == item.options.get("methods")
    sys.modules.pop("library", None)
