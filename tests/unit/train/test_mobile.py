"""`cad-node export`: the ONNX file answers as the model does, and what int8 costs is said."""

import json
import re

import numpy as np
import onnx
import pytest
import torch

from cad_node.cli.evaluate import evaluate
from cad_node.cli.export import export
from cad_node.errors import ModelError, SettingsError
from cad_node.networks import load_model
from cad_node.networks.lesion_network import build
from cad_node.networks.onnx_network import load_onnx_model
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.loop import TrainSettings
from cad_node.train.mobile import largest_difference, refuse_difference
from tests.unit.train.published import ellipse_image, write_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}


def _bundle(folder, seed):
    torch.manual_seed(seed)
    origin = Origin({"folds": [1, 2], "datasets": ["BUSI", "BUS-BRA"]}, "cad-node train")
    settings = TrainSettings(network=SMALL, size_px=64)
    export_bundle(build(SMALL).eval(), settings, Decisions(flips=True), origin, folder, "1.0.0")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an untrained model, a tiny data set, and the model's two exports."""
    folder = tmp_path_factory.mktemp("mobile")
    write_data(folder / "data", per_fold=1)
    model = _bundle(folder / "tiny", 7)
    settings = {"model": str(model), "file_format": "onnx", "limit": 3, "threads": 1}
    export(**settings, output=folder / "out" / "tiny.onnx", data=None, int8=False, score=False)
    export(**settings, output=folder / "out" / "tiny.int8.onnx", data=folder / "data", int8=True, score=True)
    return folder


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    return [ellipse_image(rng, radius=radius)[0] for radius in (9, 19)]


def test_float_file_answers_as_torch_does(place, images):
    ours = load_model(place / "tiny", threads=1)
    theirs = load_onnx_model(place / "tiny", place / "out" / "tiny.onnx", threads=1)
    assert largest_difference(ours, theirs, images) < 1e-4


def test_one_lesions_answer_does_not_touch_anothers(place, images):
    model = load_onnx_model(place / "tiny", place / "out" / "tiny.onnx", threads=1)
    said = model.predict(images[0])
    left, right = np.zeros((2, 80, 64), bool)
    left[20:40, 5:25], right[30:70, 40:60] = True, True
    first = said.class_logits(left)
    assert not np.allclose(first, said.class_logits(right), atol=1e-3)
    np.testing.assert_allclose(first, said.class_logits(left))


def test_int8_file_runs_and_is_near(place, images):
    ours = load_model(place / "tiny", threads=1)
    theirs = load_onnx_model(place / "tiny", place / "out" / "tiny.int8.onnx", threads=1)
    for pixels in images:
        change = np.abs(ours.predict(pixels).probability - theirs.predict(pixels).probability)
        assert 0 < change.mean() < 0.01


def test_clamps_are_quantised_with_their_convolutions(place):
    """Their ranges are of what is left after the clamp, not of what it takes away."""
    graph = onnx.load(str(place / "out" / "tiny.int8.onnx")).graph
    made_by = {name: node for node in graph.node for name in node.output}

    def source(name):  # through the pair of nodes that stands for a quantised value
        node = made_by.get(name)
        while node is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node = made_by.get(node.input[0])
        return node

    clamps = [n for n in graph.node if n.op_type in ("Clip", "Relu")]
    after = [s.name for n in clamps if (s := source(n.input[0])) is not None and s.op_type == "Conv"]
    assert after  # of the first blocks, which are in float
    assert all(re.search(r"/encoder/_blocks\.[0-3]/", name) for name in after)


def test_first_blocks_compute_in_float_and_the_wide_layer_is_stored_in_eight_bits(place):
    graph = onnx.load(str(place / "out" / "tiny.int8.onnx")).graph
    weights = {entry.name: entry.data_type for entry in graph.initializer}
    first = [n for n in graph.node if n.op_type == "Conv" and "/_blocks.0/" in n.name]
    assert [weights[n.input[1]] for n in first] == [onnx.TensorProto.FLOAT] * 2
    widened = {
        n.output[0]: weights[n.input[0]]
        for n in graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in weights
    }
    wide = [n for n in graph.node if n.op_type == "Gemm" and n.input[1] in widened]
    assert [widened[n.input[1]] for n in wide] == [onnx.TensorProto.INT8]


def test_int8_file_is_much_smaller(place):
    sizes = [(place / "out" / name).stat().st_size for name in ("tiny.onnx", "tiny.int8.onnx")]
    assert sizes[1] < 0.55 * sizes[0]
    assert not (place / "out" / "tiny.int8.float.onnx").exists()


def test_report_gives_size_agreement_and_scorecard(place):
    content = json.loads((place / "out" / "tiny.int8.json").read_text())
    assert content["int8"]["bytes"] == (place / "out" / "tiny.int8.onnx").stat().st_size
    assert content["agreement"]["images"] == 3
    assert content["scorecard"]["test_folds"] == [5]
    assert content["scorecard"]["annotations_left_in"]["all"]["accuracy"]["images"] == 3
    text = (place / "out" / "tiny.int8.md").read_text()
    assert "| ONNX, int8 |" in text
    assert "| accuracy, three classes |" in text


def test_file_says_how_it_is_run(place):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(place / "out" / "tiny.int8.onnx"))
    told = session.get_modelmeta().custom_metadata_map
    assert (told["classes"], told["size_px"], told["precision"]) == ("normal,benign,malignant", "64", "int8")
    assert [entry.shape for entry in session.get_inputs()] == [["batch", 1, 64, 64]] * 2


def test_export_is_scored_in_its_models_place(place, tmp_path):
    settings = {"model": [str(place / "tiny")], "data": place / "data", "fold": "5", "threads": 1}
    evaluate(**settings, onnx=place / "out" / "tiny.int8.onnx", output=tmp_path / "card.json")
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["model"]["onnx"] == "tiny.int8.onnx"
    assert card["annotations_left_in"]["all"]["accuracy"]["images"] == 3
    assert not (place / "tiny" / "scorecard.json").exists()
    with pytest.raises(SettingsError, match="is not the model's"):
        evaluate(**settings, onnx=place / "out" / "tiny.onnx")


def test_export_of_another_model_is_refused(place, tmp_path):
    other = _bundle(tmp_path / "tiny", 8)
    with pytest.raises(ModelError, match="was not made from tiny"):
        load_onnx_model(other, place / "out" / "tiny.onnx")


def test_file_that_is_no_onnx_is_refused(place, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="is no ONNX file"):
        load_onnx_model(place / "tiny", tmp_path / "x.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        load_onnx_model(place / "tiny", tmp_path / "none.onnx")


def test_export_that_answers_otherwise_is_refused(tmp_path):
    with pytest.raises(ModelError, match="differs from the model"):
        refuse_difference(0.1, tmp_path / "x.onnx")


@pytest.mark.parametrize("changes", [{"int8": True}, {"score": True}, {"file_format": "tflite"}])
def test_what_cannot_be_exported_is_said(place, tmp_path, changes):
    settings = {"file_format": "onnx", "int8": False, "score": False, "data": None, **changes}
    with pytest.raises(SettingsError):
        export(model=str(place / "tiny"), output=tmp_path / "x.onnx", limit=1, threads=1, **settings)
