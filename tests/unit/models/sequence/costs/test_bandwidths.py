import numpy as np
import pytest

from mapc.errors import InstanceError
from mapc.models.sequence.costs.bandwidths import bandwidths, hop_bandwidths


def test_published_figures_by_degree():
    found = bandwidths([1, 2, 4, 8, 16, 32, 64], 8)
    assert found.tolist() == [np.inf, 119.54, 104.07, 96.5, 10.33, 5.94, 4.87]


def test_across_nodes_the_number_of_nodes_counts():
    assert bandwidths([2, 4, 8, 16, 32], 4).tolist() == [119.54, 104.07, 10.33, 5.94, 4.87]
    assert bandwidths([8, 16, 32, 64], 16).tolist() == [96.5, 96.5, 10.33, 5.94]


def test_beyond_the_last_a_rank_sends_as_fast_out_of_its_node():
    degrees = [64, 128, 256, 1024]
    found = bandwidths(degrees, 8)
    leaving = found * (1 - 8 / np.array(degrees))
    assert leaving == pytest.approx(np.full(4, 4.87 * 7 / 8))
    assert (np.diff(found) < 0).all()


def test_own_figures_within_a_node_hold_up_to_its_end():
    assert bandwidths([2, 4, 8], 8, {2: 50.0}).tolist() == [50.0, 50.0, 50.0]
    assert bandwidths([32], 8, {16: 10.0})[0] == pytest.approx(10.0 * 0.5 / 0.75)


@pytest.mark.parametrize("degree", [4, 16])
def test_a_figure_that_cannot_be_told_is_asked_for(degree):
    figures = {2: 50.0, 8: 40.0}
    with pytest.raises(InstanceError, match=f"none for degree {degree}; .* beside degrees 2, 8"):
        bandwidths([degree], 8, figures)


def test_a_ring_leaves_its_node_at_one_rank():
    degree = np.array([1, 4, 64])
    hop = hop_bandwidths(degree, 8, bandwidths(degree.tolist(), 8))
    assert hop == pytest.approx([np.inf, 104.07 * 3 / 4, 8 * 4.87 * 7 / 8])


def test_fast_links_between_nodes_leave_a_ring_to_its_slowest_hop():
    figures = {8: 96.0, 16: 90.0}
    degree = np.array([16])
    hop = hop_bandwidths(degree, 8, bandwidths([16], 8, figures), figures)
    assert hop.tolist() == [96.0 * 7 / 8]
