"""Writes a model for telephones and tablets as ONNX, and says what the change costs.

The second paper wants its classifier on a mobile device beside a handheld scanner.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cad_node.errors import ModelError
from cad_node.networks import Bundle, LesionModel, LesionNetwork
from cad_node.networks.bundle import file_sha256
from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.networks.onnx_network import INPUTS, MODEL_KEY, OUTPUTS
from cad_node.pipeline.segment import find_lesions
from cad_node.train.cases import as_frame
from cad_node.train.metrics import dice
from cad_node.train.quantise import import_onnx

OPSET = 17
# Two implementations of the same sums in single precision differ by no more, in logits.
LARGEST_DIFFERENCE = 2e-3

Grey = NDArray[np.uint8]


class _Whole(nn.Module):
    """Both answers of the lesion network as one function of image and mask."""

    def __init__(self, network: LesionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = self.network(image)
        return logits, self.network.classify(features, mask)


def export_onnx(bundle: Bundle, file: Path) -> None:
    """Write a model's network as ONNX: a square of the model's size, any batch.

    Raises
    ------
    SettingsError
        The `onnx` package is not installed.
    """
    onnx = import_onnx()
    network = _Whole(bundle.load_network()).eval()
    square = torch.zeros(2, 1, bundle.size_px, bundle.size_px)
    file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The exporter that needs no further package is the older one; what it warns of is
        # arithmetic on the image's sides, which are fixed here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (square, square),
            str(file),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in (*INPUTS, *OUTPUTS)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(file))
    onnx.helper.set_model_props(model, _properties(bundle))
    model.doc_string = (
        "Breast ultrasound lesion network. image: grey tissue region letterboxed to the input size, "
        "(grey level - 127) / 128. mask: 0 to 1, of the lesion that is asked about; all 0 for the image. "
        "For research and decision support under a radiologist's eyes; not a certified medical device."
    )
    onnx.save(model, str(file))


def _properties(bundle: Bundle) -> dict[str, str]:
    """What one needs to run the file alone: class names, size, thresholds, and the model it was made from."""
    settings = asdict(bundle)
    for key in ("folder", "network", "sha256"):
        settings.pop(key)
    properties = {key: str(value) for key, value in settings.items()}
    return {**properties, "classes": ",".join(CLASS_NAMES), MODEL_KEY: bundle.sha256}


def largest_difference(torch_model: LesionModel, onnx_model: LesionModel, images: Sequence[Grey]) -> float:
    """Largest difference of probability maps and class logits over whole images, real ones."""
    worst = 0.0
    for pixels in images:
        ours, theirs = torch_model.predict(pixels), onnx_model.predict(pixels)
        worst = max(worst, float(np.abs(ours.probability - theirs.probability).max()))
        for mask in (ours.probability >= torch_model.threshold, np.zeros(pixels.shape, dtype=np.bool_)):
            worst = max(worst, float(np.abs(ours.class_logits(mask) - theirs.class_logits(mask)).max()))
    return worst


def refuse_difference(difference: float, file: Path) -> None:
    """Make sure that a float export is the network it was made from.

    Raises
    ------
    ModelError
        It answers otherwise than torch.
    """
    if difference > LARGEST_DIFFERENCE:
        raise ModelError(
            f"{file} differs from the model by {difference:.2g}.",
            "Do not use it; report the versions of torch.",
        )


@dataclass(frozen=True)
class Agreement:
    """How far a file and its model agree on images, whatever the truth is."""

    images: int
    mean_dice: float
    same_class: float
    largest_probability_change: float
    milliseconds: float
    torch_milliseconds: float


def agreement(torch_model: LesionModel, onnx_model: LesionModel, images: Sequence[Grey]) -> Agreement:
    """Compare findings as the node would make them; times are of whole images, with all questions."""
    overlaps, same, change = [], [], 0.0
    spent = {"torch": 0.0, "onnx": 0.0}
    for pixels in images:
        unions, answers = [], []
        for name, model in (("torch", torch_model), ("onnx", onnx_model)):
            before = time.perf_counter()
            findings, probabilities = find_lesions(as_frame(pixels), model, 0.0)
            spent[name] += time.perf_counter() - before
            union = np.zeros(pixels.shape, dtype=np.bool_)
            for finding in findings:
                union |= finding.mask
            unions.append(union)
            answers.append(np.array([probabilities.normal, probabilities.benign, probabilities.malignant]))
        overlaps.append(dice(unions[1], unions[0]))
        same.append(answers[0].argmax() == answers[1].argmax())
        change = max(change, float(np.abs(answers[0] - answers[1]).max()))
    return Agreement(
        images=len(images),
        mean_dice=round(float(np.mean(overlaps)), 4),
        same_class=round(float(np.mean(same)), 4),
        largest_probability_change=round(change, 4),
        milliseconds=round(1000 * spent["onnx"] / len(images), 1),
        torch_milliseconds=round(1000 * spent["torch"] / len(images), 1),
    )


def describe(file: Path) -> dict[str, Any]:
    """Name, size and hash of a file."""
    return {"file": file.name, "bytes": file.stat().st_size, "sha256": file_sha256(file)}
