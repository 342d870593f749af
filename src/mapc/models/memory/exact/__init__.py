"""Order and residency, exactly: best-first search over what has run and where its tensors are."""

from mapc.models.memory.exact.peak import Peak, least_peak
from mapc.models.memory.exact.search import Found, least_traffic

__all__ = ["Found", "Peak", "least_peak", "least_traffic"]
