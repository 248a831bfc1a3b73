"""The annotation network at any size, and the scale that it is run at."""

import numpy as np
import pytest
import torch

from cad_node.networks.annotation_bundle import KINDS
from cad_node.networks.annotation_model import predict, scale_of
from cad_node.networks.annotation_network import build


@pytest.mark.parametrize("shape", [(31, 47), (333, 275), (705, 64), (16, 1400)])
def test_probabilities_have_the_size_of_the_picture_and_add_up(shape):
    torch.manual_seed(0)
    network = build({"widths": [4, 4, 4, 4]}).eval()

    chances = predict(network, np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    assert chances.shape == (len(KINDS), *shape)
    assert chances.dtype == np.float32
    assert np.allclose(chances.sum(axis=0), 1, atol=1e-4)


def test_small_pictures_are_enlarged_and_large_ones_shrunk():
    assert scale_of((200, 300)) == 2.0
    assert scale_of((400, 500)) == pytest.approx(704 / 500)
    assert scale_of((600, 800)) == 1.0
    assert scale_of((2000, 2560)) == 0.5


@pytest.mark.parametrize("config", [{"depth": 3}, {"widths": [4, 4]}, {"widths": 8}])
def test_settings_that_the_network_does_not_have_are_an_error(config):
    with pytest.raises(ValueError, match=r"widths|setting"):
        build(config)


def test_network_has_between_a_hundred_and_five_hundred_thousand_parameters():
    assert 100_000 < sum(one.numel() for one in build({}).parameters()) < 500_000
