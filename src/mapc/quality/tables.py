"""Records and comparisons as tables: a mapping from headers to columns of cells, to be printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from mapc.quality.compare import GAP, ROUNDING, SECONDS, Comparison, Means, Pair
from mapc.quality.measures import shifted_geometric_mean
from mapc.quality.running import FAILED, Record

Table = dict[str, list[str]]
NOTHING: Final = "-"


def by_kind(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return records by family, in the order in which they come."""
    found: dict[str, list[Record]] = {}
    for one in records:
        found.setdefault(one.kind, []).append(one)
    return found


def bench_table(records: Sequence[Record]) -> Table:
    """Return one row for each record: instance, values, measures, size of the first model.

    The column ``seed`` is there only where seeds differ. Objectives and bounds are in the
    family's unit, integrals and times in seconds.

    Parameters
    ----------
    records : sequence of Record
        Of one family.
    """
    table: Table = {"instance": [one.name for one in records]}
    if len({one.seed for one in records}) > 1:
        table["seed"] = [str(one.seed) for one in records]
    models = [next(iter(one.models.items()), None) for one in records]
    return {
        **table,
        "objective": [_objective(one) for one in records],
        "bound": [number(one.bound) for one in records],
        "gap": [percent(one.gap) for one in records],
        "to best": [percent(one.to_best) for one in records],
        "integral": [seconds(one.primal_integral) for one in records],
        "seconds": [seconds(one.seconds) for one in records],
        "model": [NOTHING if one is None else one[0] for one in models],
        "rows": [NOTHING if one is None else number(one[1].rows) for one in models],
        "cols": [NOTHING if one is None else number(one[1].columns) for one in models],
        "nnz": [NOTHING if one is None else number(one[1].nonzeros) for one in models],
    }


def summary_table(records: Sequence[Record]) -> Table:
    """Return one row for each family, and one for all where there are several.

    ``proven`` counts optima and proofs that there is no plan, ``best`` plans at least as good as
    the best known. Means are arithmetic for ``to best``, and shifted geometric for gaps (shift
    one percentage point), integrals and seconds (shift 1 s).
    """
    groups = by_kind(records)
    named = list(groups.items()) + ([("all", list(records))] if len(groups) > 1 else [])
    distances = [[r.to_best for r in group if r.to_best is not None] for _, group in named]
    return {
        "family": [name for name, _ in named],
        "runs": [str(len(group)) for _, group in named],
        "failed": [str(sum(r.status == FAILED for r in group)) for _, group in named],
        "proven": [
            str(sum(r.status in ("optimal", "infeasible") for r in group)) for _, group in named
        ],
        "best": [str(sum(d <= 0 for d in some)) for some in distances],
        "to best": [percent(sum(some) / len(some) if some else None) for some in distances],
        "gap": [percent(_mean(group, "gap", GAP)) for _, group in named],
        "integral": [seconds(_mean(group, "primal_integral", SECONDS)) for _, group in named],
        "seconds": [seconds(_mean(group, "seconds", SECONDS)) for _, group in named],
    }


def remarks(records: Iterable[Record]) -> list[str]:
    """Return what has to be said beside the table, one line each: failures, better plans."""
    found = []
    for one in records:
        where = f"{one.label}, seed {one.seed}" if one.seed else one.label
        if one.error is not None:
            found.append(f"{where}: {one.error}")
        elif one.to_best is not None and one.to_best < 0:
            found.append(
                f"{where}: {number(one.objective)} by {one.method} is better than the best known, "
                f"{number(one.best)}"
            )
        found += [f"{where}: {fault}" for fault in faults(one)]
    return found


def faults(record: Record) -> list[str]:
    """Return what cannot be true together with what is known: a bound, plan or proof is wrong."""
    found = []
    if _above(record.bound, record.best):
        found.append(
            f"bound {number(record.bound)} of {record.bound_method} is above a plan of "
            f"{number(record.best)}: one of the two is wrong"
        )
    if _above(record.best_bound, record.objective):
        found.append(
            f"plan of {number(record.objective)} by {record.method} is below the bound known, "
            f"{number(record.best_bound)}: one of the two is wrong"
        )
    if record.best is not None and record.status == "infeasible":
        found.append(f"proven to have no plan, and one of {number(record.best)} is known")
    if record.without_plan and record.objective is not None:
        found.append(f"plan of {number(record.objective)}, and it was proven that there is none")
    return found


def _above(bound: float | None, objective: float | None) -> bool:
    """Whether a bound contradicts a plan, rounding aside."""
    if bound is None or objective is None:
        return False
    whole = isinstance(bound, int) and isinstance(objective, int)
    return bound - objective > (0 if whole else ROUNDING * abs(objective))


def _mean(records: Iterable[Record], field: str, shift: float) -> float | None:
    values = (getattr(one, field) for one in records)
    return shifted_geometric_mean((one for one in values if one is not None), shift)


def _objective(record: Record) -> str:
    if record.objective is not None:
        return number(record.objective)
    return record.status if record.status in (FAILED, "infeasible") else NOTHING


# -- comparisons -----------------------------------------------------------------------------------


def pairs_table(pairs: Sequence[Pair], everything: bool = False) -> Table:
    """Return one row for each pair, old values beside new ones: ``+`` better, ``!`` worse.

    Parameters
    ----------
    pairs : sequence of Pair
        Of one family.
    everything : bool
        Also pairs whose objective and bound are as good as before.
    """
    shown = [one for one in pairs if everything or one.objective or one.bound]
    table: Table = {"instance": [one.new.name for one in shown]}
    if len({one.new.seed for one in pairs}) > 1:
        table["seed"] = [str(one.new.seed) for one in shown]
    return {
        **table,
        "objective": [number(one.old.objective) for one in shown],
        "now": [number(one.new.objective) for one in shown],
        "": [_MARKS[one.objective] for one in shown],
        "bound": [number(one.old.bound) for one in shown],
        "now ": [number(one.new.bound) for one in shown],
        " ": [_MARKS[one.bound] for one in shown],
        "seconds": [seconds(one.old.seconds) for one in shown],
        "now  ": [seconds(one.new.seconds) for one in shown],
    }


def means_table(means: Sequence[Means]) -> Table:
    """Return one row for each `Means`: counts by objective, and means old to new."""
    return {
        "family": [one.name for one in means],
        "runs": [str(one.pairs) for one in means],
        "better": [str(one.better) for one in means],
        "equal": [str(one.equal) for one in means],
        "worse": [str(one.worse) for one in means],
        "gap": [percent(one.gap and one.gap[0]) for one in means],
        "now": [percent(one.gap and one.gap[1]) for one in means],
        "integral": [seconds(one.integral and one.integral[0]) for one in means],
        "now ": [seconds(one.integral and one.integral[1]) for one in means],
        "seconds": [seconds(one.seconds and one.seconds[0]) for one in means],
        "now  ": [seconds(one.seconds and one.seconds[1]) for one in means],
    }


def differences(comparison: Comparison) -> list[str]:
    """Return what keeps two benches from being compared in full, one line each."""
    found = [f"asked for differently: {text}" for text in comparison.settings]
    found += [f"{name}: another problem than before" for name in comparison.changed]
    found += [f"{name}: not measured now" for name in comparison.only_old]
    return found + [f"{name}: not measured before" for name in comparison.only_new]


_MARKS: Final = {-1: "+", 0: "", 1: "!"}


# -- cells -----------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """Return a number with separators; fractions to six significant digits."""
    if value is None:
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def percent(part: float | None) -> str:
    """Return a fraction as a percentage, ``0%`` only where it is zero."""
    if part is None:
        return NOTHING
    if part == 0:
        return "0%"
    text = f"{100 * part:.2f}"
    return f"{100 * part:.1e}%" if float(text) == 0 else f"{text}%"


def seconds(value: float | None) -> str:
    """Return seconds to two places."""
    return NOTHING if value is None else f"{value:.2f}"
