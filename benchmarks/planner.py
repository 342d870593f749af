"""The planner called step after step: time of calls, memory, quality, from one thread and several.

    python benchmarks/planner.py LENGTHS.npz [--calls 1000] [--deadline 0.2] [--threads 1]
        [--ranks 64] [--batch 512] [--model gpt-7b] [--max-length 384K] [--cold]

Batches of the file come in turn. Every plan is verified once more. Printed are percentiles of wall
time per call over the deadline, processor time, resident memory after a tenth of the calls and at
the end, and the mean step over the bound of areas. ``--cold`` leaves out the warm start.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mapc import Cluster, Planner, Step
from mapc.instances.importers.lengths import parse_tokens, read_lengths
from mapc.models.sequence.verify import verify


def resident() -> float:
    """Return MB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Call, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lengths", type=Path)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--deadline", type=float, default=0.2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--ranks-per-node", type=int, default=8)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--batches", type=int, default=20, help="different batches, in turn")
    parser.add_argument("--model", default="gpt-7b")
    parser.add_argument("--max-length", default="384K")
    parser.add_argument("--cold", action="store_true")
    args = parser.parse_args()

    lengths = read_lengths(args.lengths)
    lengths = lengths[lengths <= parse_tokens(args.max_length)]
    started = time.monotonic()
    planner = Planner(
        Cluster(args.ranks, args.ranks_per_node),
        args.model,
        max_length=args.max_length,
        deadline=args.deadline,
        warm_start=not args.cold,
    )
    print(f"made in {time.monotonic() - started:.2f} s, kernels ready: {planner.wait()}")

    def call(number: int) -> tuple[float, float, Step]:
        at = number % args.batches * args.batch
        batch = lengths[at : at + args.batch]
        wall, processor = time.perf_counter(), time.thread_time()
        step = planner.plan(batch)
        return time.perf_counter() - wall, time.thread_time() - processor, step

    wall, processor, over = [], [], []
    early = 0.0
    with ThreadPoolExecutor(args.threads) as threads:
        todo = max(1, args.calls // 10)
        for start in range(0, args.calls, todo):
            for seconds, used, step in threads.map(call, range(start, start + todo)):
                if verify(step.problem, step.plan).violations:
                    raise SystemExit(f"broken plan of {step.source}")
                wall.append(seconds)
                processor.append(used)
                over.append(step.step_ms / step.bound_ms)
            early = early or resident()
    late, part = resident(), np.array(wall) / args.deadline
    print(f"{len(wall)} calls, {args.threads} threads, deadline {args.deadline} s")
    for name, q in (("p50", 50), ("p99", 99), ("most", 100)):
        print(f"{name:>5} {np.percentile(part, q):7.3f} of the deadline, "
              f"{np.percentile(wall, q):.4f} s")  # fmt: skip
    print(f"processor {np.mean(processor):.4f} s a call")
    print(f"memory {early:.1f} MB after {todo} calls, {late:.1f} MB at the end")
    print(f"step over the bound of areas {np.mean(over):.4f}")


if __name__ == "__main__":
    main()
