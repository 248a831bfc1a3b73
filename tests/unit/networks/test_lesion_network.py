import pytest
import torch

from cad_node.networks import NETWORKS, build_network
from cad_node.networks.lesion_network import CLASS_NAMES, build

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(SMALL).eval()


def _disc(row: int, column: int, radius: int) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    return (((rows - row) ** 2 + (columns - column) ** 2) <= radius**2).float()[None, None]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture_builds_and_gives_a_logit_a_pixel(name):
    network = build_network(name, SMALL).eval()
    with torch.inference_mode():
        logits, features = network(torch.zeros(2, 1, 64, 64))
        classes = network.classify(features, torch.zeros(2, 1, 64, 64))
    assert logits.shape == (2, 1, 64, 64)
    assert classes.shape == (2, len(CLASS_NAMES))


def test_each_mask_gets_its_own_answer(network):
    torch.manual_seed(3)
    with torch.inference_mode():
        _, features = network(torch.randn(1, 1, 64, 64))
        left = network.classify(features, _disc(32, 16, 9))
        right = network.classify(features, _disc(32, 48, 9))
    assert not torch.allclose(left, right, atol=1e-4)


def test_empty_mask_is_a_valid_question(network):
    with torch.inference_mode():
        _, features = network(torch.randn(1, 1, 64, 64))
        assert torch.isfinite(network.classify(features, torch.zeros(1, 1, 64, 64))).all()


def test_class_does_not_depend_on_the_other_images_of_the_batch(network):
    torch.manual_seed(4)
    images, masks = torch.randn(2, 1, 64, 64), torch.cat([_disc(20, 20, 8), _disc(40, 44, 12)])
    with torch.inference_mode():
        _, both = network(images)
        _, second = network(images[1:])
        torch.testing.assert_close(
            network.classify(both, masks)[1:], network.classify(second, masks[1:]), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_lower_the_loss(name):
    torch.manual_seed(0)
    network = build_network(name, SMALL | {"dropout": 0.0})
    image, mask = torch.randn(4, 1, 64, 64), _disc(32, 32, 14).repeat(4, 1, 1, 1)
    target = torch.tensor([0, 1, 2, 1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(6):
        logits, features = network(image)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, mask)
        loss = loss + torch.nn.functional.cross_entropy(network.classify(features, mask), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "config",
    [{"encoder": "vgg"}, {"decoder_channels": [1, 2]}, {"dropout": "much"}],
    ids=["unknown key", "too few channels", "no number"],
)
def test_wrong_config_is_refused(config):
    with pytest.raises(ValueError, match=r"no setting|five numbers|be a number"):
        build(config)
