"""``mapc simulate``: modelled step times of several ways to plan, over many batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from mapc.cli.declared import flag, given
from mapc.cli.outcome import OutcomeError, interrupted
from mapc.cli.output import print_json, say, say_wrapped
from mapc.cli.reading import json_option, parse_seconds
from mapc.cli.tables import columns
from mapc.errors import ExitCode

if TYPE_CHECKING:
    from mapc.simulate import Limits, Outcome, Simulation

_NOTHING = "-"


class Simulate(click.Command):
    """Takes the options of the importer ``lengths`` beside its own."""

    @cached_property
    def _cluster_flags(self) -> list[click.Option]:
        from mapc.instances.importers import IMPORTERS

        options = IMPORTERS["lengths"].options
        first = "The first batch, from 0 on."
        return [flag(replace(o, help=first) if o.name == "index" else o) for o in options]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return all options: of the cluster, the model and the batches, then of the command."""
        own = super().get_params(ctx)
        return [*self._cluster_flags, *own]


def _listed(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _limit(name: str, default: str, help: str) -> Callable[[Any], Any]:
    return click.option(
        name,
        default=default,
        callback=parse_seconds,
        show_default=True,
        metavar="SECONDS",
        help=f"{help}; 0 or none: no clock, counted work.",
    )


@click.command(
    cls=Simulate,
    epilog="Ways: static (the largest degree), homogeneous (the best degree), megatron, packing, "
    "solve, flexsp; by default the first four, which are quick.",
)
@click.argument("file")
@click.option("--steps", type=click.IntRange(1, 10**6), default=20, show_default=True)
@click.option(
    "--compare",
    "--methods",
    "names",
    multiple=True,
    callback=_listed,
    metavar="WAY,...",
    help="Ways to plan, or all.",
)
@_limit("--deadline", "0.3", "For a step, of packing")
@_limit("--seconds", "5", "For a step, of solve")
@_limit("--flexsp-seconds", "60", "For a step, of flexsp")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("-q", "--quiet", is_flag=True, help="No progress on standard error.")
@json_option
def simulate(
    file: str,
    steps: int,
    names: list[str],
    deadline: float | None,
    seconds: float | None,
    flexsp_seconds: float | None,
    seed: int,
    quiet: bool,
    as_json: bool,
    **cluster: Any,
) -> None:
    """Plan STEPS batches of the lengths in FILE in several ways.

    Every plan is verified; times are those of the cost model. After Ctrl-C the steps that were
    finished are shown.
    """
    from mapc.instances.importers import IMPORTERS
    from mapc.instances.importers.lengths import LengthsFile
    from mapc.simulate import Limits, choose
    from mapc.simulate import simulate as run

    ways = choose(names)
    options = given(cluster)
    first = options.pop("index", 0)
    limits = Limits(deadline, seconds, flexsp_seconds, seed)
    recorded = LengthsFile(file)
    problems = [
        IMPORTERS["lengths"](recorded, index=number, **options)
        for number in range(first, first + steps)
    ]

    def show(number: int, name: str, outcome: Outcome) -> None:
        what = _NOTHING if outcome.step_ms is None else f"{outcome.step_ms:,.1f} ms"
        say(f"step {number + 1} of {steps}: {name} {what}, {outcome.seconds:.2f} s", err=True)

    found = run(problems, ways, limits, None if quiet else show)
    if found.interrupted and not found.steps:
        raise interrupted()
    if as_json:
        print_json(_document(found, limits))
    else:
        _print(found)
    if not any(figures["plans"] for figures in _figures(found).values()):
        raise OutcomeError("no way found a plan", ExitCode.NO_PLAN)


def _figures(found: Simulation) -> dict[str, dict[str, Any]]:
    return {name: found.figures(name) for name in found.outcomes}


def _document(found: Simulation, limits: Limits) -> dict[str, Any]:
    return {
        "kind": "sequence",
        "steps": found.steps,
        "interrupted": found.interrupted,
        "deadline": limits.deadline,
        "seconds": limits.seconds,
        "flexsp_seconds": limits.flexsp_seconds,
        "seed": limits.seed,
        "bound_scope": "step",
        "mean_bound_ms": sum(found.bound_ms) / len(found.bound_ms),
        "bound_ms": found.bound_ms,
        "ways": [
            {
                "way": name,
                **figures,
                "step_ms": [one.step_ms for one in found.outcomes[name]],
                "step_seconds": [one.seconds for one in found.outcomes[name]],
            }
            for name, figures in _figures(found).items()
        ],
    }


def _print(found: Simulation) -> None:
    rows = _figures(found)
    bound = sum(found.bound_ms) / len(found.bound_ms)
    table = {
        "way": [*rows, "bound"],
        "mean ms": [*(_cell(row["mean_ms"], ",.1f") for row in rows.values()), f"{bound:,.1f}"],
        "times best": [*(_cell(row["times_best"], ".4f") for row in rows.values()), ""],
        "worst": [*(_cell(row["worst_times_best"], ".4f") for row in rows.values()), ""],
        "mean gap": [*(_cell(row["mean_gap"], ".2%") for row in rows.values()), ""],
        "s per step": [*(_cell(row["seconds"], ".3f") for row in rows.values()), ""],
    }
    if any(row["plans"] < len(found.steps) for row in rows.values()):
        table["plans"] = [*(str(row["plans"]) for row in rows.values()), ""]
    say(columns(table))
    what = "interrupted after" if found.interrupted else "steps:"
    say_wrapped(f"{what} {len(found.steps)}, {found.steps[0]} to {found.steps[-1]}")


def _cell(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)
