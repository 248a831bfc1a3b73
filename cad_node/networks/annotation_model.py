"""How the annotation network is run: a grey picture in, what each pixel is out."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cad_node.networks.annotation_bundle import KINDS, AnnotationBundle, load_annotation_bundle
from cad_node.networks.annotation_network import STRIDE, AnnotationNetwork

# Text must be 12 to 24 px high: whole screens have it so, small crops are enlarged to get there.
SMALLEST_SIDE_PX = 704
LARGEST_SCALE = 2.0
LARGEST_SIDE_PX = 1280


class AnnotationModel:
    """A bundle's network in memory.

    Parameters
    ----------
    bundle
        Verified by `load_annotation_bundle`.
    network
        In evaluation mode, with the bundle's weights.
    """

    def __init__(self, bundle: AnnotationBundle, network: AnnotationNetwork) -> None:
        self.bundle = bundle
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def kinds(self) -> tuple[str, ...]:
        """What a pixel may be; the first is tissue."""
        return KINDS

    @property
    def threshold(self) -> float:
        """Probability that a mark's surest pixel has at least."""
        return self.bundle.threshold

    @property
    def spread(self) -> float:
        """Probability that all pixels of a mark have at least."""
        return self.bundle.spread

    def describe(self) -> str:
        """Name, version and hash of the model, for provenance."""
        return f"{self.bundle.name} {self.bundle.version} ({self.bundle.sha256[:12]}…)"

    def predict(self, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of a grey picture, float32 `(kinds, rows, columns)`; see `predict`."""
        return predict(self._network, grey)


def load_annotation_model(folder: Path, threads: int = 0) -> AnnotationModel:
    """Verify a model folder and make it ready to run, on the CPU.

    Parameters
    ----------
    folder
        A bundle, see `load_annotation_bundle`.
    threads
        CPU threads of torch, for the whole process; 0: as they are.

    Raises
    ------
    ModelNotFoundError, ModelChecksumError, ModelError
        See `load_annotation_bundle`.
    """
    bundle = load_annotation_bundle(folder)
    if threads:
        torch.set_num_threads(threads)
    return AnnotationModel(bundle, bundle.load_network())


def scale_of(shape: tuple[int, ...]) -> float:
    """The factor by which a picture of `shape` is scaled before the network sees it."""
    longest = max(shape[:2])
    if longest < SMALLEST_SIDE_PX:
        return min(LARGEST_SCALE, SMALLEST_SIDE_PX / longest)
    return min(1.0, LARGEST_SIDE_PX / longest)


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """Grey images (batch, rows, columns) as the network's input (batch, 1, rows, columns)."""
    tensor = (torch.from_numpy(images).float().unsqueeze(1) - 127.0) / 128.0
    return tensor.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def predict(network: AnnotationNetwork, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probability of each of `KINDS` for each pixel of a grey picture `(rows, columns)`.

    The result is float32 `(kinds, rows, columns)`.
    """
    rows, columns = grey.shape
    scale = scale_of(grey.shape)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    scaled = np.ascontiguousarray(grey)
    if scale != 1.0:
        method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
        scaled = np.asarray(cv2.resize(scaled, (width, height), interpolation=method), np.uint8)
    # The rim is repeated up to a multiple of the network's stride: a black one would look like a screen's.
    padded = np.asarray(
        cv2.copyMakeBorder(scaled, 0, -height % STRIDE, 0, -width % STRIDE, cv2.BORDER_REPLICATE), np.uint8
    )
    logits = network(to_input(padded[None]))[0, :, :height, :width]
    chances: NDArray[np.float32] = logits.softmax(dim=0).numpy()
    if scale == 1.0:
        return np.ascontiguousarray(chances)
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    sized = [cv2.resize(one, (columns, rows), interpolation=method) for one in chances]
    return np.asarray(np.stack(sized), np.float32)
