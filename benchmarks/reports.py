"""Measure reports and figures for papers: CPU seconds, bytes and marks, at growing size.

    python benchmarks/reports.py [PLAN ...]

PLAN are plan files; without them, generated problems of every family are planned by a quick method
first, which is not measured. ``html`` is the whole report, with the pictures lowered from the plan;
the other columns are all figures of the plan in that format, PNG at 150 pixels per inch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mapc
from mapc.models import family_of
from mapc.visual import plots
from mapc.visual.figure import Figure
from mapc.visual.loading import load, of_result
from mapc.visual.page import page
from mapc.visual.view import View

FORMATS = ("pdf", "png", "svg")
SECONDS = 5.0  # of a method that stops by the clock alone

Sizes = tuple[dict[str, Any], ...]
GENERATED: dict[str, tuple[str, Sizes]] = {
    "memory": (
        "eviction",
        tuple({"network": "layered", "operators": n, "width": 3} for n in (50, 200, 800)),
    ),
    "allocation": ("greedy", tuple({"buffers": n, "slack": 0.5} for n in (50, 500, 5_000))),
    "bits": ("core", tuple({"groups": n} for n in (50, 3_000, 44_000))),
    "placement": (
        "eplb",
        tuple(
            {"layers": n, "experts": e, "ranks": r, "slots": e // r + 1, "nodes": 2}
            for n, e, r in ((4, 16, 4), (16, 64, 16), (58, 256, 32))
        ),
    ),
    "sequence": (
        "packing",
        tuple({"sequences": n, "ranks": r} for n, r in ((128, 64), (512, 64), (2_048, 256))),
    ),
}


def generated() -> Iterator[View]:
    for kind, (method, sizes) in GENERATED.items():
        for options in sizes:
            problem = mapc.generate(kind, seed=1, **options)
            if kind == "memory":
                problem = family_of(problem).with_capacity(problem, "M_R")
            result = mapc.solve(problem, methods=(method,), time_limit=SECONDS)
            label = " ".join(str(value) for value in options.values())
            if result.plan is None:
                print(f"{kind:<11}{label:<20}no plan: {result.reason}")
            else:
                yield of_result(problem, result, label)


def marks(figure: Figure) -> int:
    """Rectangles and dots, and one for anything else."""
    return sum(len(getattr(m, "x0", getattr(m, "titles", (0,)))) for m in figure.marks)


def measured(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def row(view: View) -> str:
    lowering, figures = measured(lambda: plots.there(view))
    seconds, html = measured(lambda: page([view]))
    cells = [f"{lowering:8.2f}", f"{seconds:8.2f}{len(html.encode()) / 1000:8,.0f}"]
    for kind in FORMATS:
        seconds, files = measured(lambda k=kind: [plots.rendered(f, k, dpi=150) for f in figures])
        cells.append(f"{seconds:8.2f}{sum(map(len, files)) / 1000:8,.0f}")
    counts = f"{len(figures):>8}{sum(map(marks, figures)):>8,}"
    return f"{view.kind:<11}{Path(view.label).name[:24]:<25}{counts}{''.join(cells)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("plans", nargs="*", help="plan files; generated problems if none is given")
    args = parser.parse_args()
    heads = "".join(f"{name + ' s':>8}{'kB':>8}" for name in ("html", *FORMATS))
    print(f"{'family':<11}{'size':<25}{'figures':>8}{'marks':>8}{'lower s':>8}{heads}")
    for view in map(load, args.plans) if args.plans else generated():
        print(row(view), flush=True)


if __name__ == "__main__":
    main()
