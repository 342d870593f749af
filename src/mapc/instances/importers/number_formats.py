"""The number formats an importer is asked for: by name, and of one's own from a file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mapc.errors import InstanceError
from mapc.files import MAX_TEXT_BYTES, decode_text, display_name, read_bytes
from mapc.graph.formats import Format, format_named, formats_from
from mapc.instances import schema


def read_formats(path: str | Path) -> dict[str, Format]:
    """Return the formats that a TOML (``.toml``) or JSON file describes.

    Raises
    ------
    InstanceError
        For a file that cannot be read or describes no formats.
    """
    where = display_name(path)
    data = read_bytes(path, MAX_TEXT_BYTES)
    document: Any
    if Path(path).suffix.lower() == ".toml":
        try:
            document = tomllib.loads(decode_text(data, where))
        except tomllib.TOMLDecodeError as error:
            raise InstanceError(f"malformed TOML: {error}", where, "TOML") from None
    else:
        document = schema.decode(data, dict, where)
    return formats_from(document, where)


def chosen_formats(names: Sequence[str], own: str | Path | None = None) -> list[Format]:
    """Return formats by name, those of a file coming first.

    Raises
    ------
    InstanceError
        For a name that stands for none, or what `read_formats` refuses.
    """
    known = {} if own is None else read_formats(own)
    return [format_named(name, known) for name in names]
