import pytest
import torch
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE

from cad_node.networks.efficientnet_lite import (
    ENCODER_NAME,
    OUTPUT_CHANNELS,
    EfficientNetLiteEncoder,
    load_imagenet_weights,
)


@pytest.fixture
def colour_weights():
    torch.manual_seed(1)
    weights = dict(EfficientNetLiteEncoder(in_channels=3).state_dict())
    return weights | {"_fc.weight": torch.zeros(1000, 1280)}


def test_monai_knows_the_encoder_by_name():
    assert FLEXUNET_BACKBONE.register_dict[ENCODER_NAME]["type"] is EfficientNetLiteEncoder


def test_each_map_halves_the_one_before():
    with torch.inference_mode():
        maps = EfficientNetLiteEncoder().eval()(torch.zeros(1, 1, 64, 96))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (channels, 32 >> level, 48 >> level) for level, channels in enumerate(OUTPUT_CHANNELS)
    ]


def test_grey_encoder_answers_as_the_colour_encoder_does_to_a_grey_image(colour_weights):
    colour, grey = EfficientNetLiteEncoder(in_channels=3), EfficientNetLiteEncoder(in_channels=1)
    load_imagenet_weights(colour, colour_weights)
    load_imagenet_weights(grey, colour_weights)
    image = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        expected = colour.eval()(image.repeat(1, 3, 1, 1))[-1]
        torch.testing.assert_close(grey.eval()(image)[-1], expected, rtol=1e-3, atol=1e-4)


def test_weights_that_nobody_needs_are_named(colour_weights):
    assert load_imagenet_weights(EfficientNetLiteEncoder(), colour_weights) == ("_fc.weight",)


def test_missing_weight_is_an_error(colour_weights):
    del colour_weights["_blocks.3._bn1.weight"]
    with pytest.raises(KeyError, match="_bn1"):
        load_imagenet_weights(EfficientNetLiteEncoder(), colour_weights)


def test_encoder_fetches_nothing():
    with pytest.raises(ValueError, match="weights come from a file"):
        EfficientNetLiteEncoder(pretrained=True)


def test_padding_is_that_of_the_published_weights():
    """At stride 2 the odd pixel is added below and to the right, as TensorFlow does."""
    encoder = EfficientNetLiteEncoder()
    with torch.no_grad():
        encoder._conv_stem.weight.zero_()
        encoder._conv_stem.weight[0, 0, 0, 0] = 1.0
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    response = encoder._conv_stem(image)[0, 0]
    torch.testing.assert_close(response, image[0, 0, ::2, ::2])
