"""The one road by which instances and best values enter an index.

Nothing is taken on trust. A plan, whoever made it, is replayed by the family's verifier, which
says what it costs; a bound counts only where a run of this very call proved it, since what a file
says of one is a claim; hashes and figures are computed anew. What is worse than what the index
holds is refused. Files are written whole and the index last, so that an index never names what is
not there.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mapc.errors import UsageError
from mapc.files import write_whole
from mapc.quality import ceilings
from mapc.quality.index import (
    FILES,
    NAME,
    PLANS,
    Best,
    Entry,
    Index,
    Run,
    Source,
    read_index,
    write_index,
)
from mapc.quality.plans import encode_plan
from mapc.quality.suite import Case, facts_of, load
from mapc.quality.values import Values


@dataclass(frozen=True)
class Recorded:
    """What a call of `record` did.

    Attributes
    ----------
    folder : Path
        Of the index.
    kind : str
    entry : Entry
        As it is in the index now.
    changes : tuple of str
        What is new, one line each; empty where the index said all of it before.
    """

    folder: Path
    kind: str
    entry: Entry
    changes: tuple[str, ...]


def record(
    path: str | Path,
    name: str,
    *,
    source: Source | None = None,
    problem: Any = None,
    kind: str | None = None,
    plans: Sequence[Any] = (),
    origin: str | None = None,
    tier: int | None = None,
    methods: Sequence[str] | None = None,
    seed: int | None = None,
    time_limit: float | None = None,
    models: Sequence[str] | None = None,
    agree: bool | None = None,
    replace: bool = False,
    date: str | None = None,
) -> Recorded:
    """Put an instance into an index, or better values of one that is in it.

    Parameters
    ----------
    path : path
        The folder of the index; a folder of such folders means the one of the family. What is
        missing is made.
    name : str
        Of the instance. One that is in the index needs neither ``source`` nor ``problem``.
    source : Source, optional
        A file below the folder, or options of a generator.
    problem : problem of any family, optional
        Instead: written to ``files/NAME.json``.
    kind : str, optional
        Family, where only a generator's options say what the instance is.
    plans : sequence, optional
        Plans for it: plan files, results, or plans. Bounds in them are not taken.
    origin : str, optional
        Where it is from and its licence; needed for what is new.
    tier : int, optional
        1, 2 or 3. A run without a clock sets what the gate asks for, but for tier 3, which the
        gate leaves out.
    methods, seed : optional
        How the gate solves it; what is not given stays as it is.
    time_limit : float, optional
        Seconds of a further search by all default methods, for better values.
    models : sequence of str, optional
        Formulations whose size the gate limits; by default all of those of tier 1, and for the
        others those that the index names.
    agree : bool, optional
        Whether backends that prove the optimum of a formulation have to go on doing so; by
        default in tier 1, for models of at most `ceilings.MAX_AGREED` nonzeros.
    replace : bool
        Begin anew: what was known under that name is dropped, also if it was another problem.
    date : str, optional
        ISO 8601; today, UTC.

    Raises
    ------
    CheckError
        For a plan that breaks a rule, is worse than the best known, or costs less than a bound;
        for backends that disagree.
    InstanceError
        For an instance or an index that cannot be read.
    UsageError
        For a call that does not say what to record.
    """
    asked = source
    place, kind, old, problem, source = _find(Path(path), name, source, problem, kind, replace)
    if source is not None and asked is not None and source != asked:
        problem = load(source, place, kind)  # as the index will give it, remarks included
    run = _run(old, methods, seed)
    source = source or _file_for(place, name, problem)
    entry = _entry(name, problem, source, old, origin=origin, tier=tier, run=run)
    gathered = _gathered(place, kind, old, problem)
    for plan in plans:
        gathered.take(plan)
    gate = entry.gate
    if entry.tier < 3:
        result = gathered.search(time_limit=None, methods=run.methods, seed=run.seed)
        chosen = _models(problem, entry, models)
        agreed = agree if agree is not None else entry.tier == 1 or bool(entry.gate.agree)
        small = [name for name in chosen if agree or ceilings.small(chosen[name])]
        backends = ceilings.agreement(problem, small, seed=run.seed) if agreed else {}
        gate = ceilings.gate_of(result, chosen, backends)
    if time_limit is not None:
        gathered.search(time_limit=time_limit, methods=None, seed=run.seed)
    best, plan = gathered.best(date or _today())
    entry = msgspec.structs.replace(entry, gate=gate, best=best)
    return _commit(place, kind, entry, old, problem, plan)


def forget(path: str | Path, name: str) -> None:
    """Take an instance out of its index, and drop the files that no other one names.

    Parameters
    ----------
    path : path
        As for `record`.
    name : str

    Raises
    ------
    UsageError
        If there is no such instance.
    """
    found = _known(Path(path), name, None)
    if found is None:
        raise UsageError(f"instance {name!r}: not in {path}; expected a name of its index")
    folder, _, entry = found
    index = read_index(folder)
    left = tuple(one for one in index.instances if one.name != entry.name)
    index = msgspec.structs.replace(index, instances=left)
    write_index(index, folder)
    _drop(folder, _gone(entry, index))


# -- what is recorded ------------------------------------------------------------------------------


def _find(
    path: Path, name: str, source: Source | None, problem: Any, kind: str | None, replace: bool
) -> tuple[Path, str, Entry | None, Any, Source | None]:
    """Return folder, family, old entry, problem and source; no source: of a file to be written."""
    from mapc.models import family_of

    if source is not None and problem is not None:
        raise UsageError(f"instance {name!r}: a source and a problem; expected one of them")
    if problem is not None:
        kind = family_of(problem).kind
    found = _known(path, name, kind)
    if found is None:
        if source is None and problem is None:
            raise UsageError(f"instance {name!r}: not in {path}; expected what it is made of")
        if source is not None:
            place = path if kind is None else _place(path, kind)
            problem = load(source, place, _kind(kind, source, name))
            if _place(path, family_of(problem).kind) != place:
                raise UsageError(f"instance {name!r}: in which index of {path}; expected a kind")
        kind = family_of(problem).kind
        return _place(path, kind), kind, None, problem, _settled(source, problem)
    place, kind, old = found
    if source is not None:
        problem = load(source, place, kind)
    elif problem is None:
        source = old.source
        problem = Case(place, kind, old).problem()
    if replace:
        return place, kind, None, problem, _settled(source, problem)
    if _hash(problem) == old.sha256:
        return place, kind, old, problem, _settled(source or old.source, problem)
    raise UsageError(
        f"instance {name!r}: another problem has that name; expected another name, or to replace it"
    )


def _known(path: Path, name: str, kind: str | None) -> tuple[Path, str, Entry] | None:
    """Return folder, family and entry of a name, looked up in all indexes below a folder."""
    folders = [path] if (path / NAME).is_file() else [p.parent for p in path.glob(f"*/{NAME}")]
    bare = name.rpartition("/")[2]
    found = [
        (folder, index.kind, entry)
        for folder, index in ((folder, read_index(folder)) for folder in sorted(folders))
        for entry in index.instances
        if entry.name == bare
        and kind in (None, index.kind)
        and name in (bare, f"{index.kind}/{bare}")
    ]
    if len(found) > 1:
        raise UsageError(f"instance {name!r}: in several indexes; expected KIND/NAME")
    return found[0] if found else None


def _kind(kind: str | None, source: Source, name: str) -> str:
    if kind is None:
        if source.file is not None:
            return ""  # the file says
        raise UsageError(f"instance {name!r}: of which family; expected a kind")
    return kind


def _place(path: Path, kind: str) -> Path:
    """Return the folder of the index of a family below a path."""
    if (path / NAME).is_file():
        found = read_index(path).kind
        if found != kind:
            raise UsageError(f"{path}: an index of {found} problems; expected one of {kind}")
        return path
    several = any(path.glob(f"*/{NAME}"))
    return path / kind if several else path


def _settled(source: Source | None, problem: Any) -> Source | None:
    """Return a source with its capacity in bytes: how named ones are computed may change."""
    if source is None or not isinstance(source.scratchpad, str):
        return source
    return msgspec.structs.replace(source, scratchpad=int(problem.capacity))


def _file_for(place: Path, name: str, problem: Any) -> Source:
    """Return the file to write a problem to; one that is there with another one stays."""
    bare = name.rpartition("/")[2]
    path = f"{FILES}/{bare}.json"
    if (place / path).is_file() and _hash(load(Source(file=path), place, "")) != _hash(problem):
        path = f"{FILES}/{bare}-{_hash(problem)[:8]}.json"
    return Source(file=path)


def _hash(problem: Any) -> str:
    from mapc.instances import content_hash

    return content_hash(problem)


def _run(old: Entry | None, methods: Sequence[str] | None, seed: int | None) -> Run:
    known = old.run if old else Run()
    return Run(
        methods=known.methods if methods is None else tuple(methods),
        seed=known.seed if seed is None else seed,
    )


def _entry(
    name: str,
    problem: Any,
    source: Source,
    old: Entry | None,
    *,
    origin: str | None,
    tier: int | None,
    run: Run,
) -> Entry:
    bare = name.rpartition("/")[2]
    if origin is None and old is None:
        raise UsageError(
            f"instance {name!r}: no origin; expected where it is from, and its licence"
        )
    if tier not in (None, 1, 2, 3):
        raise UsageError(f"tier {tier}: expected 1, 2 or 3")
    made = Entry(
        name=bare,
        sha256=_hash(problem),
        source=source,
        origin=origin or (old.origin if old else ""),
        tier=tier or (old.tier if old else 2),  # type: ignore[arg-type]
        facts=facts_of(problem),
        run=run,
    )
    return msgspec.structs.replace(made, gate=old.gate) if old else made


def _gathered(place: Path, kind: str, old: Entry | None, problem: Any) -> Values:
    if old is None:
        return Values(problem, None)
    return Values(problem, old.best, Case(place, kind, old).best_plan(problem))


def _models(problem: Any, entry: Entry, names: Sequence[str] | None) -> Mapping[str, Any]:
    if names is None and entry.tier > 1:
        names = tuple(entry.gate.models)
    return ceilings.model_sizes(problem, names)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


# -- writing ---------------------------------------------------------------------------------------


def _commit(
    folder: Path, kind: str, entry: Entry, old: Entry | None, problem: Any, plan: Any
) -> Recorded:
    """Write instance, plan and index, in this order; drop the plan that is no longer named."""
    from mapc import instances

    if entry.source.file is not None and not (folder / entry.source.file).is_file():
        _make(folder / FILES)
        instances.write_instance(problem, folder / entry.source.file)
    if plan is not None and entry.best is not None:
        data = encode_plan(problem, plan)
        # a name of its own: until the index is there, the old plan is the one that counts
        relative = f"{PLANS}/{entry.name}-{hashlib.sha256(data).hexdigest()[:8]}.json"
        _make(folder / PLANS)
        write_whole(folder / relative, data)
        entry = msgspec.structs.replace(
            entry, best=msgspec.structs.replace(entry.best, plan=relative)
        )
    _make(folder)
    index = read_index(folder) if (folder / NAME).is_file() else Index(kind=kind)
    before = {one.name: one for one in index.instances}.get(entry.name)
    if before != entry:
        write_index(index.with_entries([entry]), folder)
    _drop(folder, _gone(before, index.with_entries([entry])))
    return Recorded(folder, kind, entry, _changes(old, entry))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}") from None


def _drop(folder: Path, paths: Sequence[str]) -> None:
    for path in paths:
        with suppress(OSError):
            (folder / path).unlink()


def _gone(before: Entry | None, index: Index) -> list[str]:
    """Return the files of ours that an entry named before and that none names any more."""
    if before is None:
        return []
    now = {path for one in index.instances for path in _paths(one)}
    ours = tuple(f"{part}/" for part in (FILES, PLANS))
    return [path for path in _paths(before) if path not in now and path.startswith(ours)]


def _paths(entry: Entry) -> list[str]:
    named = (entry.source.file, entry.best.plan if entry.best else None)
    return [path for path in named if path is not None]


def _changes(old: Entry | None, new: Entry) -> tuple[str, ...]:
    if old is None:
        return ("new", *_news(None, new.best))
    found = list(_news(old.best, new.best))
    before, after = msgspec.to_builtins(old), msgspec.to_builtins(new)
    found += [
        f"{key} changed"
        for key in ("source", "origin", "tier", "facts", "run")
        if before.get(key) != after.get(key)
    ]
    for key in ("objective", "bound", "proven", "models", "agree"):
        was, now = getattr(old.gate, key), getattr(new.gate, key)
        if was != now:
            plain = not isinstance(now, dict)
            found.append(f"gate: {key} {was} -> {now}" if plain else f"gate: {key} changed")
    return tuple(found)


def _news(old: Best | None, new: Best | None) -> list[str]:
    if new is None:
        return []
    found = []
    for key in ("objective", "bound"):
        was, now = getattr(old, key, None), getattr(new, key)
        if was != now:
            found.append(f"{key} {now}" if was is None else f"{key} {was} -> {now}")
    if new.proven and not (old and old.proven):
        found.append("proven" if new.objective is not None else "proven to have no plan")
    return found
