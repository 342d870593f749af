"""The planner: verified plans in bounded time, the same for the same work, from any thread."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import textwrap
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from tests.oracles.sequence_cases import problem_of, small_sequence_problems

import mapc
from mapc import Cluster, Planner, planner
from mapc.errors import InfeasibleError, InstanceError, MapcError, UsageError
from mapc.graph.operators import Ragged
from mapc.models.sequence.assembly import step_ticks
from mapc.models.sequence.bounds.area import step_bound
from mapc.models.sequence.costs.fitting import Timings, fit_cost
from mapc.models.sequence.costs.models import FLEXSP_MODELS, flexsp_cost
from mapc.models.sequence.packing import search
from mapc.models.sequence.published.baselines import best_homogeneous, megatron_greedy
from mapc.models.sequence.verify import verify

WORK = 400_000
COST = problem_of([1]).cost


def batch(n: int = 60, seed: int = 0):
    """Lengths with a long tail."""
    return np.minimum(np.random.default_rng(seed).lognormal(7.0, 1.2, n).astype(int) + 1, 60_000)


def small(**more) -> Planner:
    return Planner(Cluster(16, 8), "gpt-7b", **{"memory_limit_gb": 60.0, "work": WORK, **more})


def test_a_step_is_verified_and_no_worse_than_baselines() -> None:
    lengths = batch()
    step = small().plan(lengths)
    verdict = verify(step.problem, step.plan)
    assert verdict.violations == ()
    assert step.step_ms == verdict.objective
    assert np.array_equal(step.problem.lengths, lengths)
    assert (step.problem.n_ranks, step.problem.node_ranks, step.problem.padding) == (16, 8, 128)
    tick = step.problem.tick
    assert step.step_ms <= step_ticks(step.problem, best_homogeneous(step.problem)) * tick
    assert step.step_ms < step_ticks(step.problem, megatron_greedy(step.problem)) * tick
    assert step.bound_ms == step_bound(step.problem) * tick <= step.step_ms
    assert step.gap == 1 - step.bound_ms / step.step_ms
    assert (step.bound_scope, step.source) == ("step", "packing")


@settings(max_examples=30, deadline=None)
@given(small_sequence_problems(max_sequences=5, limits=False))
def test_any_problem_gets_a_plan(problem) -> None:
    made = Planner(
        Cluster(problem.n_ranks, problem.node_ranks),
        problem.cost,
        padding=problem.padding,
        work=20_000,
    )
    step = made.plan(problem.lengths)
    assert verify(problem, step.plan).violations == ()
    assert verify(problem, step.plan).objective == step.step_ms


def test_work_and_seed_decide_the_plan_whatever_came_before() -> None:
    one, other = small(seed=5), small(seed=5)
    other.plan(batch(seed=9))
    assert one.plan(batch()).plan == other.plan(batch()).plan == one.plan(batch()).plan


def test_threads_get_the_plans_they_would_get_alone() -> None:
    batches = [batch(40, seed) for seed in range(8)]
    shared = small(work=100_000)
    alone = [shared.plan(lengths).plan for lengths in batches]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda lengths: shared.plan(lengths).plan, batches))
    assert together == alone


def test_memory_does_not_grow() -> None:
    made = small(work=50_000)
    batches = [batch(40, seed) for seed in range(4)]

    def held(rounds: int) -> int:
        for _ in range(rounds):
            for lengths in batches:
                made.plan(lengths).micro_batches  # noqa: B018
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = held(2)
        after = held(10)
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # a step alone holds more, and there were forty


def test_a_deadline_in_the_past_still_gives_a_plan(monkeypatch) -> None:
    clock = iter(float(second) for second in range(10**6))  # every look takes a second
    monkeypatch.setattr(planner, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    step = small(work=None, deadline=1e-9).plan(batch())
    assert verify(step.problem, step.plan).violations == ()
    assert step.seconds >= 1


def test_a_deadline_ends_the_search(monkeypatch) -> None:
    """Every look at the clock takes 10 ms: as many as the deadline holds, verifying kept free."""
    seconds = iter(np.arange(0, 1000, 0.01).tolist())
    monkeypatch.setattr(planner, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    step = small(work=None, deadline=0.2).plan(batch())
    assert 0.18 <= step.seconds <= 0.24


def test_a_call_starts_where_the_last_one_ended_if_batches_are_alike(monkeypatch) -> None:
    hints = []
    real = planner.found

    def found(problem, **options):
        if problem.n_sequences > 1:  # none of what a planner does when it is made
            hints.append(options["hint"])
        return real(problem, **options)

    monkeypatch.setattr(planner, "found", found)
    seconds = iter(np.arange(0, 1000, 0.01).tolist())
    monkeypatch.setattr(planner, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    alike = batch(seed=1) * 101 // 100
    longer = np.append(alike[:-1], alike.max() * 2)
    more = np.concatenate([alike, alike[:10]])
    lengths = [batch(seed=1), alike, longer, alike, more]
    for made, wanted in (
        (small(work=None), [False, True, False, False, False]),
        (small(work=None, warm_start=False), [False] * 5),
        (small(), [False] * 5),
    ):
        hints.clear()
        for one in lengths:
            made.plan(one)
        assert [hint is not None for hint in hints] == wanted


# -- what comes back -------------------------------------------------------------------------------


def test_views_and_files_have_the_callers_ids() -> None:
    lengths = batch(20)
    ids = [1000 + 7 * k for k in range(20)]
    step = small().plan(lengths.tolist(), sample_ids=ids)
    seen = [
        one for micro in step.micro_batches for group in micro.groups for one in step.samples(group)
    ]
    assert sorted(seen) == ids
    assert step.step_ms == sum(micro.ms for micro in step.micro_batches)
    assert step.micro_batches is step.micro_batches
    read = json.loads(step.export(step=4))
    assert (read["step"], read["objective_ms"], read["lower_bound_ms"]) == (
        4, step.step_ms, step.bound_ms,
    )  # fmt: skip
    in_file = [s for m in read["micro_batches"] for g in m["groups"] for s in g["seqs"]]
    assert {s["sample_id"]: s["len"] for s in in_file} == dict(
        zip(ids, lengths.tolist(), strict=True)
    )
    rerouted = json.loads(step.export("megatron"))["sample_id_groups"]
    assert sorted({one for micro in rerouted for rank in micro for one in rank}) == ids
    groups = json.loads(step.export("process-groups"))["process_groups"]
    assert groups == [list(one) for one in small().process_groups()]
    with pytest.raises(UsageError, match="runtime 'vllm': expected sequence-plan, megatron, pro"):
        step.export("vllm")


def test_lengths_may_be_any_row_of_whole_numbers() -> None:
    made, lengths = small(work=20_000), batch(8).astype(np.int32)
    plan = made.plan(lengths).plan
    assert made.plan(lengths.tolist()).plan == plan
    assert made.plan(lengths.astype(np.uint16)).plan == plan
    mine = lengths.astype(np.int64)
    made.plan(mine)
    mine[0] = 5  # still the caller's own


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([], "lengths: no sequences; expected at least one"),
        (np.array([3, 2**64 - 1], dtype=np.uint64), "sequence 1: length 4611686018427387904"),
        ([1.5], "lengths: float64"),
        ([[1]], "lengths: int64 of shape .1, 1."),
        (5, "lengths: int64 of shape"),
        (["a"], "lengths: <U1"),
        ([[1], [2, 3]], "lengths: list"),
        ([3, 0], "sequence 1: length 0; expected 1 to"),
        ([3, 10**9], "sequence 1: 1000000000 padded tokens fit no group: the most is"),
    ],
)
def test_bad_lengths_are_refused_by_name(lengths, message: str) -> None:
    with pytest.raises(InstanceError, match=message):
        small().plan(lengths)


def test_bad_ids_are_refused() -> None:
    with pytest.raises(UsageError, match="1 sample ids; expected 2"):
        small().plan([5, 6], sample_ids=[1])
    for ids in ([1, 2.5], ["a", "b"], 5, [None, 1]):
        with pytest.raises(UsageError, match=r"sample ids: .*; expected whole numbers"):
            small().plan([5, 6], sample_ids=ids)


# -- what a planner is made of ---------------------------------------------------------------------


def test_cost_models_of_every_kind() -> None:
    cluster = Cluster(16, 8)
    options = {"memory_limit_gb": 60.0, "max_length": "384K"}
    named = Planner(cluster, "gpt-7b", work=WORK, **options)
    figures = Planner(cluster, FLEXSP_MODELS["gpt-7b"], work=WORK, **options)
    own = Planner(cluster, flexsp_cost("gpt-7b", 16, 8, 384_000, 60.0), work=WORK)
    plan = named.plan(batch()).plan
    assert figures.plan(batch()).plan == plan == own.plan(batch()).plan
    shorter = Planner(cluster, "gpt-7b", work=WORK, memory_limit_gb=60.0)
    assert shorter.cost.tokens[0] > named.cost.tokens[0]  # positions for 192,000 tokens only
    rng = np.random.default_rng(0)
    degree = np.array([1, 1, 1, 2, 2, 2, 4, 4])
    lengths = Ragged.of([rng.integers(100, 5000, 3).tolist() for _ in degree])
    time = np.array([1e-6 * (r**2).sum() / d + 0.1 * r.sum() / d + 50.0
                     for r, d in zip(map(np.array, lengths), degree, strict=True)])  # fmt: skip
    fitted = fit_cost(Timings(degree, ("ring",) * 8, lengths, time), 20_000)
    made = Planner(cluster, fitted, work=WORK)
    assert made.cost is fitted.cost
    assert verify(made.plan(batch()).problem, made.plan(batch()).plan).violations == ()


def test_small_clusters_are_one_node() -> None:
    assert Planner(Cluster(4), COST, padding=1, work=WORK).plan([3, 4]).problem.node_ranks == 4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"cluster": Cluster(0)}, InstanceError, "ranks: 0"),
        (
            {"cluster": Cluster(64, 3)},
            InstanceError,
            "ranks per node: 3; expected a power of two, or all 64 ranks",
        ),
        ({"cluster": Cluster("a")}, InstanceError, "ranks: 'a'"),
        ({"cluster": (64, 8)}, UsageError, r"cluster \(64, 8\): expected Cluster\(ranks, "),
        ({"cost_model": None}, InstanceError, "model: None; expected gpt-7b, .* a FlexspModel"),
        ({"bandwidth": ["2=x"]}, UsageError, "bandwidth '2=x': expected DEGREE=GB/s"),
        ({"deadline": "1"}, UsageError, "deadline '1': expected seconds above 0"),
        ({"deadline": True}, UsageError, "deadline True: expected seconds above 0"),
        ({"work": True}, UsageError, "work True: expected a whole number from 1 on"),
        ({"seed": 1.5}, UsageError, "seed 1.5: expected a whole number from 0 on"),
        (
            {"least": 10**15},
            InstanceError,
            "least: 1000000000000000; expected an int, 1 to 1048576",
        ),
        ({"cost_model": "gpt-8b"}, InstanceError, "model: 'gpt-8b'; expected gpt-7b, "),
        ({"cost_model": COST, "max_length": 5}, UsageError, "max_length: applies to models"),
        ({"nosuch": 1}, UsageError, "unknown option 'nosuch'; expected max_length, "),
        ({"max_length": "long"}, UsageError, "tokens 'long'"),
        ({"memory_limit_gb": 0.5}, InstanceError, "memory limit: 0.5 GB"),
        ({"deadline": 0.0}, UsageError, "deadline 0.0: expected seconds above 0"),
        ({"deadline": float("nan")}, UsageError, "deadline nan"),
        ({"work": 0}, UsageError, "work 0: expected a whole number from 1 on"),
        ({"seed": -1}, UsageError, "seed -1"),
        ({"padding": 0}, InstanceError, "padding: 0"),
        ({"least": 2, "most": 1}, InstanceError, "most: 1"),
        ({"least": "a"}, InstanceError, "least: 'a'"),
    ],
)
def test_what_no_call_could_use_is_refused_at_once(arguments, error, message: str) -> None:
    arguments = {"cluster": Cluster(64, 8), "cost_model": "gpt-7b", **arguments}
    with pytest.raises(error, match=message):
        Planner(**arguments)


def test_whole_numbers_of_numpy_are_whole_numbers() -> None:
    n = np.int64
    made = Planner(
        Cluster(n(4), n(4)), COST, padding=n(1), work=n(20_000), seed=n(3), least=n(2), most=n(5)
    )
    same = Planner(Cluster(4, 4), COST, padding=1, work=20_000, seed=3, least=2, most=5)
    assert made.plan([8] * 9).plan == same.plan([8] * 9).plan
    assert made.process_groups() == same.process_groups()


def test_it_stops_where_nothing_better_can_be(monkeypatch) -> None:
    """One sequence in the largest group is as good as its bound; nothing more is tried."""
    tried = []

    def several(problem: Any, **how: Any) -> Any:
        for found in search.found(problem, **how):
            tried.append(found.ticks)
            yield found
        tried.append(None)

    monkeypatch.setattr("mapc.planner.found", several)
    step = small().plan([8])
    assert step.gap == 0
    assert tried[-1] is not None


def test_counts_of_micro_batches_are_kept() -> None:
    lengths = [8] * 9
    with pytest.raises(InfeasibleError, match="need 3 micro-batches of at most 32 tokens, 2 all"):
        Planner(Cluster(4), COST, padding=1, most=2, work=WORK).plan(lengths)
    step = Planner(Cluster(4), COST, padding=1, least=4, most=4, work=WORK).plan(lengths)
    assert len(step.micro_batches) == 4


def test_no_plan_in_time_is_said(monkeypatch) -> None:
    monkeypatch.setattr(planner, "found", lambda *_, **__: iter(()))
    with pytest.raises(MapcError, match="2 sequences: no plan found with 1 to 3 micro-batches"):
        Planner(Cluster(4), COST, padding=1, most=3, work=WORK).plan([3, 4])


def test_it_can_be_sent_to_another_process() -> None:
    made = small()
    step = made.plan(batch(20))
    assert pickle.loads(pickle.dumps(made)).plan(batch(20)).plan == step.plan
    sent = pickle.loads(pickle.dumps(step))
    assert sent.plan == step.plan
    assert sent.export() == step.export()


def test_it_is_found_in_the_package() -> None:
    assert mapc.Planner is Planner
    assert mapc.Step is planner.Step


# -- kernels ---------------------------------------------------------------------------------------


def test_without_kernels_the_best_baseline_comes_at_once() -> None:
    """A process whose kernels are cold, and whose compiler never ends."""
    script = """
        import threading, time
        import mapc.planner as planner
        planner.warm = lambda name: False
        planner.load = lambda name, done=None: threading.Event().wait()
        made = planner.Planner(planner.Cluster(16, 8), "gpt-7b", memory_limit_gb=60.0)
        assert not made.ready
        assert not made.wait(0.01)
        step = made.plan([300, 5000, 40000, 200])
        print(step.source)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "NUMBA_DISABLE_JIT": "0"},
    )
    assert done.stdout.strip() in ("homogeneous", "megatron greedy"), done.stderr


def test_no_process_is_started_and_kernels_are_waited_for_with_work() -> None:
    script = """
        import subprocess
        real, compiled = subprocess.Popen.__init__, []
        def watched(self, args, *more, **options):
            compiled.append(args)
            real(self, args, *more, **options)
        subprocess.Popen.__init__ = watched
        import mapc.kernels, mapc.planner as planner
        cold = not all(mapc.kernels.warm(name) for name in planner._KERNELS)
        made = planner.Planner(planner.Cluster(16, 8), "gpt-7b", memory_limit_gb=60.0, work=1000)
        step = made.plan([300, 5000, 40000, 200])
        assert made.ready
        assert cold or not compiled, compiled
        print(step.step_ms > 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "True", done.stderr


def test_the_first_step_imports_nothing() -> None:
    """A process that is forked while a thread imports would wait for the lock of that import."""
    script = """
        import sys
        import mapc
        made = mapc.Planner(mapc.Cluster(16, 8), "gpt-7b", memory_limit_gb=60.0, work=1000)
        made.wait()
        before = set(sys.modules)
        made.plan([300, 5000, 40000, 200])
        print(sorted(set(sys.modules) - before), "numpy.ma" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "[] True", done.stderr
