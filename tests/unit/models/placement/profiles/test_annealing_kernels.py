"""The kernels of annealing: every move is valid and its loads are those computed from scratch."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.kernels import load
from mapc.random import stream

KERNELS = "mapc.models.placement.profiles.annealing_kernels"
MOVES = "mapc.models.placement.profiles.moves_kernels"
SPLITTING = "mapc.models.placement.profiles.splitting_kernels"
some = settings(max_examples=60, deadline=None, derandomize=True)


def case(seed: int) -> dict:
    """A random start with rules that hold for it, and rows that fall with copies in any way."""
    rng = np.random.default_rng(seed)
    n_ranks, n_rows = int(rng.integers(2, 5)), int(rng.integers(1, 5))
    n_slots = int(rng.integers(1, 5))
    n_experts = int(rng.integers(n_slots, n_ranks * n_slots + 1))
    slots = np.concatenate([np.arange(n_experts), np.zeros(n_ranks * n_slots - n_experts, int)])
    while True:  # deal experts until no rank has one twice
        slots[n_experts:] = rng.integers(n_experts, size=len(slots) - n_experts)
        table = rng.permutation(slots).reshape(n_ranks, n_slots)
        if all(len(set(row)) == n_slots for row in table.tolist()):
            break
    falls = np.arange(1, n_ranks + 1)[:, None] ** -rng.uniform(0.5, 1.0, n_rows)
    n_groups = int(rng.integers(1, n_rows + 1))
    allowed = rng.random((n_experts, n_ranks)) < rng.choice([0.5, 0.9, 1.0])
    allowed[table, np.arange(n_ranks)[:, None]] = True
    return {
        "table": table.astype(np.int64),
        "item": rng.uniform(0, 2, (n_experts, 1, n_rows)) * falls,
        "slowness": rng.choice([1.0, 0.5], n_ranks),
        "group": np.sort(np.arange(n_rows) % n_groups),
        "lam": rng.dirichlet(np.ones(n_groups)),
        "locked": rng.random(table.shape) < rng.choice([0.0, 0.3]),
        "allowed": allowed,
        "old": rng.random((n_experts, n_ranks)) < 0.5,
    }  # fmt: skip


def loads(table: np.ndarray, item: np.ndarray, slowness: np.ndarray) -> np.ndarray:
    """float64[H, K], from scratch."""
    copies = np.bincount(table.ravel(), minlength=len(item))
    return item[table, copies[table] - 1].sum(axis=1) * slowness[:, None]


def value(table: np.ndarray, given: dict) -> float:
    """The true objective, from scratch."""
    top = loads(table, given["item"], given["slowness"]).max(axis=0)
    return sum(lam * top[given["group"] == p].max() for p, lam in enumerate(given["lam"].tolist()))


def check_table(table: np.ndarray, given: dict, max_new: int) -> None:
    """What every table has to be, whatever moves led there."""
    start, ranks = given["table"], np.arange(len(table))[:, None]
    assert all(len(set(row)) == len(row) for row in table.tolist())
    assert set(table.ravel().tolist()) == set(range(len(given["item"])))
    assert (table[given["locked"]] == start[given["locked"]]).all()
    assert given["allowed"][table, ranks].all()
    if max_new >= 0:
        already = int((~given["old"][start, ranks]).sum())
        assert (~given["old"][table, ranks]).sum() <= max(max_new, already)


HEAT = np.array([[3, 0.3, 0.01], [6, 0.01, 1e-5]])


@some
@given(st.integers(0, 2**20), st.integers(-1, 6))
def test_annealing_keeps_the_rules_and_never_loses(seed: int, max_new: int) -> None:
    given_ = case(seed)
    table, best = given_["table"].copy(), given_["table"].copy()
    rest = [given_[key] for key in list(given_)[1:]]
    told = load(KERNELS).anneal(table, best, *rest, max_new, 300, HEAT, stream(seed))
    check_table(table, given_, max_new)
    check_table(best, given_, max_new)
    assert told == pytest.approx(value(best, given_), rel=1e-12)
    assert told <= value(given_["table"], given_) * (1 + 1e-12)


@some
@given(st.integers(0, 2**20), st.integers(-1, 6))
def test_annealing_flows_keeps_the_rules_and_never_loses(seed: int, max_new: int) -> None:
    given_ = case(seed)
    work = np.ascontiguousarray(given_["item"][:, 0])
    lam = np.full(work.shape[1], 1 / work.shape[1])
    rules = [given_[key] for key in ("locked", "allowed", "old")]

    def run(steps: int) -> tuple[float, np.ndarray, np.ndarray]:
        table, best = given_["table"].copy(), given_["table"].copy()
        told = load(SPLITTING).anneal_split(
            table, best, work, given_["slowness"], lam, *rules, max_new, steps, HEAT, stream(seed)
        )
        return told, table, best

    told, table, best = run(150)
    check_table(table, given_, max_new)
    check_table(best, given_, max_new)
    assert told <= run(0)[0]


@some
@given(st.integers(0, 2**20))
def test_loads_of_moves_are_those_from_scratch(seed: int) -> None:
    """Move after move: what a move would do, its smoothed rise, and what undoing it brings."""
    kernels, moves, given_ = load(KERNELS), load(MOVES), case(seed)
    table, item, slowness = given_["table"].copy(), given_["item"], given_["slowness"]
    (n_ranks, _), (n_experts, _, n_rows) = table.shape, item.shape
    at, holders = (np.empty((n_experts, n_ranks), dtype=np.int64) for _ in range(2))
    copies, move = np.empty(n_experts, dtype=np.int64), np.empty(6, dtype=np.int64)
    price = np.empty((n_experts, n_ranks), dtype=np.int8)
    share, power = np.empty((n_experts, n_rows)), np.empty((n_ranks, n_rows))
    load_, after, raised = (np.empty((n_ranks, n_rows)) for _ in range(3))
    ranks, mark = np.empty(n_ranks, dtype=np.int64), np.full(n_ranks, -1, dtype=np.int64)
    slope, random = np.ones(n_rows), stream(seed)
    new = moves.price_moves(table, given_["allowed"], given_["old"], price)
    moves.index(table, at, copies, holders)
    for _ in range(60):
        for e in range(n_experts):
            kernels.weigh(item, copies, e, share)
        kernels.recompute(table, item, slowness, copies, 2, load_, power)
        hottest = load_.argmax(axis=0)
        assert load_ == pytest.approx(loads(table, item, slowness), rel=1e-12)
        if not moves.draw(
            table, at, copies, share, given_["locked"], price, 99, hottest, move, random
        ):
            continue
        before, e = table.copy(), table[move[0], move[1]]
        if move[3] != moves.NOWHERE:
            n = kernels.swap_loads(table, move, share, slowness, load_, ranks, after)
        else:
            n = kernels.replace_loads(
                move[0], e, move[2], item, slowness, copies, holders, load_, mark, ranks, after
            )
        rise = kernels.rise(n, ranks, after, raised, power, slope, 2)
        moves.make(table, at, copies, holders, move)
        truth = loads(table, item, slowness)
        assert after[:n] == pytest.approx(truth[ranks[:n]], rel=1e-9, abs=1e-12)
        untouched = np.setdiff1d(np.arange(n_ranks), ranks[:n])
        assert load_[untouched] == pytest.approx(truth[untouched], rel=1e-12)
        assert rise == pytest.approx((truth**4 - load_**4).sum(), rel=1e-9, abs=1e-9)
        now = int((~given_["old"][table, np.arange(n_ranks)[:, None]]).sum())
        assert now - new == move[5]
        moves.make(table, at, copies, holders, move)
        assert (table == before).all()
        moves.make(table, at, copies, holders, move)
        new = now
    moves.index(table, at.copy(), copies_now := copies.copy(), holders.copy())
    assert (copies_now == copies).all()


def test_swaps_and_replacements_both_happen() -> None:
    kernels, rng = load(KERNELS), np.random.default_rng(1)
    table = np.array([[0, 1, 2], [3, 4, 0], [5, 1, 3]])
    item = rng.uniform(0, 2, (6, 1, 2)) / np.arange(1, 4)[:, None]
    free = (np.zeros((3, 3), bool), np.ones((6, 3), bool), np.ones((6, 3), bool))
    seen = set()
    for seed in range(20):
        walk = table.copy()
        kernels.anneal(
            walk, table.copy(), item, np.ones(3), np.arange(2), np.full(2, 0.5), *free, -1, 9,
            np.array([[1, 9.0, 9.0]]), stream(seed),
        )  # fmt: skip
        seen.add(tuple(np.bincount(walk.ravel(), minlength=6)))
        assert (np.sort(walk) != np.sort(table)).any()
    assert len(seen) > 3


@some
@given(st.integers(0, 2**20))
def test_flows_add_up_after_every_move(seed: int) -> None:
    kernels, moves, given_ = load(SPLITTING), load(MOVES), case(seed)
    table, slowness = given_["table"].copy(), given_["slowness"]
    work = np.ascontiguousarray(given_["item"][:, 0])
    (n_ranks, n_slots), (n_experts, n_rows) = table.shape, work.shape
    at, holders = (np.empty((n_experts, n_ranks), dtype=np.int64) for _ in range(2))
    copies, move = np.empty(n_experts, dtype=np.int64), np.empty(6, dtype=np.int64)
    price, share = np.zeros((n_experts, n_ranks), dtype=np.int8), work.copy()
    flow, load_ = np.empty((n_ranks, n_slots, n_rows)), np.empty((n_ranks, n_rows))
    ranks, mark = np.empty(n_ranks, dtype=np.int64), np.full(n_ranks, -1, dtype=np.int64)
    replicated, random = np.empty(n_experts, dtype=np.int64), stream(seed)
    moves.index(table, at, copies, holders)
    kernels.split_evenly(table, work, copies, slowness, flow, load_)
    for _ in range(40):
        before = load_.copy()
        hottest = load_.argmax(axis=0)
        if moves.draw(table, at, copies, share, given_["locked"], price, 9, hottest, move, random):
            e = table[move[0], move[1]]
            moves.make(table, at, copies, holders, move)
            n = kernels.carry(
                move, table, at, copies, holders, slowness, flow, load_, e, ranks, mark
            )
            still = np.setdiff1d(np.arange(n_ranks), ranks[:n])
            assert (load_[still] == before[still]).all()
        top = load_.max(axis=0)
        n = kernels.list_replicated(copies, replicated)
        assert n == (copies > 1).sum()
        kernels.sweep(2, replicated, n, at, copies, holders, slowness, flow, load_)
        assert (load_.max(axis=0) <= top * (1 + 1e-9)).all()
        total = np.zeros_like(work)
        np.add.at(total, table, flow)
        assert total == pytest.approx(work, rel=1e-9, abs=1e-12)
        assert flow.min() >= -1e-12
        assert load_ == pytest.approx(flow.sum(axis=1) * slowness[:, None], rel=1e-9, abs=1e-9)


PLAIN = """
import json, sys
import numpy as np
from mapc.kernels import load
from mapc.random import stream
kernels = [load("mapc.models.placement.profiles." + name + "_kernels")
           for name in ("annealing", "splitting", "flows")]
rng = np.random.default_rng(3)
table = np.array([[0, 1, 2], [3, 4, 0], [5, 1, 3]])
work = rng.integers(1, 64, (6, 2)) / 16
item = work[:, None] / np.arange(1, 4)[None, :, None]
rules = [np.zeros((3, 3), bool), np.ones((6, 3), bool), np.ones((6, 3), bool), -1, 64]
heat = np.array([[3, 0.1, 0.001]])
lam, slow, found = np.full(2, 0.5), np.ones(3), []
walk, best = table.copy(), table.copy()
value = kernels[0].anneal(walk, best, item, slow, np.arange(2), lam, *rules, heat, stream(1))
found += [walk.tolist(), best.tolist(), value]
walk, best = table.copy(), table.copy()
value = kernels[1].anneal_split(walk, best, work, slow, lam, *rules, heat, stream(1))
found += [walk.tolist(), best.tolist(), value]
flow, cut = np.empty((3, 3), np.int64), np.empty(3, bool)
limit = kernels[2].split_tokens(table, rng.integers(0, 99, 6), np.array([2, 3, 5]), flow, cut)
print(json.dumps([*found, int(limit), flow.tolist(), cut.tolist()]))
"""


def test_kernels_do_the_same_as_plain_python() -> None:
    answers = []
    for plain in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", PLAIN],
            env={**os.environ, "NUMBA_DISABLE_JIT": plain},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(json.loads(done.stdout))
    assert len(answers[0]) == 9
    for compiled, python in zip(*answers, strict=True):
        exact = not isinstance(compiled, float)
        assert compiled == (python if exact else pytest.approx(python, rel=1e-12))
