"""Two benches side by side: instance by instance, and in means over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mapc.quality.measures import shifted_geometric_mean
from mapc.quality.running import ASKED, FAILED, Record

SECONDS: Final = 1.0
"""Shift of means of seconds and of primal integrals."""
GAP: Final = 0.01
"""Shift of means of gaps: one percentage point."""
ROUNDING: Final = 1e-9
"""Relative difference of two objectives that another order of sums can make."""

Key = tuple[str, str, int]
"""Family, name, seed."""


@dataclass(frozen=True)
class Pair:
    """One instance and seed, measured twice.

    Attributes
    ----------
    old, new : Record
    """

    old: Record
    new: Record

    @property
    def objective(self) -> int:
        """-1 for a better plan now, 1 for a worse one, 0 for one as good; no plan is worst."""
        return _order(self.old.objective, self.new.objective)

    @property
    def bound(self) -> int:
        """-1 for a better bound now, 1 for a worse one, 0 for one as good; none is worst."""
        return _order(_negated(self.old.bound), _negated(self.new.bound))

    @property
    def settings(self) -> tuple[str, ...]:
        """What was asked for differently, e.g. ``"time_limit 10.0 -> 60.0"``."""
        return tuple(
            f"{name} {getattr(self.old, name)} -> {getattr(self.new, name)}"
            for name in ASKED[4:]
            if getattr(self.old, name) != getattr(self.new, name)
        )


@dataclass(frozen=True)
class Means:
    """Pairs in a few numbers; shifted geometric means, by the same pairs on both sides.

    Attributes
    ----------
    name : str
        Family, or ``"all"``.
    pairs : int
    better, equal, worse : int
        By objective.
    seconds, integral, gap : (float, float) or None
        Old and new: seconds, primal integral, gap, over pairs that have both.
    """

    name: str
    pairs: int
    better: int
    equal: int
    worse: int
    seconds: tuple[float, float] | None
    integral: tuple[float, float] | None
    gap: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    pairs : tuple of Pair
        In the order of the new records.
    means : tuple of Means
        By family, in that order, and over all where there are several.
    only_old, only_new : tuple of str
        What the other one has no record of, or only a failed one.
    changed : tuple of str
        Names that stand for another problem now.
    """

    pairs: tuple[Pair, ...]
    means: tuple[Means, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """What was asked for differently, each difference once."""
        return tuple(dict.fromkeys(text for pair in self.pairs for text in pair.settings))


def compare(old: Iterable[Record], new: Iterable[Record]) -> Comparison:
    """Compare two benches by family, name and seed.

    Of several records for one of these, the last counts. Failed ones do not.

    Parameters
    ----------
    old, new : iterable of Record
    """
    before, after = _by_key(old), _by_key(new)
    both = [key for key in after if key in before]
    pairs = [
        Pair(before[key], after[key]) for key in both if before[key].sha256 == after[key].sha256
    ]
    changed = [key for key in both if before[key].sha256 != after[key].sha256]
    return Comparison(
        pairs=tuple(pairs),
        means=_means(pairs),
        only_old=_names(key for key in before if key not in after),
        only_new=_names(key for key in after if key not in before),
        changed=_names(changed),
    )


def _by_key(records: Iterable[Record]) -> dict[Key, Record]:
    return {(one.kind, one.name, one.seed): one for one in records if one.status != FAILED}


def _names(keys: Iterable[Key]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{kind}/{name}" for kind, name, _ in keys))


def _order(old: float | None, new: float | None) -> int:
    if old is None or new is None:
        return (new is None) - (old is None)
    if abs(new - old) <= _allowed(old, new):
        return 0
    return 1 if new > old else -1


def _allowed(old: float, new: float) -> float:
    if isinstance(old, int) and isinstance(new, int):
        return 0.0
    return ROUNDING * max(abs(old), abs(new))


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _means(pairs: Sequence[Pair]) -> tuple[Means, ...]:
    kinds = dict.fromkeys(pair.new.kind for pair in pairs)
    found = [_mean(kind, [one for one in pairs if one.new.kind == kind]) for kind in kinds]
    return tuple(found) if len(kinds) < 2 else (*found, _mean("all", pairs))


def _mean(name: str, pairs: Sequence[Pair]) -> Means:
    orders = [pair.objective for pair in pairs]
    return Means(
        name=name,
        pairs=len(pairs),
        better=orders.count(-1),
        equal=orders.count(0),
        worse=orders.count(1),
        seconds=_both(pairs, "seconds", SECONDS),
        integral=_both(pairs, "primal_integral", SECONDS),
        gap=_both(pairs, "gap", GAP),
    )


def _both(pairs: Sequence[Pair], field: str, shift: float) -> tuple[float, float] | None:
    values = [(getattr(pair.old, field), getattr(pair.new, field)) for pair in pairs]
    known = [(old, new) for old, new in values if old is not None and new is not None]
    old = shifted_geometric_mean((one for one, _ in known), shift)
    new = shifted_geometric_mean((one for _, one in known), shift)
    return None if old is None or new is None else (old, new)
