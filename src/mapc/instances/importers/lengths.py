"""Lengths of sequences, a global batch of them as a sequence problem.

Files: ``.npz`` (the array ``lengths``, or the only one), ``.npy``, and text: CSV with a column
``length`` or ``lengths``, or numbers apart by blanks, commas or line ends, as FlexSP's data sets.
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mapc.errors import InstanceError, UsageError
from mapc.files import MAX_TEXT_BYTES, STREAM, decode_text, display_name, read_bytes
from mapc.graph.operators import IntArray
from mapc.instances.importers.arrays import read_arrays, whole_numbers
from mapc.instances.importers.timings import read_timings
from mapc.models.sequence.costs.fitting import fit_cost
from mapc.models.sequence.costs.models import (
    FLEXSP_MODELS,
    NODE_RANKS,
    flexsp_cost,
    megatron_cost,
)
from mapc.models.sequence.problem import RING, ULYSSES, GroupCost, SequenceProblem
from mapc.options import Option

DROP, CLIP, KEEP = "drop", "clip", "keep"
"""What happens to sequences above the longest length: left out, cut to it, or refused later."""
BOTH, MEGATRON = "both", "megatron"
PADDING = 128
"""FlexSP's: twice its 64 ranks."""
MEMORY_LIMIT_GB = 30.0
MAX_TOKENS = 2**40
MAX_TOKENS_PER_RANK = 2**30
"""More are bytes: no rank has the memory for so many tokens."""

OPTIONS = (
    Option("ranks", "Ranks of the cluster.", int, required=True),
    Option("ranks_per_node", "Ranks that share a node.", int, NODE_RANKS),
    Option("batch", "Sequences of a global batch.", int, 512),
    Option("index", "Which batch of the file, from 0 on.", int, 0),
    Option(
        "model",
        "Whose costs: of FlexSP's models, or what Megatron's scheduler counts.",
        default="gpt-7b",
        choices=(*FLEXSP_MODELS, MEGATRON),
    ),
    Option("max_length", "Longest sequence, in tokens: 192K, 128Ki.", default="192K"),
    Option("too_long", "What happens to longer ones.", default=DROP, choices=(DROP, CLIP, KEEP)),
    Option("padding", "Lengths are rounded up to multiples of it.", int, PADDING),
    Option(
        "memory_limit_gb", "Memory of a rank, for states and activations.", float, MEMORY_LIMIT_GB
    ),
    Option("degrees", "Ranks a group may have, powers of two; all by default.", int, many=True),
    Option("heads", "Attention heads: all-to-all groups share them out evenly.", int),
    Option("kv_heads", "Key-value heads, likewise.", int),
    Option(
        "sharing",
        "How a group shares a sequence: all-to-all over heads, a ring, or either.",
        default=ULYSSES,
        choices=(ULYSSES, RING, BOTH),
    ),
    Option("bandwidth", "GB/s of all-to-alls by degree: 2=119.5,8=96.5.", many=True),
    Option("timings", "CSV with measured times, to fit costs to.", Path),
    Option("tokens_per_rank", "What a rank holds, with timings or megatron: 8192, 8Ki."),
    Option("least", "Micro-batches, at least.", int, 1),
    Option("most", "Micro-batches, at most.", int),
)
"""Keywords of `import_lengths`, as command lines have them."""
_TOKENS = re.compile(r"\s*(\d{1,13}(?:\.\d{1,6})?)\s*(k|ki|m|mi)?\s*\Z", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(
    r"[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|nan|inf(?:inity)?)\Z", re.ASCII | re.I
)
_FACTORS = {"": 1, "k": 10**3, "ki": 2**10, "m": 10**6, "mi": 2**20}


def parse_tokens(text: str | int) -> int:
    """Return a number of tokens such as ``"192K"`` (192,000, as FlexSP has it) or ``"128Ki"``.

    Raises
    ------
    UsageError
        If it is none, no whole number, or outside 1 to 2**40.
    """
    match = _TOKENS.match(str(text))
    if match is None:
        raise UsageError(f"tokens {str(text)[:40]!r}: expected e.g. 4096, 192K or 128Ki")
    whole, _, part = match[1].partition(".")
    factor = _FACTORS[(match[2] or "").lower()]
    value, rest = divmod(int(whole + part) * factor, int(10 ** len(part)))
    if rest or not 1 <= value <= MAX_TOKENS:
        raise UsageError(f"tokens {str(text)[:40]!r}: expected a whole number 1 to {MAX_TOKENS}")
    return value


def parse_bandwidth(given: Mapping[int, float] | Sequence[str] | None) -> dict[int, float] | None:
    """Return GB/s by degree from texts such as ``"8=96.5"``, or what is a mapping already.

    Raises
    ------
    UsageError
        For a text that is none, and a degree that is given twice.
    """
    if given is None or isinstance(given, Mapping):
        return None if given is None else dict(given)
    found: dict[int, float] = {}
    for text in given:
        degree, _, value = (part.strip() for part in str(text).partition("="))
        if not (degree.isascii() and degree.isdecimal() and len(degree) < 10 and _is_number(value)):
            raise UsageError(f"bandwidth {str(text)[:40]!r}: expected DEGREE=GB/s, e.g. 8=96.5")
        if int(degree) in found:
            raise UsageError(f"bandwidth: degree {int(degree)} twice; expected every degree once")
        found[int(degree)] = float(value)
    return found


class LengthsFile(str):
    """A path of recorded lengths, which are read once however many batches are imported."""

    @cached_property
    def values(self) -> IntArray:
        """int64[n]: what `read_lengths` says of the path."""
        return read_lengths(str(self))


def read_lengths(path: str | Path) -> IntArray:
    """Return int64[K]: the lengths in a file, in its order.

    Raises
    ------
    InstanceError
        For a file of another shape, and for a length that is no whole number from 1 on; its place
        is named.
    """
    where = display_name(path)
    if Path(path).suffix.lower() in (".npz", ".npy"):
        arrays = read_arrays(path)
        name = "lengths" if "lengths" in arrays else next(iter(arrays))
        if len(arrays) > 1 and name != "lengths":
            raise InstanceError(f"{len(arrays)} arrays", where, "one, or one named 'lengths'")
        values: Any = arrays[name]
        if values.ndim != 1:
            raise InstanceError(f"shape {values.shape}", where, "a row of lengths")
    else:
        values = _from_text(decode_text(read_bytes(path, MAX_TEXT_BYTES), where), where)
    if len(values) == 0:
        raise InstanceError("no lengths", where, "one whole number for each sequence")
    return whole_numbers(values, f"{where}: lengths", 1, MAX_TOKENS)


def _from_text(text: str, where: str) -> Any:
    lines = [
        (at, line)
        for at, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    # a header has no numbers; a word among numbers is a wrong number, and named as such
    if lines and not any(map(_is_number, lines[0][1].replace(",", " ").split())):
        words = _column(lines, where)
    else:
        words = [word for _, line in lines for word in line.replace(",", " ").split()]
    # Python reads 1_000 and digits of other scripts, tables do not
    joined = " ".join(words)
    if joined.isascii() and "_" not in joined:
        with contextlib.suppress(ValueError):
            return np.array(words, dtype=np.float64)
    for at, word in enumerate(words):
        if not _is_number(word):
            place = f"{where}: lengths[{at}]"
            raise InstanceError(f"{word!r}"[:60], place, "a whole number")
    return np.array(words, dtype=np.float64)


def _column(lines: list[tuple[int, str]], where: str) -> list[str]:
    """Return the cells of the column ``length`` of numbered lines, a header before them."""
    try:
        header, *rows = csv.reader([line for _, line in lines], strict=True)
    except csv.Error as error:
        raise InstanceError(f"malformed CSV: {error}", where, "a table") from None
    names = [name.strip().lower() for name in header]
    found = [i for i, name in enumerate(names) if name in ("length", "lengths")]
    if len(found) != 1:
        columns = f"columns {lines[0][1]!r}"[:80]
        raise InstanceError(columns, where, f"{'a' if not found else 'one'} column 'length'")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            # of cells that span lines the reader makes fewer rows; then count rows
            whole = len(rows) + 1 == len(lines)
            place = f"line {lines[number + 1][0]}" if whole else f"row {number}"
            right = f"{len(names)} as in the header"
            raise InstanceError(f"{len(row)} fields", f"{where}: {place}", right)
    return [row[found[0]].strip() for row in rows]


def _is_number(word: str) -> bool:
    return _NUMBER.match(word) is not None


def import_lengths(
    path: str | Path,
    *,
    ranks: int,
    ranks_per_node: int = NODE_RANKS,
    batch: int = 512,
    index: int = 0,
    model: str = "gpt-7b",
    max_length: str | int = "192K",
    too_long: str = DROP,
    padding: int = PADDING,
    memory_limit_gb: float = MEMORY_LIMIT_GB,
    degrees: Sequence[int] | None = None,
    heads: int | None = None,
    kv_heads: int | None = None,
    sharing: str = ULYSSES,
    bandwidth: Mapping[int, float] | Sequence[str] | None = None,
    timings: str | Path | None = None,
    tokens_per_rank: str | int | None = None,
    least: int = 1,
    most: int | None = None,
) -> SequenceProblem:
    """Read one global batch of lengths.

    Parameters
    ----------
    path : path
    ranks, ranks_per_node : int
        Fewer ranks than fill a node are one node.
    batch, index : int
        The batch is sequences ``index * batch`` to ``(index + 1) * batch - 1`` of those that are
        left when long ones are dropped, fewer at the end of the file.
    model : str
        A name in `mapc.models.sequence.costs.models.FLEXSP_MODELS`, or ``"megatron"``.
    max_length : str or int
        Tokens: ``"192K"`` is 192,000, ``"192Ki"`` 196,608.
    too_long : str
        Longer sequences: ``"drop"`` before batches are cut, as FlexSP does (it drops those within
        one padding of the limit as well); ``"clip"`` to that length; or ``"keep"``.
    padding : int
        Lengths are rounded up to multiples of it.
    memory_limit_gb, degrees, heads, kv_heads, bandwidth
        See `mapc.models.sequence.costs.models.flexsp_cost`; bandwidths by degree, or texts such as
        ``"8=96.5"``.
    sharing : str
        ``"ulysses"``, ``"ring"`` or ``"both"``.
    timings : path, optional
        A table (`mapc.instances.importers.timings`) that costs are fitted to, instead of a model;
        how well they fit stands in the provenance.
    tokens_per_rank : str or int, optional
        What the memory of a rank holds; needed with ``timings`` and ``"megatron"``.
    least, most : int
        Micro-batches.

    Raises
    ------
    InstanceError
        For a file or a table of another shape, a batch past the end, figures out of range, and all
        that `SequenceProblem` refuses.
    UsageError
        For an option that has no meaning.
    """
    where = display_name(path)
    limit = parse_tokens(max_length)
    _check_options(batch, index, too_long, sharing)
    source: dict[str, Any] = {
        "source": Path(path).name, "format": "lengths", "batch": batch, "index": index,
        "max_length": limit, "too_long": too_long,
    }  # fmt: skip
    per_node = min(ranks_per_node, ranks)
    if timings is None and model != MEGATRON:
        if tokens_per_rank is not None:
            raise UsageError(f"tokens per rank: follow from the memory with model {model!r}")
        kinds = (ULYSSES, RING) if sharing == BOTH else (sharing,)
        cost = flexsp_cost(
            model, ranks, per_node, limit, memory_limit_gb, degrees, heads, kv_heads,
            parse_bandwidth(bandwidth), kinds,
        )  # fmt: skip
        source["model"] = model
    else:
        for name, given in (
            ("heads", heads is not None),
            ("kv heads", kv_heads is not None),
            ("bandwidth", bandwidth is not None),
            ("sharing", sharing != ULYSSES),
            ("memory limit", memory_limit_gb != MEMORY_LIMIT_GB),
        ):
            if given:
                raise UsageError(f"{name}: applies to FlexSP's models only")
        cost = _other_cost(timings, tokens_per_rank, ranks, degrees, source)
    values = path.values if isinstance(path, LengthsFile) else read_lengths(path)
    lengths = _batch(_within(values, limit, too_long), batch, index, where)
    stem = "lengths" if str(path) == STREAM else Path(path).stem
    return SequenceProblem(
        name=f"{stem}-{index}",
        lengths=lengths,
        n_ranks=ranks,
        node_ranks=per_node,
        cost=cost,
        padding=padding,
        least=least,
        most=most,
        provenance=source,
    )


def _check_options(batch: int, index: int, too_long: str, sharing: str) -> None:
    for name, value, low in (("batch", batch, 1), ("index", index, 0)):
        if not isinstance(value, int) or value < low:
            raise UsageError(f"{name} {value!r}: expected a whole number >= {low}")
    if too_long not in (DROP, CLIP, KEEP):
        raise UsageError(f"too long {too_long!r}: expected {DROP}, {CLIP} or {KEEP}")
    if sharing not in (ULYSSES, RING, BOTH):
        raise UsageError(f"sharing {sharing!r}: expected {ULYSSES}, {RING} or {BOTH}")


def _other_cost(
    timings: str | Path | None,
    tokens_per_rank: str | int | None,
    ranks: int,
    degrees: Sequence[int] | None,
    source: dict[str, Any],
) -> GroupCost:
    """Return fitted or Megatron's costs, and say in ``source`` where they come from."""
    if tokens_per_rank is None:
        raise UsageError("tokens per rank: missing; expected what the memory holds, e.g. 8192")
    tokens = parse_tokens(tokens_per_rank)
    if tokens > MAX_TOKENS_PER_RANK:
        right = f"tokens, not bytes: at most {MAX_TOKENS_PER_RANK}"
        raise InstanceError(f"{tokens}", "tokens per rank", right)
    if timings is None:
        source["model"] = MEGATRON
        return megatron_cost(ranks, tokens, degrees)
    if degrees is not None:
        raise UsageError("degrees: with timings, those of the table are allowed")
    table = read_timings(timings)
    try:
        fitted = fit_cost(table, tokens)
    except InstanceError as error:
        raise error.inside(display_name(timings)) from None
    source |= {"timings": Path(timings).name, "rms_ms": fitted.rms, "relative": fitted.relative}
    return fitted.cost


def _within(lengths: IntArray, limit: int, too_long: str) -> IntArray:
    if too_long == KEEP:
        return lengths
    return np.minimum(lengths, limit) if too_long == CLIP else lengths[lengths <= limit]


def _batch(lengths: IntArray, batch: int, index: int, where: str) -> IntArray:
    n = -(-len(lengths) // batch)
    if index >= n:
        right = f"0 to {n - 1}" if n else "sequences within the longest length"
        raise InstanceError(f"{len(lengths)} sequences", f"{where}: batch {index}", right)
    return lengths[index * batch : (index + 1) * batch].copy()
