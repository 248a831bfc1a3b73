"""A trained annotation network on disk: what it says it is, verified without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cad_node.errors import ModelError
from cad_node.networks.bundle import METADATA_FILE, load_weights, verify_folder

if TYPE_CHECKING:
    from cad_node.networks.annotation_network import AnnotationNetwork

ARCHITECTURE = "annotation-unet"
# What a pixel may be; the first is what must stay.
KINDS = ("tissue", "text", "caliper", "line", "graphic")


@dataclass(frozen=True)
class AnnotationBundle:
    """A verified model folder of an annotation network.

    `sha256` covers weights and configs together. A mark has a pixel of at least
    `threshold`, and reaches as far as pixels have `spread`; both are probabilities.
    """

    folder: Path
    name: str
    version: str
    sha256: str
    network: Mapping[str, object] = field(repr=False)
    threshold: float
    spread: float

    def load_network(self) -> AnnotationNetwork:
        """The network with its weights, float32, ready to infer.

        Raises
        ------
        ModelError
            The weights do not fit the architecture.
        """
        from cad_node.networks.annotation_network import build

        return load_weights(build, self.network, self.folder)


def load_annotation_bundle(folder: Path) -> AnnotationBundle:
    """Read and verify a model folder; the weights are hashed, not yet loaded.

    Raises
    ------
    ModelNotFoundError
        The folder or one of its files is missing.
    ModelChecksumError
        A file is not the one that ``SHA256SUMS`` describes.
    ModelError
        The folder holds another kind of model.
    """
    digest = verify_folder(folder)
    try:
        metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
        run = metadata["cad_node"]
        if run["architecture"] != ARCHITECTURE or tuple(run["kinds"]) != KINDS:
            raise ValueError(f"architecture {run['architecture']}, kinds {run.get('kinds')}")
        bundle = AnnotationBundle(
            folder=folder,
            name=str(run["name"]),
            version=str(metadata["version"]),
            sha256=digest,
            network=dict(run["network"]),
            threshold=float(run["threshold"]),
            spread=float(run["spread"]),
        )
        if not 0 < bundle.spread <= bundle.threshold < 1:
            raise ValueError(f"threshold {bundle.threshold}, spread {bundle.spread}")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / METADATA_FILE} does not describe an annotation network ({error}).",
            "Export the model again with cad-node train --task annotations.",
        ) from error
    return bundle
