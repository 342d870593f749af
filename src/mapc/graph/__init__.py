"""The graph IR: what is mapped, and what it is mapped onto."""

from mapc.graph.devices import DeviceGraph
from mapc.graph.operators import OperatorGraph, Ragged

__all__ = ["DeviceGraph", "OperatorGraph", "Ragged"]
