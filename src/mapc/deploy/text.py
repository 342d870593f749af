"""JSON and YAML as the exporters write them: deterministic, and read back as meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[.\-][A-Za-z0-9_]+)*\Z")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def to_json(document: Any) -> str:
    """Return indented JSON with a newline at its end."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def to_yaml(document: Mapping[Any, Any]) -> str:
    """Return YAML in block style: mappings, lists, text, numbers, booleans and None.

    Whatever could be taken for anything but text is quoted.
    """
    return "".join(f"{line}\n" for line in _block(document, 0))


def _block(value: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _item(f"{pad}{_scalar(key)}:", item, indent + 2)
        return
    for item in value:
        if isinstance(item, Mapping) and item:
            first, *rest = _block(item, indent + 2)
            yield f"{pad}- {first.lstrip(' ')}"
            yield from rest
        else:
            yield from _item(f"{pad}-", item, indent + 2)


def _item(head: str, value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple):
        if value:
            yield head
            yield from _block(value, indent)
        else:
            yield f"{head} {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield f"{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    if _PLAIN.match(value) and value.lower() not in _RESERVED:
        return value
    return '"' + "".join(_escaped(character) for character in value) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    # a line break or a control character would be folded or refused
    if character.isprintable():
        return character
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
