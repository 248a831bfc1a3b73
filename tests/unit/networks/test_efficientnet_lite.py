import pytest
import torch
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE

from cad_node.networks.efficientnet_lite import (
    ENCODER_NAME,
    ENCODERS,
    OUTPUT_CHANNELS,
    EfficientNetLiteEncoder,
    load_imagenet_weights,
    output_channels,
    scaled_stages,
)
from cad_node.networks.registry import build_network


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


# Million parameters with the head of 1000 classes, as the family was published.
PUBLISHED = {"efficientnet-lite0": 4.65, "efficientnet-lite1": 5.42, "efficientnet-lite2": 6.09}


@pytest.mark.parametrize("name", ENCODERS)
def test_family_has_its_published_size(name):
    encoder = EfficientNetLiteEncoder(in_channels=3, scaling=ENCODERS[name])
    head = output_channels(name)[-1] * 1280 + 2 * 1280 + 1281 * 1000
    count = sum(p.numel() for p in encoder.parameters()) + head
    assert count / 1e6 == pytest.approx(PUBLISHED[name], rel=0.01)


@pytest.mark.parametrize("name", ENCODERS)
def test_maps_have_the_channels_that_the_encoder_names(name):
    with torch.inference_mode():
        maps = EfficientNetLiteEncoder(scaling=ENCODERS[name]).eval()(torch.zeros(1, 1, 32, 32))
    assert tuple(one.shape[1] for one in maps) == output_channels(name)


def test_first_and_last_stage_are_never_repeated_more_often():
    assert [stage.repeats for stage in scaled_stages(ENCODERS["efficientnet-lite2"])] == [1, 3, 3, 4, 4, 5, 1]


def test_weights_of_another_member_are_refused(colour_weights):
    larger = EfficientNetLiteEncoder(in_channels=3, scaling=ENCODERS["efficientnet-lite2"])
    with pytest.raises(KeyError, match="not"):
        load_imagenet_weights(EfficientNetLiteEncoder(), larger.state_dict())


@pytest.mark.parametrize("architecture", ["flexible-unet-lite1", "flexible-unet-lite2"])
def test_larger_encoders_carry_the_lesion_network(architecture):
    network = build_network(architecture, {"decoder_channels": [16, 12, 8, 8, 4]}).eval()
    with torch.inference_mode():
        logits, features = network(torch.zeros(1, 1, 64, 64))
        classes = network.classify(features, torch.zeros(1, 1, 64, 64))
    assert (logits.shape, classes.shape) == ((1, 1, 64, 64), (1, 3))
