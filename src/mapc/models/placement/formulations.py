"""Placement problems as programs, by name."""

from __future__ import annotations

from functools import partial

from mapc.models.base import Formulation
from mapc.models.placement.baselines.moetuner_models import FORMULATIONS_MOETUNER
from mapc.models.placement.programs.balance_models import lower_balance
from mapc.models.placement.programs.chain_models import lower_chain
from mapc.models.placement.topology.home_model import FORMULATIONS_HOME

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
