"""A lesion network that was exported to ONNX, run with ONNX Runtime in torch's place.

The file holds one graph: an image and a mask in, a lesion map and class logits out.
Each question about a mask runs all of it, which a telephone can afford and a node
with many lesions an image need not.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from cad_node.errors import ModelError
from cad_node.networks.bundle import Bundle, load_bundle
from cad_node.networks.lesion_network import LesionNetwork
from cad_node.networks.runtime import LesionModel

INPUTS = ("image", "mask")
OUTPUTS = ("lesion_logits", "class_logits")
MODEL_KEY = "model_sha256"


class OnnxNetwork(nn.Module):
    """What `LesionModel` asks of a network, answered by an ONNX file.

    Raises
    ------
    ModelError
        The file is missing, is no ONNX file of ours, or was made from another model.
    """

    def __init__(self, path: Path, bundle: Bundle, threads: int = 0) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except OSError as error:
            raise ModelError(f"{path} cannot be read.", "Write it with cad-node export.") from error
        except Exception as error:  # ONNX Runtime's errors have no common class of their own
            raise ModelError(f"{path} is no ONNX file.", "Write it again with cad-node export.") from error
        made_from = self._session.get_modelmeta().custom_metadata_map.get(MODEL_KEY)
        if made_from != bundle.sha256:
            raise ModelError(
                f"{path} was not made from {bundle.name} {bundle.version} in {bundle.folder}.",
                "Export this model again, or name the model that it was made from.",
            )
        self._size = bundle.size_px

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Lesion logits (batch, 1, rows, columns), and the image, which `classify` needs again."""
        return self._run(image, torch.zeros_like(image))[0], image

    def classify(self, image: Tensor, mask: Tensor) -> Tensor:
        """Class logits (batch, 3) for one mask an image."""
        return self._run(image, mask)[1]

    def _run(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        feed = {
            name: np.ascontiguousarray(value.numpy(), dtype=np.float32)
            for name, value in zip(INPUTS, (image, mask), strict=True)
        }
        lesion, classes = self._session.run(list(OUTPUTS), feed)
        return torch.from_numpy(lesion), torch.from_numpy(classes)


def load_onnx_model(folder: Path, file: Path, threads: int = 0) -> LesionModel:
    """A model folder's thresholds and calibration with an ONNX file in place of its weights.

    Raises
    ------
    ModelError
        See `OnnxNetwork` and `load_bundle`.
    """
    bundle = load_bundle(folder)
    # LesionModel asks for these two methods only.
    return LesionModel(bundle, cast(LesionNetwork, OnnxNetwork(file, bundle, threads)))
