"""The gate says the same of the same suite, whatever else the machine is doing."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mapc
from mapc.quality.gate import regress
from mapc.quality.index import Source
from mapc.quality.recording import record
from mapc.quality.report import Report
from mapc.quality.suite import Suite


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of every kind of work: branch and bound, cuts, local search, CP-SAT."""
    folder = tmp_path_factory.mktemp("library")
    for kind, name, tier, options in (
        ("bits", "bits", 1, {"groups": 40, "formats": 4, "budgets": 2, "sizes": "continuous"}),
        ("placement", "chain", 2, {"layers": 2, "experts": 4, "ranks": 2, "transitions": 0.5}),
    ):
        source = Source(generate=options)
        record(folder / kind, name, source=source, kind=kind, origin="generated", tier=tier)
    layered = mapc.generate("memory", network="layered", operators=8, width=3, seed=9)
    layered = mapc.models.family_of(layered).with_capacity(layered, "M_R")
    record(folder / "memory", "layered", problem=layered, origin="generated", tier=1)
    packing = mapc.generate("allocation", buffers=12, capacity=64, steps=64, seed=1)
    record(folder / "allocation", "packing", problem=packing, origin="generated", tier=1)
    return folder


@pytest.fixture(scope="module")
def first(library: Path) -> Report:
    return regress(Suite.read(library))


def spin() -> None:
    while True:
        pass


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Have so many processes compute for nothing, while the block runs and no longer."""
    spinning = [
        multiprocessing.get_context("spawn").Process(target=spin, daemon=True)
        for _ in range(processes)
    ]
    for one in spinning:
        one.start()
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.join()


def test_the_suite_passes_and_takes_branching(first: Report) -> None:
    assert first.ok
    assert first.counts["pass"] == 4
    assert sum(one.nodes for one in first.cases) > 0
    assert sum(one.steps for one in first.cases) > 8


def test_the_same_suite_twice(library: Path, first: Report) -> None:
    again = regress(Suite.read(library))
    assert again.text().encode() == first.text().encode()
    assert again.document() == first.document()


def test_the_same_suite_on_a_busy_machine(library: Path, first: Report) -> None:
    with busy(os.cpu_count() or 2):
        loaded = regress(Suite.read(library))
    assert loaded.text().encode() == first.text().encode()
    assert loaded.document() == first.document()
