"""What can be imported and exported, found when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def importers() -> Mapping[str, Any]:
    """Return the importers by name."""
    return _registry("mapc.instances.importers", "IMPORTERS")


def exporters() -> Mapping[str, Any]:
    """Return the exporters by name."""
    return _registry("mapc.deploy", "EXPORTERS")


def _registry(module: str, name: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = getattr(import_module(module), name)
    except ModuleNotFoundError:
        return {}
    return found
