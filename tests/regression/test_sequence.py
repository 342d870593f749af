"""Quality of steps: what was reached once is held, on generated batches and on recorded ones.

Nothing here looks at a clock: searches stop after counted work, so that figures are the same on
every machine. Thresholds leave a little room beside what was measured.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mapc
from mapc.instances.importers.lengths import import_lengths
from mapc.models.sequence.packing import search as packing
from mapc.models.sequence.problem import SequenceProblem
from mapc.models.sequence.verify import verify
from mapc.solvers.result import Result

DATA = Path(os.environ.get("MAPC_DATA") or Path(__file__).parents[3] / "shared" / "data")
LENGTHS = DATA / "sequence" / "wikipedia_lengths.npz"
needs_lengths = pytest.mark.skipif(not LENGTHS.exists(), reason=f"no {LENGTHS.name}: set MAPC_DATA")
WORK = 12_000_000
"""Looks of the packing search: below a second at 512 sequences."""


def solved(problem: SequenceProblem, monkeypatch: pytest.MonkeyPatch, *methods: str) -> Result:
    monkeypatch.setattr(packing, "WORK", WORK)
    result = mapc.solve(problem, time_limit=None, methods=list(methods))
    if result.plan is not None:
        assert verify(problem, result.plan).violations == ()
    return result


def wikipedia(index: int, model: str = "gpt-7b") -> SequenceProblem:
    return import_lengths(
        LENGTHS, ranks=64, ranks_per_node=8, batch=512, index=index, model=model, max_length="384K"
    )


@needs_lengths
@pytest.mark.parametrize(
    ("index", "homogeneous", "step", "bound"),
    [(3, 4419, 3231, 3139), (4, 3515, 3130, 3050), (5, 3270, 3130, 3082)],
)
def test_recorded_batches(
    index: int, homogeneous: float, step: float, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FlexSP's 7B model, 384K, 64 ranks."""
    problem = wikipedia(index)
    one = solved(problem, monkeypatch, "homogeneous")
    assert one.objective is not None
    assert one.objective <= homogeneous
    result = solved(problem, monkeypatch, "area", "homogeneous", "packing", "columns")
    assert result.objective is not None
    assert result.bound is not None
    assert result.objective <= step
    assert bound <= result.bound <= result.objective


@needs_lengths
@pytest.mark.parametrize("model", ["gpt-13b", "gpt-30b"])
def test_recorded_batches_under_other_costs(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = solved(wikipedia(6, model), monkeypatch, "area", "homogeneous", "packing", "columns")
    assert result.gap is not None
    assert result.gap <= 0.04
    best = solved(wikipedia(6, model), monkeypatch, "homogeneous")
    assert best.objective is not None
    assert result.objective is not None
    assert result.objective <= 0.95 * best.objective


@pytest.mark.parametrize(
    ("distribution", "bound", "gap"), [("lognormal", "area", 0.11), ("pareto", "columns", 0.02)]
)
def test_long_tails(
    distribution: str, bound: str, gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = mapc.generate("sequence", distribution=distribution, seed=5)
    result = solved(problem, monkeypatch, "homogeneous", "packing", bound)
    assert result.gap is not None
    assert result.gap <= gap
    for name in ("megatron", "static"):
        other = solved(problem, monkeypatch, name)
        assert (
            other.objective is None
            or result.objective is None
            or (result.objective <= other.objective)
        )


def test_a_large_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 ranks, 2,048 sequences: baselines and the area bound hold, and packing improves."""
    problem = mapc.generate("sequence", sequences=2048, ranks=256, distribution="pareto", seed=1)
    one = solved(problem, monkeypatch, "homogeneous")
    result = solved(problem, monkeypatch, "area", "homogeneous", "packing")
    assert result.objective is not None
    assert one.objective is not None
    assert result.bound is not None
    assert result.objective <= 0.8 * one.objective
    assert result.bound >= 0.85 * result.objective
