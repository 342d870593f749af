"""Addresses by a complete search: finds a placement in a given capacity, or proves there is none.

Depth first, lowest buffer first, with propagation (`propagation_kernels`, `floors_kernels`),
reasons and backjumping (`state_kernels`, `search_kernels`), independent regions
(`regions_kernels`), a table of failed states (`table_kernels`), and restarts with changing
priorities (`priorities`). `place` answers for one capacity, `least_peak` minimises.
"""

from mapc.models.allocation.exact.peak import Lowering, Peak, least_peak
from mapc.models.allocation.exact.place import Placed, Placing, place, ready

__all__ = ["Lowering", "Peak", "Placed", "Placing", "least_peak", "place", "ready"]
