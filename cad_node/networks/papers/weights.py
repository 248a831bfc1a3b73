"""ImageNet weights from a file that the user names, with torchvision's key names.

Nothing is fetched. The class layer of a thousand classes is left out, since these
networks answer for three; everything else must be there and fit.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from cad_node.errors import ModelError
from cad_node.networks.papers.backbone import Classifier, Segmenter

# The last layer, which is never taken over.
_CLASS_LAYERS = ("classifier.6.", "fc.", "class_layers.out.", "net.fc.", "net.class_layers.out.")
# Keys as the DenseNet files have them: "denselayer1.norm.1.weight" in the older ones.
_OLD_DENSE = re.compile(r"(denselayer\d+)\.(norm|relu|conv)\.([12])\.")
_DENSE = re.compile(r"(denselayer\d+)\.(norm|conv)([12])\.")


def load_weight_file(path: Path) -> dict[str, Tensor]:
    """A state dictionary from a file; no code in it is run.

    Raises
    ------
    ModelError
        The file is missing or holds something else.
    """
    if not path.is_file():
        raise ModelError(f"There is no weight file {path}.", "Name another one with --weights.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(
            f"{path} is no file of weights.", "Give a state dictionary saved with torch.save."
        ) from error
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{path} holds no state dictionary.", "Give names and tensors, nothing else.")
    return dict(content)


def load_weights(network: nn.Module, name: str, weights: Mapping[str, Tensor]) -> int:
    """Copy weights with torchvision's names into a classifier or an encoder; count of tensors copied.

    Raises
    ------
    ModelError
        There are none for this network, one that it needs is missing, or one has
        another shape. Nothing has been copied then.
    """
    if name == "unet" or not isinstance(network, (Classifier, Segmenter)):
        raise ModelError(
            f"There are no published ImageNet weights for {name}.",
            "Train it from scratch, without --weights.",
        )
    backbone = network.backbone
    named = {_own_name(name, key): value for key, value in weights.items()}
    own = {
        key: value
        for key, value in backbone.state_dict().items()
        if not key.startswith(_CLASS_LAYERS) and not key.endswith("num_batches_tracked")
    }
    missing = [key for key in own if key not in named]
    if missing:
        raise ModelError(
            f"The weight file has no '{_public_name(missing[0])}' for {name}, and lacks {len(missing) - 1} more.",
            f"Give torchvision's weights of {name}.",
        )
    for key, value in own.items():
        if named[key].shape != value.shape:
            raise ModelError(
                f"'{_public_name(key)}' is {tuple(named[key].shape)} in the weight file; "
                f"{name} needs {tuple(value.shape)}.",
                f"Give torchvision's weights of {name}.",
            )
    backbone.load_state_dict({key: named[key] for key in own}, strict=False)
    return len(own)


def _own_name(name: str, key: str) -> str:
    """Our name of a weight from torchvision's."""
    if name == "densenet161":
        key = _OLD_DENSE.sub(r"\1.\2\3.", key)
        key = _DENSE.sub(r"\1.layers.\2\3.", key)
        return "net." + key.replace("classifier.", "class_layers.out.", 1)
    return f"net.{key}" if name.startswith("resnet") else key


def _public_name(key: str) -> str:
    return key.removeprefix("net.").replace(".layers.", ".")
