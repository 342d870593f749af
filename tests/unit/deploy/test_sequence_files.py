"""Files of steps, read back by the rules that they document."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.oracles.sequence_cases import brute_force, problem_of, small_sequence_problems

import mapc
from mapc.deploy import exporter, exporters_of
from mapc.deploy.steps import every_range
from mapc.errors import UsageError
from mapc.models.sequence.bounds.area import step_bound
from mapc.models.sequence.published.baselines import megatron_greedy
from mapc.models.sequence.verify import verify


def test_every_exporter_is_tested() -> None:
    names = {one.name for one in exporters_of("sequence")}
    assert names == {"sequence-plan", "megatron", "process-groups"}


@st.composite
def cases(draw):
    """A problem whose padding suits four ranks of any kind, its best plan, and ids."""
    problem = draw(small_sequence_problems(max_sequences=4).filter(lambda p: p.padding == 8))
    best = brute_force(problem)
    assume(best is not None)
    ids = draw(st.permutations(range(10, 10 + problem.n_sequences)))
    return problem, best.plan, ids


def ranks_of(span) -> range:
    return range(span[0], span[0] + span[1])


@settings(max_examples=40, deadline=None)
@given(cases())
def test_a_sequence_plan_reads_back(case) -> None:
    problem, plan, ids = case
    text = exporter("sequence-plan")(problem, plan, step=3, sample_ids=ids)
    read = json.loads(text)
    assert (read["format"], read["version"], read["step"]) == ("sequence-plan", 1, 3)
    assert read["objective_ms"] == verify(problem, plan).objective
    assert read["objective_ms"] == sum(batch["est_ms"] for batch in read["micro_batches"])
    assert read["lower_bound_ms"] == step_bound(problem) * problem.tick <= read["objective_ms"]
    assert (read["bound_scope"], read["loss_norm"]) == ("step", "per_token")
    assert read["world_size"] == problem.n_ranks
    assert [batch["id"] for batch in read["micro_batches"]] == list(
        range(len(read["micro_batches"]))
    )
    placed = {}
    spans = set()
    for batch in read["micro_batches"]:
        assert batch["est_ms"] == max(group["est_ms"] for group in batch["groups"])
        ranks = list(batch["idle_ranks"])
        for group in batch["groups"]:
            assert group["ranks"][1] == group["degree"]
            assert group["ranks"][0] % group["degree"] == 0
            assert group["ulysses_degree"] == (group["degree"] if group["kind"] == "ulysses" else 1)
            ranks += ranks_of(group["ranks"])
            spans.add(tuple(group["ranks"]))
            bounds = group["cu_seqlens"]
            assert bounds[0] == 0
            assert bounds[-1] == group["tokens"] <= group["max_tokens"]
            for (start, stop), row in zip(pairwise(bounds), group["seqs"], strict=True):
                assert (row["offset"], row["padded_len"]) == (start, stop - start)
                assert 0 <= row["padded_len"] - row["len"] < problem.padding
                assert row["padded_len"] % group["degree"] == 0
                assert row["sample_id"] not in placed
                placed[row["sample_id"]] = row["len"]
        assert sorted(ranks) == list(range(problem.n_ranks))
    assert placed == dict(zip(ids, problem.lengths.tolist(), strict=True))
    assert read["loss_tokens"] == sum(placed.values())
    assert read["process_groups"] == sorted(map(list, spans))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_megatron_reads_back(case) -> None:
    problem, plan, ids = case
    if len({problem.cost.kind[j] for j in plan.mode.tolist() if problem.cost.degree[j] > 1}) > 1:
        with pytest.raises(UsageError, match="groups of two kinds"):
            exporter("megatron")(problem, plan)
        return
    read = json.loads(exporter("megatron")(problem, plan, sample_ids=ids))
    assert read["calculate_per_token_loss"] is True
    batches = zip(
        read["sample_id_groups"],
        read["group_of_rank"],
        read["idle_ranks"],
        read["groups"],
        strict=True,
    )
    seen = []
    for samples, group_of, idle, groups in batches:
        assert len(samples) == len(group_of) == read["world_size"] == problem.n_ranks
        for rank, (mine, number) in enumerate(zip(samples, group_of, strict=True)):
            if number < 0:
                assert mine == []
                assert rank in idle
                continue
            group = groups[number]
            assert rank not in idle
            assert rank in ranks_of(group["ranks"])
            assert mine == group["sample_ids"]
            assert len(set(group_of[group["ranks"][0] :][: group["local_cp_size"]])) == 1
        for group in groups:
            seen += group["sample_ids"]
            true = [int(problem.lengths[ids.index(one)]) for one in group["sample_ids"]]
            assert np.diff(group["cu_seqlens"]).tolist() == true
            padded = np.diff(group["cu_seqlens_padded"])
            size = group["local_cp_size"]
            assert (padded >= true).all()
            assert size == 1 or not (padded % (2 * size)).any()
            assert group["max_seqlen"] == padded.max()
            assert padded.sum() <= read["max_seqlen_per_dp_cp_rank"] * size + problem.padding
    assert sorted(seen) == sorted(ids)
    assert read["num_micro_batches"] == len(read["groups"])


@settings(max_examples=30, deadline=None)
@given(cases())
def test_process_groups_read_back(case) -> None:
    problem, plan, _ = case
    every = json.loads(exporter("process-groups")(problem, plan))["process_groups"]
    used = json.loads(exporter("process-groups")(problem, plan, which="used"))["process_groups"]
    assert len(every) < 2 * problem.n_ranks
    assert [(ranks[0], len(ranks)) for ranks in every] == every_range(problem)
    assert all(ranks == list(range(ranks[0], ranks[0] + len(ranks))) for ranks in every)
    degree = problem.cost.degree[plan.mode]
    wanted = {(f, d) for f, d in zip(plan.first_rank.tolist(), degree.tolist(), strict=True)}
    assert {(ranks[0], len(ranks)) for ranks in used} == wanted
    assert len(used) == len(wanted)


def two() -> tuple:
    """Sequences of 8 tokens on 2 ranks each, which none of one rank holds."""
    problem = problem_of([12, 12], padding=2)
    return problem, megatron_greedy(problem)


def test_megatron_wants_two_chunks_for_every_rank() -> None:
    problem, plan = two()
    assert problem.cost.degree[plan.mode].tolist() == [2, 2]
    assert exporter("megatron")(problem, plan)
    odd = problem_of([10, 12], padding=2)
    assert exporter("sequence-plan")(odd, megatron_greedy(odd))
    with pytest.raises(
        UsageError, match=r"sequence 0: 10 padded .* multiple of 4: plan with a pad"
    ):
        exporter("megatron")(odd, megatron_greedy(odd))


def test_sequences_split_evenly_over_their_group() -> None:
    odd = problem_of([11, 12])
    with pytest.raises(UsageError, match=r"sequence 0: 11 padded .* plan with a padding of 2"):
        exporter("sequence-plan")(odd, megatron_greedy(odd))


def test_bounds_and_ids_are_checked() -> None:
    problem, plan = two()
    step = verify(problem, plan).objective
    assert (
        json.loads(exporter("sequence-plan")(problem, plan, bound=step))["lower_bound_ms"] == step
    )
    with pytest.raises(UsageError, match=f"bound {step + 1} ms; expected 0 to {step} ms"):
        exporter("sequence-plan")(problem, plan, bound=step + 1)
    with pytest.raises(UsageError, match="step -1: expected 0 or more"):
        exporter("sequence-plan")(problem, plan, step=-1)
    with pytest.raises(UsageError, match="1 sample ids; expected 2"):
        exporter("megatron")(problem, plan, sample_ids=[1])
    with pytest.raises(UsageError, match="expected all or used"):
        exporter("process-groups")(problem, plan, which="some")


def test_broken_plans_are_not_exported() -> None:
    problem, plan = two()
    object.__setattr__(plan, "first_rank", plan.first_rank * 0)
    with pytest.raises(mapc.CheckError, match="both have rank 0"):
        mapc.export(problem, plan, "sequence-plan")
