import inspect
from importlib import import_module

import numpy as np
import pytest

from mapc.errors import UsageError
from mapc.instances.generators import GENERATORS, generator
from mapc.models import family_of


@pytest.mark.parametrize("kind", GENERATORS)
def test_declared_options_are_those_of_the_function(kind):
    module, _, name = GENERATORS[kind].function.partition(":")
    parameters = inspect.signature(getattr(import_module(module), name)).parameters
    assert [option.name for option in GENERATORS[kind].options] == list(parameters)
    for option in GENERATORS[kind].options:
        default = parameters[option.name].default
        assert option.required == (default is inspect.Parameter.empty)
        assert option.required or option.default == default


def test_a_generator_makes_problems_of_its_kind():
    first, second = (generator("bits")(groups=6, seed=3) for _ in range(2))
    assert family_of(first).kind == "bits"
    assert np.array_equal(first.loss, second.loss)


def test_unknown_generators_and_options():
    with pytest.raises(UsageError, match="generator 'x': unknown; expected bits"):
        generator("x")
    with pytest.raises(UsageError, match="option 'groups' is missing"):
        generator("bits")()
    with pytest.raises(UsageError, match="unknown option 'layers'"):
        generator("bits")(groups=1, layers=2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bits", {"groups": 1}),
        ("placement", {"layers": 1, "experts": 2, "ranks": 1}),
        ("sequence", {}),
    ],
)
def test_seeds_are_not_negative(kind, options):
    with pytest.raises(UsageError, match="seed -1: expected 0 or more"):
        generator(kind)(**options, seed=-1)


def test_models_to_choose_from_are_those_with_costs():
    from mapc.models.sequence.costs.models import FLEXSP_MODELS

    (model,) = (o for o in GENERATORS["sequence"].options if o.name == "model")
    assert model.choices == tuple(FLEXSP_MODELS)
