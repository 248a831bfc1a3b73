import cv2
import numpy as np
import pytest
import torch

from cad_node.errors import ModelError
from cad_node.networks import load_model
from cad_node.networks.runtime import Prediction, save_probability_maps


@pytest.fixture
def model(bundle_folder):
    return load_model(bundle_folder, threads=1)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (90, 130), dtype=np.uint8)


def test_map_has_the_size_of_the_image(model, pixels):
    probability = model.predict(pixels).probability
    assert probability.shape == pixels.shape
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (700, 3)])
def test_odd_shapes_are_answered(model, shape):
    prediction = model.predict(np.zeros(shape, np.uint8))
    assert prediction.probability.shape == shape
    assert np.isfinite(prediction.classify(np.ones(shape, bool)).malignant)


def test_read_only_pixels_are_accepted(model, pixels):
    pixels.flags.writeable = False
    assert model.predict(pixels).probability.shape == pixels.shape


def test_probabilities_sum_to_one_for_any_mask(model, pixels):
    prediction = model.predict(pixels)
    for mask in (np.zeros(pixels.shape, bool), prediction.probability > 0.5, np.ones(pixels.shape, bool)):
        found = prediction.classify(mask)
        assert found.normal + found.benign + found.malignant == pytest.approx(1)


def test_mirrored_image_gets_the_mirrored_answer(model, pixels):
    """The fixture's bundle looks at both views, so neither side is preferred."""
    mask = np.zeros(pixels.shape, bool)
    mask[20:60, 10:50] = True
    straight, mirrored = model.predict(pixels), model.predict(pixels[:, ::-1])
    np.testing.assert_allclose(mirrored.probability[:, ::-1], straight.probability, atol=1e-4)
    assert mirrored.classify(mask[:, ::-1]).malignant == pytest.approx(
        straight.classify(mask).malignant, abs=1e-4
    )


def test_same_image_gets_the_same_answer(model, pixels):
    first, second = model.predict(pixels), model.predict(pixels)
    np.testing.assert_array_equal(first.probability, second.probability)
    mask = first.probability > 0.5
    assert first.classify(mask) == second.classify(mask)


def test_mask_of_another_size_is_refused(model, pixels):
    with pytest.raises(ValueError, match="cannot belong"):
        model.predict(pixels).classify(np.ones((5, 5), bool))


def test_temperature_softens_without_changing_the_order():
    def logits(_mask):
        return np.array([0.0, 1.0, 3.0])

    mask, probability = np.zeros((2, 2), bool), np.zeros((2, 2), np.float32)
    sharp = Prediction(probability, 1.0, logits).classify(mask)
    soft = Prediction(probability, 3.0, logits).classify(mask)
    assert sharp.malignant == pytest.approx(np.exp(3) / (1 + np.exp(1) + np.exp(3)))
    assert sharp.malignant > soft.malignant > soft.benign > soft.normal


@pytest.mark.parametrize(("abstain_below", "uncertain"), [(0.0, False), (0.83, False), (0.85, True)])
def test_class_is_uncertain_below_the_height_that_the_model_names(abstain_below, uncertain):
    logits = np.log([0.05, 0.11, 0.84])
    found = Prediction(np.zeros((2, 2), np.float32), 1.0, lambda _mask: logits, abstain_below)
    assert found.classify(np.zeros((2, 2), bool)).uncertain is uncertain


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a CUDA device")
def test_absent_device_is_told(bundle_folder):
    with pytest.raises(ModelError, match="no usable CUDA device"):
        load_model(bundle_folder, device="cuda:0")


def test_maps_are_saved_as_pictures(model, pixels, tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), pixels)
    save_probability_maps(model, [tmp_path / "one.png"], tmp_path / "maps")
    assert cv2.imread(str(tmp_path / "maps" / "one.png"), cv2.IMREAD_GRAYSCALE).shape == pixels.shape


def test_another_operating_point_changes_the_veto_alone(bundle_folder, model, pixels):
    lax = load_model(bundle_folder, threads=1, normal_veto=0.95)
    assert (model.normal_veto, lax.normal_veto) == (0.7, 0.95)
    assert (lax.bundle.sha256, lax.threshold) == (model.bundle.sha256, model.threshold)
    np.testing.assert_array_equal(lax.predict(pixels).probability, model.predict(pixels).probability)
