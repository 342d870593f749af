"""Placement problems as programs."""

from __future__ import annotations

from mapc.models.base import Formulation

FORMULATIONS: dict[str, Formulation] = {}
