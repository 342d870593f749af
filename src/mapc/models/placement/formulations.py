"""Placement problems as programs, by name."""

from __future__ import annotations

from functools import partial

from mapc.models.base import Formulation
from mapc.models.placement.balance_models import lower_balance
from mapc.models.placement.chain_models import lower_chain
from mapc.models.placement.home_model import FORMULATIONS_HOME
from mapc.models.placement.moetuner_models import FORMULATIONS_MOETUNER

FORMULATIONS: dict[str, Formulation] = {
    "degree": Formulation(
        "degree",
        partial(lower_chain, name="degree", degree=True),
        "no replicas: products with degree rows",
    ),
    "mccormick": Formulation(
        "mccormick",
        partial(lower_chain, name="mccormick", degree=False),
        "no replicas: products alone, for comparison",
    ),
    "balance": Formulation("balance", lower_balance, "work alone, replicas chosen by their number"),
    **FORMULATIONS_HOME,
    **FORMULATIONS_MOETUNER,
}
"""In the order of listings."""
