"""How a network is run: pixels in, a probability map and class probabilities out.

The encoder runs once an image (twice with `flips`); each mask then costs only
the class head, so that several lesions of one image are cheap.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cad_node.domain import Probabilities
from cad_node.errors import ModelError
from cad_node.networks.bundle import Bundle, load_bundle
from cad_node.networks.lesion_network import Features, LesionNetwork
from cad_node.networks.letterbox import Letterbox, fit


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """Grey images (batch, rows, columns) as the network's input (batch, 1, rows, columns)."""
    tensor = (torch.from_numpy(images).float().unsqueeze(1) - 127.0) / 128.0
    return tensor.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Prediction:
    """What the network says of one image.

    `probability` is float32 `(rows, columns)` of the image it was given, in
    [0, 1]. `class_logits` answers for one mask of that size, before calibration.
    Below `abstain_below` the likeliest class is uncertain; 0 never abstains.
    """

    probability: NDArray[np.float32] = field(compare=False, repr=False)
    temperature: float
    class_logits: Callable[[NDArray[np.bool_]], NDArray[np.float64]] = field(compare=False, repr=False)
    abstain_below: float = 0.0

    def classify(self, mask: NDArray[np.bool_]) -> Probabilities:
        """Calibrated class probabilities of what lies under `mask`; an empty one asks for the image."""
        logits = self.class_logits(mask) / self.temperature
        powers = np.exp(logits - logits.max())
        normal, benign, malignant = (float(power) for power in powers / powers.sum())
        likeliest = max(normal, benign, malignant)
        return Probabilities(normal, benign, malignant, uncertain=likeliest < self.abstain_below)


class LesionModel:
    """A bundle's network in memory.

    Parameters
    ----------
    bundle
        Verified by `load_bundle`.
    network
        In evaluation mode, with the bundle's weights.
    device
        A torch device name, such as "cpu" or "cuda:0".
    """

    def __init__(self, bundle: Bundle, network: LesionNetwork, device: str = "cpu") -> None:
        self.bundle = bundle
        self._device = torch.device(device)
        self._network: LesionNetwork = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def network(self) -> LesionNetwork:
        """What it runs, on its device."""
        return self._network

    @property
    def threshold(self) -> float:
        """Probability from which a pixel is lesion, chosen on validation data."""
        return self.bundle.threshold

    @property
    def normal_veto(self) -> float:
        """A finding that is normal tissue with at least this probability is no lesion."""
        return self.bundle.normal_veto

    @property
    def veto_image_share(self) -> float:
        """Weight of the whole image's verdict in that probability."""
        return self.bundle.veto_image_share

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Run the network over a grey image `(rows, columns)`, the tissue region only.

        The result holds the feature maps as long as it lives.
        """
        box = fit(pixels, self.bundle.size_px)
        square = np.asarray(box.apply(pixels), dtype=np.uint8)
        views = [square, square[:, ::-1]] if self.bundle.flips else [square]
        with torch.inference_mode():
            logits, features = self._network(to_input(np.stack(views)).to(self._device))
            maps = logits.float().sigmoid()[:, 0].cpu().numpy()
        if self.bundle.flips:
            maps = np.stack([maps[0], maps[1][:, ::-1]])
        probability = np.clip(box.undo(maps.mean(axis=0)), 0.0, 1.0)

        def class_logits(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
            return self._class_logits(features, box, mask)

        return Prediction(probability, self.bundle.temperature, class_logits, self.bundle.abstain_below)

    def _class_logits(
        self, features: Features, box: Letterbox, mask: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        if mask.shape != (box.rows, box.columns):
            raise ValueError(f"a mask of {mask.shape} cannot belong to {(box.rows, box.columns)}")
        square = box.apply(mask.astype(np.float32))
        views = [square, square[:, ::-1]] if self.bundle.flips else [square]
        tensor = torch.from_numpy(np.stack(views).copy()).unsqueeze(1).to(self._device)
        with torch.inference_mode():
            logits = self._network.classify(features, tensor).mean(dim=0)
        return np.asarray(logits.double().cpu().numpy(), dtype=np.float64)


def require_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises
    ------
    ModelError
        There is no such CUDA device, or torch is built without CUDA.
    """
    if device == "cpu":
        return
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (torch.device(device).index or 0) >= there:
        usable = (
            f"{there} usable CUDA device{'s' if there != 1 else ''}" if there else "no usable CUDA device"
        )
        raise ModelError(
            f"The model cannot run on '{device}': this machine has {usable}.",
            "Set device = 'cpu' under [runtime]." if not there else "Set another device under [runtime].",
        )


def load_model(
    folder: Path, device: str = "cpu", threads: int = 0, *, normal_veto: float | None = None
) -> LesionModel:
    """Verify a model folder and make it ready to run.

    Parameters
    ----------
    folder
        A bundle, see `load_bundle`.
    device
        "cpu", or "cuda" with an optional number.
    threads
        CPU threads of torch, for the whole process; 0: all cores.
    normal_veto
        Another operating point than the bundle's own; its figures are not those of its scorecard.

    Raises
    ------
    ModelNotFoundError, ModelChecksumError
        See `load_bundle`.
    ModelError
        The weights do not fit, or the device cannot be used.
    """
    bundle = load_bundle(folder)
    require_device(device)
    torch.set_num_threads(threads or os.cpu_count() or 1)
    if normal_veto is not None:
        bundle = replace(bundle, normal_veto=normal_veto)
    return LesionModel(bundle, bundle.load_network(), device)


def save_probability_maps(model: LesionModel, images: Sequence[Path], output: Path) -> None:
    """Write the lesion probability of each image file as an 8-bit PNG into a folder.

    For ``python -m monai.bundle run`` with the bundle's inference.json.
    """
    output.mkdir(parents=True, exist_ok=True)
    for path in images:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise ModelError(f"{path} is not a readable image.", "Give PNG or JPEG files.")
        probability = model.predict(np.asarray(pixels, dtype=np.uint8)).probability
        cv2.imwrite(str(output / f"{path.stem}.png"), np.round(probability * 255).astype(np.uint8))
