"""``mapc schema``: the JSON Schema of the files mapc reads and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from mapc.cli.output import print_json

_PREFIX = "#/$defs/"


@click.command()
@click.argument("what", type=click.Choice(["instance", "plan"]), required=False)
def schema(what: str | None) -> None:
    """Print the JSON Schema of instances and plans."""
    from mapc.instances import json_schema

    document = json_schema()
    print_json(document if what is None else restricted(document, what))


def restricted(document: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the schema of one sort of file alone, with the definitions it needs.

    Parameters
    ----------
    document : mapping
        A schema whose ``oneOf`` refers to one definition for each family and sort of file.
    what : str
        ``"instance"`` or ``"plan"``: what ``properties.schema`` of a definition is for.
    """
    definitions = document["$defs"]
    wanted = f"mapc/{what}"
    chosen = [ref for ref in document["oneOf"] if wanted in _sort_of(definitions, ref["$ref"])]
    needed: dict[str, Any] = {}
    waiting = [ref["$ref"] for ref in chosen]
    while waiting:
        name = waiting.pop().removeprefix(_PREFIX)
        if name not in needed:
            needed[name] = definitions[name]
            waiting += _references(definitions[name])
    return {
        **document,
        "title": f"mapc {what} file",
        "oneOf": chosen,
        "$defs": {name: needed[name] for name in definitions if name in needed},
    }


def _sort_of(definitions: Mapping[str, Any], reference: str) -> str:
    """Return the part of a definition that says which sort of file it is."""
    return json.dumps(definitions[reference.removeprefix(_PREFIX)]["properties"]["schema"])


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
