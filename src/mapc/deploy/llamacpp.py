r"""llama.cpp: the type of every tensor, for ``llama-quantize``.

An entry is ``REGEX=TYPE``: searched for in the tensor's name, after the pattern has been turned to
lower case, and split at its first ``=``; entries are separated by white space. Which entry counts
where several match has differed between versions, so each pattern here matches one name only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mapc.deploy.assignment import Entry, assignments
from mapc.deploy.gguf_names import gguf_name
from mapc.errors import UsageError
from mapc.graph.formats import CAST, PACKED, Format
from mapc.models.bits.plan import BitsPlan
from mapc.models.bits.problem import BitsProblem

RUNTIME = "llamacpp"
_CASTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_ARGUMENT_OF = {
    "output.weight": "--output-tensor-type",
    "token_embd.weight": "--token-embedding-type",
}


def export(
    problem: BitsProblem,
    plan: BitsPlan,
    *,
    names: str = "gguf",
    form: str = "file",
    rename: Sequence[str] = (),
    separator: str | None = None,
) -> str:
    """Return the file for ``--tensor-type-file``, or the arguments themselves, one a line.

    The arguments name output and token embeddings by their own options, which come first wherever
    a version knows them.

    Raises
    ------
    UsageError
        For a format that is no ggml type, a name that no GGUF tensor has, or parts of one tensor
        (the experts of a layer) that disagree.
    """
    entries = assignments(
        problem,
        plan,
        RUNTIME,
        knows,
        rename=rename,
        separator=separator,
        translate=gguf_name if names == "hf" else str,
    )
    if form == "file":
        return "".join(f"{rule(entry)}\n" for entry in entries)
    return "".join(f"{word}\n" for entry in entries for word in _arguments(entry))


def rule(entry: Entry) -> str:
    """Return the entry for one tensor."""
    return f"{pattern(entry.name)}={ggml_type(entry.format)}"


def pattern(name: str) -> str:
    """Return a regular expression that matches one tensor name and no other.

    Raises
    ------
    UsageError
        For a name that is not plain ASCII: patterns are matched byte by byte.
    """
    if not (name.isascii() and name.isprintable()):
        raise UsageError(f"{RUNTIME}: tensor {name!r}: expected a name in plain ASCII")
    return "^" + "".join(_literal(character) for character in name) + "$"


def _literal(character: str) -> str:
    if character in "\\^$.|?*+()[]{}/":
        return "\\" + character
    # what lower case, the split or white space would change is written by its code
    if character.isupper() or character in "= ":
        return f"\\x{ord(character):02x}"
    return character


def knows(format: Format) -> bool:
    """Whether llama.cpp has a format as a type of tensors."""
    return ggml_type(format) is not None


def ggml_type(format: Format) -> str | None:
    """Return the ggml type that stores a format, or None.

    Of the block floats only mxfp4 is laid out as ggml has it.
    """
    if format.kind == CAST:
        return _CASTS.get(format.name)
    if format.kind == PACKED:
        return format.name
    return format.name if format.name == "mxfp4" else None


def _arguments(entry: Entry) -> tuple[str, str]:
    option = _ARGUMENT_OF.get(entry.name)
    if option is not None:
        return option, str(ggml_type(entry.format))
    return "--tensor-type", rule(entry)


def tensor_types(text: str) -> list[tuple[re.Pattern[str], str]]:
    """Return what a file for ``--tensor-type-file`` says, as llama-quantize reads it.

    Raises
    ------
    UsageError
        For an entry that it would refuse.
    """
    found = []
    for word in text.split():
        name, equals, kind = word.partition("=")
        if not (name and equals and kind):
            raise UsageError(f"tensor type {word!r}: expected REGEX=TYPE")
        found.append((re.compile(name.lower()), kind))
    return found
