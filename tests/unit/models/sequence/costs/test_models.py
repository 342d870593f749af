import dataclasses

import numpy as np
import pytest

from mapc.errors import InstanceError
from mapc.models.sequence.costs.models import FLEXSP_MODELS, FlexspModel, flexsp_cost, megatron_cost


def _time(cost, degree, lengths, kind="ulysses"):
    at = list(zip(cost.degree.tolist(), cost.kind, strict=True)).index((degree, kind))
    s = np.array(lengths, dtype=float)
    return cost.fixed[at] + (cost.quadratic[at] * s**2 + cost.linear[at] * s).sum()


def test_tokens_of_the_published_7b_on_64_ranks():
    cost = flexsp_cost("gpt-7b", 64, 8, 384_000)
    assert cost.tokens.tolist() == [6407 * d for d in (1, 2, 4, 8, 16, 32, 64)]
    assert cost.degree.tolist() == [1, 2, 4, 8, 16, 32, 64]
    assert set(cost.kind) == {"ulysses"}


@pytest.mark.parametrize(
    ("model", "published"),
    [
        ("gpt-7b", 7.8498687744140625),
        ("gpt-13b", 14.03158187866211),
        ("gpt-30b", 32.71532440185547),
    ],
)
def test_states_grow_with_positions_to_the_size_published_for_384k(model, published):
    states = FLEXSP_MODELS[model].states_mb(64, 384_000)
    assert states == pytest.approx(published * 16 * 1024 / 64, rel=1e-12)


def test_time_of_a_group_is_the_published_formula():
    lengths = [128, 5000, 31_269]
    # 4 all-to-alls x 2 passes x 40 layers x 5120 numbers x 2 bytes, in MiB
    mib = sum(lengths) * 4 * 2 * 40 * 5120 * 2 / 1024 / 1024
    work = sum(9.2852e-6 * s * s + 0.3060189 * s for s in lengths)
    cost = flexsp_cost("gpt-13b", 64, 8, 192_000)
    assert _time(cost, 16, lengths) == pytest.approx(1132.5632 + work / 16 + mib / (16 * 10.33))
    assert _time(cost, 8, lengths) == pytest.approx(1132.5632 + work / 8 + mib / (8 * 96.5))
    assert _time(cost, 1, lengths) == pytest.approx(1132.5632 + work)


def test_a_ring_passes_six_blocks_to_its_neighbour():
    cost = flexsp_cost("gpt-7b", 64, 8, 192_000, kinds=("ring", "ulysses"), heads=32, kv_heads=8)
    modes = list(zip(cost.degree.tolist(), cost.kind, strict=True))
    assert modes[:3] == [(1, "ulysses"), (2, "ulysses"), (2, "ring")]
    assert modes[-1] == (64, "ring")
    mib_per_block_and_token = 32 * 4096 * 2 / 2**20 * 8 / 32 / 4
    rate = 104.07 * 3 / 4
    expected = 0.1839576 / 4 + 6 * 3 * mib_per_block_and_token / rate
    assert cost.linear[modes.index((4, "ring"))] == pytest.approx(expected)


def test_overlap_hides_transfers_of_rings_only():
    def linear(overlap):
        return flexsp_cost("gpt-7b", 16, 8, 192_000, kinds=("ulysses", "ring"), overlap=overlap)

    shown, hidden = linear(0.0), linear(1.0)
    ring = np.array([kind == "ring" for kind in shown.kind])
    assert np.array_equal(shown.linear[~ring], hidden.linear[~ring])
    assert np.allclose(hidden.linear[ring], 0.1839576 / hidden.degree[ring])
    assert (shown.linear[ring] > hidden.linear[ring]).all()


def test_heads_cap_the_degree_of_all_to_alls():
    def degrees(**heads):
        return flexsp_cost("gpt-7b", 64, 8, 192_000, **heads).degree.tolist()

    assert degrees(heads=32) == [1, 2, 4, 8, 16, 32]
    assert degrees(heads=32, kv_heads=4) == [1, 2, 4]
    assert degrees(heads=12) == [1, 2, 4]
    assert degrees(degrees=[64, 8, 8]) == [8, 64]
    assert degrees(degrees=np.array([64, 8])) == [8, 64]


def test_ranks_need_not_be_a_power_of_two():
    assert flexsp_cost("gpt-7b", 24, 8, 8192).degree.tolist() == [1, 2, 4, 8, 16]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "gpt-8b"}, "model: 'gpt-8b'; expected gpt-7b, gpt-13b, gpt-30b"),
        ({"degrees": [3]}, "degrees: 3; expected powers of two, 1 to 64"),
        ({"degrees": [128]}, "degrees: 128; expected powers of two, 1 to 64"),
        ({"degrees": []}, "degrees: none; expected"),
        (
            {"degrees": [8], "heads": 12},
            "degrees: 8; expected a power of two that divides 12 heads",
        ),
        ({"kinds": ("tree",)}, "kind: 'tree'; expected ulysses or ring"),
        (
            {"memory_limit_gb": 30e9},
            "memory limit: 30000000000.0; expected GB of 1024 MB, above 0 to 8192",
        ),
        ({"memory_limit_gb": 1.5}, "memory limit: 1.5 GB; expected 1.79 GB or more"),
        ({"bandwidth": {2: 1e11}}, "bandwidth of degree 2: 100000000000.0; expected GB/s"),
        ({"overlap": 2.0}, "overlap: 2.0; expected 0 to 1"),
        ({"overlap": "all"}, "overlap: 'all'; expected 0 to 1"),
        ({"model": None}, "model: None; expected gpt-7b, gpt-13b, gpt-30b, or a FlexspModel"),
        ({"memory_limit_gb": "80"}, "memory limit: '80'; expected GB of 1024 MB"),
        ({"degrees": "1,2"}, "degrees: '1,2'; expected a list"),
        ({"degrees": 8}, "degrees: 8; expected a list"),
        ({"degrees": [1, "2"]}, "degrees: '2'; expected powers of two"),
        ({"kinds": "ring"}, "kinds: 'ring'; expected a list"),
        ({"bandwidth": 5.0}, "bandwidth: 5.0; expected GB/s by degree"),
        ({"bandwidth": {2: "x"}}, "bandwidth of degree 2: 'x'; expected GB/s"),
        ({"bandwidth": {"2": 5.0}}, "degree of a bandwidth: '2'; expected a power of two from 2"),
        ({"bandwidth": {2: 5.0, 3: 5.0}}, "degree of a bandwidth: 3; expected a power of two"),
        ({"n_ranks": 0}, "ranks: 0; expected a whole number"),
        ({"heads": 0}, "heads: 0; expected a whole number"),
        ({"heads": 32, "kv_heads": 64}, "kv heads: 64; expected a divisor of the 32 heads"),
        (
            {"n_ranks": 1, "node_ranks": 1, "degrees": [1]},
            "memory limit: 30 GB; expected 113.89 GB or more, what model states on 1 rank and",
        ),
        ({"max_length": 1.5}, "max length: 1.5; expected a whole number"),
    ],
)
def test_refusals_are_one_line(change, message):
    arguments = {"model": "gpt-7b", "n_ranks": 64, "node_ranks": 8, "max_length": 192_000} | change
    with pytest.raises(InstanceError) as refused:
        flexsp_cost(**arguments)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_own_figures():
    half = dataclasses.replace(FLEXSP_MODELS["gpt-7b"], quadratic=2.564e-6)
    assert flexsp_cost(half, 8, 8, 4096).quadratic[0] == 2.564e-6


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("linear", float("nan")),
        ("linear", -1.0),
        ("activation", 0.0),
        ("quadratic", 5.0),
        ("fixed", None),
    ],
)
def test_figures_in_wrong_units_are_refused(field, value):
    figures: FlexspModel = dataclasses.replace(FLEXSP_MODELS["gpt-7b"], **{field: value})
    with pytest.raises(InstanceError, match=f"model: {field}"):
        flexsp_cost(figures, 8, 8, 4096)


def test_megatron_counts_squares_over_ranks():
    cost = megatron_cost(8, 4096)
    assert cost.degree.tolist() == [1, 2, 4, 8]
    assert cost.quadratic.tolist() == [1.0, 0.5, 0.25, 0.125]
    assert not cost.linear.any()
    assert not cost.fixed.any()
    assert cost.tokens.tolist() == [4096, 8192, 16384, 32768]
    assert set(cost.kind) == {"ring"}
    with pytest.raises(InstanceError, match="tokens per rank"):
        megatron_cost(8, 0)
