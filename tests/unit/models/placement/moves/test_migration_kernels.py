"""Kernels against plain recomputation, compiled and as plain Python."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapc.kernels import load
from mapc.models.placement.moves.migration_bounds import PRICING

few = settings(max_examples=40, deadline=None, derandomize=True)

PLAIN = """
import json
import numpy as np
from mapc.models.placement.moves import capped_kernels, migration_kernels, pricing_kernels
from mapc.random import stream

rng = np.random.default_rng(5)
ranks, slots, experts = 3, 3, 6
table = np.array([[0, 1, 2], [3, 4, 5], [0, 3, 1]])
item = np.ascontiguousarray(rng.integers(1, 9, (experts, 1, 2)) / np.arange(1, 5)[:, None] / 9)
old = np.zeros((experts, ranks), dtype=np.bool_)
old[table, np.arange(ranks)[:, None]] = True
never, ever = np.zeros_like(old), np.ones_like(old)
rows = (item, np.ones(ranks), np.array([0, 1]), np.full(2, 0.5), never, ever, old)
tables, values = np.empty((4, ranks, slots), dtype=np.int64), np.empty(4)
migration_kernels.greedy(table, *rows, 4, 0, 1, tables, values)
one, annealed = table.copy(), table.copy()
best = migration_kernels.single(one, *rows, 1)
heat = np.array([[4, 1e-1, 1e-3], [6, 1e-2, 1e-4]])
last = capped_kernels.anneal(annealed, table, *rows, 3, 300, heat, stream(1))
used, load, new = np.empty(ranks, dtype=np.int64), np.empty((ranks, 2)), np.empty(1, dtype=np.int64)
price = rng.random((ranks, 2))
dual = pricing_kernels.relax(item, price, rng.random(ranks), 0.1, never, ever, old, used, load, new)
print(json.dumps([tables.tolist(), values.tolist(), one.tolist(), best, annealed.tolist(), last,
                  dual, used.tolist(), load.tolist(), new.tolist()]))
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
    assert answers[0] == [pytest.approx(part, rel=1e-12) if isinstance(part, float) else part
                          for part in answers[1]]  # fmt: skip


@st.composite
def relaxations(draw: st.DrawFn):
    n_experts, n_ranks = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    item = rng.random((n_experts, 1, 2)) / np.arange(1, n_ranks + 1)[:, None]
    allowed = rng.random((n_experts, n_ranks)) < 0.8
    pinned = allowed & (rng.random(allowed.shape) < 0.2)
    return (
        np.ascontiguousarray(item), rng.random((n_ranks, 2)), rng.normal(size=n_ranks) / 3,
        float(rng.random() / 2), pinned, allowed, rng.random(allowed.shape) < 0.5,
    )  # fmt: skip


@few
@given(relaxations())
def test_every_expert_is_placed_at_least_cost(case) -> None:
    item, price, rent, fee, pinned, allowed, old = case
    n_experts, n_ranks = allowed.shape
    used, loads = np.empty(n_ranks, dtype=np.int64), np.empty((n_ranks, 2))
    new = np.empty(1, dtype=np.int64)
    total = load(PRICING).relax(*case, used, loads, new)
    expected = 0.0
    for e in range(n_experts):
        best = np.inf
        for held in itertools.product([False, True], repeat=n_ranks):
            ranks = np.flatnonzero(held)
            if not len(ranks) or not allowed[e, ranks].all() or (pinned[e] & ~np.array(held)).any():
                continue
            work = (price[ranks] @ item[e, len(ranks) - 1]).sum()
            best = min(best, work + rent[ranks].sum() + fee * (~old[e, ranks]).sum())
        expected += best
    assert total == pytest.approx(expected, rel=1e-12) or total == expected == np.inf
    if total < np.inf:
        assert total == pytest.approx((price * loads).sum() + rent @ used + fee * new[0], rel=1e-9)
