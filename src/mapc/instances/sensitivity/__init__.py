"""How much a number format costs a layer, measured on its weights."""

from mapc.instances.sensitivity.errors import Errors, weight_errors
from mapc.instances.sensitivity.tensors import LOSSES, WeightTensor, problem_from_weights

__all__ = ["LOSSES", "Errors", "WeightTensor", "problem_from_weights", "weight_errors"]
