"""The papers' networks: their published sizes, their shapes, their weight files."""

import pytest
import torch

from cad_node.errors import ModelError
from cad_node.networks.papers import (
    BACKBONES,
    build_classifier,
    build_segmenter,
    load_weight_file,
    load_weights,
)

# Million parameters of the classifiers of a thousand classes as torchvision publishes them, U-Net as in
# its paper (for segmentation). The second paper's VGG-12 was never published.
PUBLISHED = {
    "alexnet": 61.10, "vgg16": 138.36, "vgg19": 143.67, "resnet18": 11.69, "resnet50": 25.56,
    "densenet161": 28.68, "inception": 6.62, "unet": 31.03,
}  # fmt: skip


def _millions(network):
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize("name", PUBLISHED)
def test_network_has_its_published_size(name):
    with torch.device("meta"):
        network = build_segmenter(name) if name == "unet" else build_classifier(name, classes=1000)
    assert _millions(network) == pytest.approx(PUBLISHED[name], rel=0.01)


def test_vgg12_lies_between_the_published_vggs():
    with torch.device("meta"):
        network = build_classifier("vgg12", classes=1000)
    layers = [m for m in network.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layers) == 12
    assert 132.86 < _millions(network) < 133.05  # VGG-11 and VGG-13


@pytest.mark.parametrize("name", BACKBONES)
def test_classifier_answers_for_three_classes(name):
    with torch.device("meta"):  # shapes only: a VGG is half a gigabyte
        assert build_classifier(name).eval()(torch.zeros(2, 1, 64, 96)).shape == (2, 3)


@pytest.mark.parametrize("name", BACKBONES)
def test_segmentation_network_answers_for_every_pixel(name):
    with torch.device("meta"):
        assert build_segmenter(name).eval()(torch.zeros(2, 1, 64, 96)).shape == (2, 1, 64, 96)


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_whole_segmentation_network_learns(name):
    torch.manual_seed(2)
    network = build_segmenter(name, dropout=0.0).train()
    network(torch.rand(2, 1, 64, 64)).square().mean().backward()
    still = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert still == []


def test_grey_image_is_what_the_colour_network_would_see():
    torch.manual_seed(3)
    classifier = build_classifier("resnet18").eval()
    grey = torch.rand(1, 1, 64, 64)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    colour = (grey.repeat(1, 3, 1, 1) - mean) / std
    with torch.inference_mode():
        torch.testing.assert_close(classifier(grey), classifier.backbone.net(colour))


def _published_resnet18():
    """Key names of torchvision's resnet18 file, with other numbers in it."""
    torch.manual_seed(4)
    return {
        key.removeprefix("net."): torch.randn_like(value) if value.is_floating_point() else value
        for key, value in build_classifier("resnet18", classes=1000).backbone.state_dict().items()
    }


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    weights = _published_resnet18()
    assert {"conv1.weight", "layer4.1.bn2.running_var", "layer2.0.downsample.0.weight", "fc.bias"} <= set(
        weights
    )
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(weights, path)
    return path


@pytest.mark.parametrize("build", [build_classifier, build_segmenter])
def test_weight_file_reaches_the_encoder(resnet_file, build):
    network = build("resnet18")
    weights = load_weight_file(resnet_file)
    assert load_weights(network, "resnet18", weights) == 100  # 20 convolutions, 20 norms of four tensors
    torch.testing.assert_close(network.backbone.net.layer3[0].conv1.weight, weights["layer3.0.conv1.weight"])


def test_class_layer_of_a_thousand_classes_is_left_out(resnet_file):
    network = build_classifier("resnet18")
    before = network.backbone.net.fc.weight.clone()
    load_weights(network, "resnet18", load_weight_file(resnet_file))
    torch.testing.assert_close(network.backbone.net.fc.weight, before)


def test_missing_weight_is_named_as_its_file_names_it(resnet_file):
    weights = load_weight_file(resnet_file)
    del weights["layer1.0.conv1.weight"]
    with pytest.raises(ModelError, match=r"no 'layer1.0.conv1.weight' for resnet18"):
        load_weights(build_classifier("resnet18"), "resnet18", weights)


def test_weight_of_another_shape_is_refused_before_any_is_copied(resnet_file):
    weights = load_weight_file(resnet_file)
    weights["layer4.1.conv2.weight"] = torch.zeros(1, 2, 3, 3)
    network = build_classifier("resnet18")
    before = network.backbone.net.conv1.weight.clone()
    with pytest.raises(ModelError, match=r"'layer4.1.conv2.weight' is \(1, 2, 3, 3\)"):
        load_weights(network, "resnet18", weights)
    torch.testing.assert_close(network.backbone.net.conv1.weight, before)


# What the published files call some of their weights, old DenseNet files included.
KEYS = {
    "alexnet": ["features.0.weight", "features.10.bias", "classifier.1.weight", "classifier.4.bias"],
    "vgg16": ["features.0.weight", "features.28.bias", "classifier.0.weight", "classifier.3.bias"],
    "vgg19": ["features.34.weight", "classifier.3.weight"],
    "resnet50": ["conv1.weight", "layer1.0.downsample.1.running_mean", "layer4.2.conv3.weight"],
    "densenet161": [
        "features.conv0.weight", "features.norm0.running_var", "features.norm5.bias",
        "features.denseblock1.denselayer1.norm.1.weight", "features.denseblock4.denselayer24.conv2.weight",
        "features.transition3.conv.weight",
    ],
    "inception": [
        "conv1.conv.weight", "conv3.bn.running_mean", "inception3a.branch1.conv.weight",
        "inception4e.branch3.1.bn.weight", "inception5b.branch4.1.conv.weight",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_published_key_names_are_known(name):
    from cad_node.networks.papers.weights import _own_name

    with torch.device("meta"):
        own = build_classifier(name).backbone.state_dict()
    assert [key for key in KEYS[name] if _own_name(name, key) not in own] == []


def test_unet_has_no_published_weights():
    with torch.device("meta"):
        network = build_segmenter("unet")
    with pytest.raises(ModelError, match="no published ImageNet weights for unet"):
        load_weights(network, "unet", {})


@pytest.mark.parametrize("content", [b"no weights at all", None])
def test_file_that_is_no_weights_is_refused(tmp_path, content):
    path = tmp_path / "x.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError):
        load_weight_file(path)


def test_file_with_other_things_than_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="no state dictionary"):
        load_weight_file(tmp_path / "x.pth")
