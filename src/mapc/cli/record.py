"""``mapc record``: instances and best values into an index, each of them proven again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mapc.cli.completing import families, formulations
from mapc.cli.completing import methods as methods_named
from mapc.cli.output import print_json, say_wrapped
from mapc.cli.reading import json_option, parse_seconds, read_problem, reading_options
from mapc.errors import UsageError

if TYPE_CHECKING:
    from mapc.quality.recording import Recorded


@click.command(
    epilog="FILE is read as `mapc solve` reads it, and written below the folder as an instance. "
    "Instead of it, --generate names options of the generator of --kind. Neither is needed for "
    "an instance that is in the index. Tiers: 1 solved to proof, with sizes of models and "
    "agreement of backends; 2 counted work; 3 left out by the gate."
)
@click.argument("suite")
@click.argument("name")
@click.argument("file", required=False)
@reading_options
@click.option(
    "--kind",
    metavar="FAMILY",
    shell_complete=families,
    help="With --generate: which generator.",
)
@click.option(
    "--generate",
    "generated",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the generator, e.g. seed=1. Repeatable.",
)
@click.option(
    "--plan", "plans", multiple=True, metavar="PLAN", help="A plan of mapc solve -o. Repeatable."
)
@click.option("--origin", metavar="TEXT", help="Where a new instance is from, and its licence.")
@click.option("--tier", type=click.IntRange(1, 3), help="[default: 2, or as it is]")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    shell_complete=methods_named,
    help="Have the gate run only this. Repeatable.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Of the gate's runs.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FORMULATION",
    shell_complete=formulations,
    help="Limit the size of this model. Repeatable. [default: all, in tier 1]",
)
@click.option(
    "--time-limit",
    callback=parse_seconds,
    metavar="SECONDS",
    help="Search so much longer, by all default methods, for better values.",
)
@click.option("--replace", is_flag=True, help="Begin anew; drop what is known under that name.")
@json_option
def record(
    suite: str,
    name: str,
    file: str | None,
    kind: str | None,
    generated: tuple[str, ...],
    plans: tuple[str, ...],
    origin: str | None,
    tier: int | None,
    methods: tuple[str, ...],
    seed: int | None,
    models: tuple[str, ...],
    time_limit: float | None,
    replace: bool,
    as_json: bool,
    **reading: Any,
) -> None:
    """Put NAME, and the best known of it, into the index of SUITE.

    Plans are replayed by the verifier, bounds proven by a run of this command; what is worse than
    what the index holds is refused. The run without a clock also sets what `mapc regress` asks for.
    """
    from mapc.quality.recording import record

    _refuse_both(file, generated)
    found = record(
        suite,
        name,
        source=_source(kind, generated, reading) if generated else None,
        problem=None if file is None else read_problem(file, reading),
        kind=kind,
        plans=plans,
        origin=origin,
        tier=tier,
        methods=methods or None,
        seed=seed,
        time_limit=time_limit,
        models=models or None,
        replace=replace,
    )
    if as_json:
        print_json(_document(found))
    else:
        _print(found)


def _refuse_both(file: str | None, generated: tuple[str, ...]) -> None:
    if file is not None and generated:
        raise UsageError("--generate and FILE: two sources; expected one of them")


def _source(kind: str | None, generated: tuple[str, ...], reading: dict[str, Any]) -> Any:
    from mapc.quality.index import Source

    if kind is None:
        raise UsageError("--generate: of which family; expected --kind")
    given = {key: value for key, value in reading.items() if value is not None}
    on_top = {key: given.pop(key) for key in ("scratchpad", "budgets", "rules") if key in given}
    if given:
        name = next(iter(given)).replace("_", "-")
        raise UsageError(f"--{name}: says how to read a file; expected FILE")
    return Source(
        generate=_options(kind, generated),
        scratchpad=on_top.get("scratchpad"),
        budgets=tuple(on_top.get("budgets", ())),
        rules=tuple(on_top.get("rules", ())),
    )


def _options(kind: str, generated: tuple[str, ...]) -> dict[str, Any]:
    """Return options of a generator; each value is what its declaration says it is."""
    from mapc.instances.generators import generator

    declared = {option.name: option for option in generator(kind).options}
    found: dict[str, Any] = {}
    for text in generated:
        name, equals, value = (part.strip() for part in text.partition("="))
        name = name.replace("-", "_")
        if not equals:
            raise UsageError(f"--generate {text}: expected NAME=VALUE, e.g. seed=1")
        if name not in declared:
            raise UsageError(
                f"--generate {text}: generator {kind} has no {name!r}; "
                f"expected {', '.join(declared)}"
            )
        found[name] = _value(declared[name].kind, value, text)
    return found


def _value(kind: type, value: str, text: str) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise UsageError(f"--generate {text}: expected true or false")
        return value.lower() == "true"
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise UsageError(f"--generate {text}: expected {what}") from None
    return value


def _document(found: Recorded) -> dict[str, Any]:
    import msgspec

    return {
        "folder": str(found.folder),
        "kind": found.kind,
        "changes": list(found.changes),
        "entry": msgspec.to_builtins(found.entry),
    }


def _print(found: Recorded) -> None:
    label = f"{found.kind}/{found.entry.name}"
    for change in found.changes or ("nothing new",):
        say_wrapped(f"{label}: {change}")
