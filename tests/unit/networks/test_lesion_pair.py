import pytest
import torch

from cad_node.networks import LesionNetwork, build_network
from cad_node.networks.lesion_pair import build, join_networks

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}


def single(seed: int) -> LesionNetwork:
    torch.manual_seed(seed)
    return build_network("flexible-unet-lite0", SMALL).eval()


def answers(
    network: LesionNetwork, image: torch.Tensor, mask: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        logits, features = network(image)
        return logits, network.classify(features, mask)


def test_a_joined_pair_outlines_as_one_network_and_names_classes_as_the_other():
    first, second = single(1), single(2)
    image = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(3))
    mask = (image > 1).float()

    outlines, classes = answers(join_networks(first, second, SMALL), image, mask)

    torch.testing.assert_close(outlines, answers(first, image, mask)[0])
    torch.testing.assert_close(classes, answers(second, image, mask)[1])
    assert not torch.allclose(outlines, answers(second, image, mask)[0])
    assert not torch.allclose(classes, answers(first, image, mask)[1])


def test_a_pair_may_itself_be_a_part():
    pair = join_networks(single(1), single(2), SMALL)
    image = torch.randn(1, 1, 64, 64)
    mask = torch.ones(1, 1, 64, 64)

    outlines, classes = answers(join_networks(pair, pair, SMALL), image, mask)

    torch.testing.assert_close(outlines, answers(pair, image, mask)[0])
    torch.testing.assert_close(classes, answers(pair, image, mask)[1])


def test_networks_of_other_widths_are_not_joined():
    with pytest.raises(RuntimeError, match="size mismatch"):
        join_networks(single(1), single(2), {})


def test_the_class_half_learns_nothing_from_outlines():
    pair = build(SMALL)
    logits, _ = pair(torch.zeros(2, 1, 64, 64))
    logits.sum().backward()

    assert all(parameter.grad is None for parameter in pair.unet.parameters())
    assert any(parameter.grad is not None for parameter in pair.masks.parameters())
