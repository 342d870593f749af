"""The memory benchmark: its table on a tiny graph, its figures on rows made by hand."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from mapc.models.allocation.problem import AllocationProblem
from oracles.memory_cases import chain_with_skip

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def memory():
    return import_module("memory")


@pytest.fixture
def peers():
    return import_module("memory_peers")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """The chain of `chain_with_skip` as a file: 10 bytes extra below its peak of 10 bytes."""
    ops = [
        {"op": "any", "ins": [], "outs": ["t0"]},
        {"op": "any", "ins": ["t0"], "outs": ["t1"]},
        {"op": "any", "ins": ["t1"], "outs": ["t2"]},
        {"op": "any", "ins": ["t2", "t0"], "outs": ["t3"]},
    ]
    document = {
        "name": "chain",
        "inputs": [],
        "outputs": ["t3"],
        "tensors": {"t0": 5, "t1": 2, "t2": 3, "t3": 1},
        "ops": ops,
    }
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(document))
    return path


def row_of(memory, base: int, greedy: int, ours: int, capacity: str = "M_R", **ilp):
    outcome = memory.Outcome
    return memory.Row(
        graph="g",
        operators=3,
        capacity=capacity,
        capacity_bytes=10,
        free=base // 2,
        file_order=outcome(base, 0.1, "plan"),
        greedy=outcome(greedy, 0.1, "plan"),
        ilp=outcome(**{"extra": None, "seconds": 0.0, "status": "not tried", **ilp}),
        mapc=outcome(ours, 0.5, "optimal", ours),
    )


def test_one_run_compares_all_and_writes_lines(memory, graph, tmp_path, capsys) -> None:
    target = tmp_path / "out.jsonl"
    options = ["--capacities", "M_R", "M_P", "--seconds", "20", "--json", str(target)]
    memory.main([str(graph), *options])
    tight, wide = (json.loads(text) for text in target.read_text().splitlines())
    for name in ("file_order", "greedy", "ilp", "mapc"):
        assert tight[name]["extra"] == 10
        assert wide[name]["extra"] == 0
    assert (tight["capacity_bytes"], wide["capacity_bytes"]) == (9, 10)
    assert tight["mapc"]["status"] == tight["ilp"]["status"] == "optimal"
    text = capsys.readouterr().out
    assert "proven optimal: 2 of 2 cases" in text
    assert "less extra traffic than file order, best fit, Belady: 0.0% in 1 cases" in text
    assert "the published ILP finished on 2 cases, with mapc's traffic on 2 of them" in text


def test_reductions_are_averages_over_cases_with_traffic(memory) -> None:
    rows = [
        row_of(memory, 100, 50, 25),
        row_of(memory, 80, 40, 0),
        row_of(memory, 0, 40, 0, "M_P"),
    ]
    found = list(memory.summary(rows))
    assert "less extra traffic than file order, best fit, Belady: 87.5% in 2 cases" in found[2]
    assert found[2].endswith("geometric mean 4.00 x in 1")
    assert found[3] == "  at M_R: 87.5% in 2 cases"
    assert "greedy order, best fit, Belady: 83.3% in 3 cases" in found[6]
    assert found[8] == "  at M_P: 100.0% in 1 cases"


def test_where_the_ilp_differs_the_case_is_named(memory) -> None:
    rows = [
        row_of(memory, 9, 9, 9, extra=9, seconds=50.0, status="optimal"),
        row_of(memory, 9, 9, 8, extra=9, seconds=2.0, status="optimal"),
        row_of(memory, 9, 9, 8, extra=9, seconds=5.0, status="feasible"),
    ]
    found = list(memory.summary(rows))
    assert "the published ILP finished on 2 cases, with mapc's traffic on 1 of them" in found
    assert "and took 20.0 x as long (geometric mean)" in found
    assert "  g at M_R: 9 and 8 bytes" in found


def test_generated_graphs_take_options(memory) -> None:
    plain = memory.generated("gpt:layers=1,weights=yes,fuse=no").graph
    assert plain.name == "gpt-layers1-weights"
    assert plain.is_constant.any()
    assert "gelu" in plain.operator_kinds
    assert memory.generated("randwire:nodes=8,rewire=0.5,seed=2").graph.name.endswith("seed2-fused")


def test_baselines_are_plans_that_cost_no_less_than_without_addresses(memory, peers) -> None:
    problem = memory.generated("darts:cells=3,channels=8,resolution=32")
    problem = replace(problem, capacity=problem.smallest_capacity)
    order = peers.smallest_peak_order(problem)
    assert problem.graph.is_topological(order)
    assert peers.eviction(problem, problem.graph.given_order).extra >= peers.free_eviction(problem)


def test_graphs_too_large_for_the_ilp_are_left_out(peers) -> None:
    assert peers.published_ilp(chain_with_skip(9), 10.0, most_operators=3).status == "not tried"


def test_placement_alone_is_compared_with_omnimalloc(memory, peers, tmp_path) -> None:
    path = tmp_path / "buffers.csv"
    path.write_text("id,lower,upper,size\na,0,3,4\nb,1,5,4\nc,3,6,4\n")
    lines = list(memory.placement_table([path], 5.0, float("inf")))
    if not peers.has_omnimalloc():
        assert lines == ["placement alone: omnimalloc is not installed, left out"]
        return
    assert lines[0].startswith("buffers: mapc 8 optimal ")
    assert "greedy_by_size 1.000" in lines[0]


def test_omnimalloc_is_given_buffers_in_units_of_the_alignment(peers) -> None:
    pytest.importorskip("omnimalloc", reason="omnimalloc is not installed")
    columns = (np.array([0, 1]), np.array([2, 3]), np.array([5, 8]))
    problem = AllocationProblem("two", ("a", "b"), *columns, alignment=8)
    assert {peak for peak, _ in peers.omnimalloc_peaks(problem).values()} == {16}


def test_without_arguments_the_data_folder_is_searched(memory, monkeypatch, tmp_path) -> None:
    (tmp_path / "memory" / "graphs").mkdir(parents=True)
    (tmp_path / "memory" / "graphs" / "g.json").write_text("{}")
    (tmp_path / "memory" / "b.csv").write_text("")
    monkeypatch.setenv("MAPC_DATA", str(tmp_path))
    args = memory.parse([])
    assert isinstance(args, argparse.Namespace)
    assert [path.name for path in args.graphs] == ["g.json"]
    assert [path.name for path in args.buffers] == ["b.csv"]
    assert args.generate == memory.NETWORKS
    assert memory.parse(["--generate", "unet"]).graphs == []


# -- the published ILP -----------------------------------------------------------------------------


@pytest.fixture
def published():
    return import_module("memory_published")


def test_the_published_ilp_finds_the_same_and_is_timed(published, tmp_path, monkeypatch, capsys):
    small = [published.chain(6, 2), published.bottlenecks(1)]
    monkeypatch.setattr(published, "graphs", lambda folder: iter(small))
    target = tmp_path / "pairs.jsonl"
    pairs = published.run(tmp_path, 60.0, float("inf"), target)
    assert len(pairs) == len(target.read_text().splitlines()) >= 3
    for pair in pairs:
        assert pair.finished
        assert pair.mapc_status == "optimal"
        assert pair.ilp == pair.mapc
        assert pair.rows > 0
        assert pair.ratio > 0
    assert f"same optimum on {len(pairs)} of these" in capsys.readouterr().out
    # what the file holds is not run again
    monkeypatch.setattr(published, "light_up", lambda: None)
    monkeypatch.setattr(published, "measure", None)
    assert published.run(tmp_path, 60.0, 0.0, target) == pairs


def test_graphs_for_the_published_ilp_are_what_they_say(published) -> None:
    chain = published.chain(8, 2).graph
    assert (chain.n_operators, sum(chain.consumers.lengths == 2)) == (8, 2)
    assert published.diamonds(2, 3).graph.n_operators == 14
    cut = published.first_operators(published.bottlenecks(2), 6).graph
    assert cut.n_operators == 6
    assert [cut.tensor_names[t] for t in np.flatnonzero(cut.is_output)] == ["s1", "a1"]


def test_a_limit_is_no_ratio(published) -> None:
    pair = published.Pair("g", 5, 2048, 10, 3072, "feasible", 60.0, 2048, "optimal", 0.01)
    assert published.row(pair).endswith("| feasible | 60.00 | 2.00 | 0.010 | - |")
    assert list(published.summary([pair])) == ["the published ILP finished on 0 of 1 cases"]
