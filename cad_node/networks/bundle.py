"""A trained model on disk: a MONAI bundle that proves to be what it claims.

Layout: ``configs/metadata.json`` (what the model is, and under `cad_node` how it
is run), ``configs/inference.json`` and ``train.json``, ``models/model.pt``,
``docs/README.md`` (the model card), ``scorecard.json``, ``LICENSE`` and
``SHA256SUMS``, which ``sha256sum -c`` reads too. A threshold or a weight that
was changed afterwards is another model, so weights and configs are verified
before use.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cad_node.errors import ModelChecksumError, ModelError, ModelNotFoundError
from cad_node.networks.registry import NETWORKS, build_network

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cad_node.networks.lesion_network import LesionNetwork

SUMS_FILE = "SHA256SUMS"
METADATA_FILE = "configs/metadata.json"
INFERENCE_FILE = "configs/inference.json"
TRAIN_FILE = "configs/train.json"
WEIGHTS_FILE = "models/model.pt"
VERIFIED_FILES = (METADATA_FILE, INFERENCE_FILE, TRAIN_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class Bundle:
    """A verified model folder.

    `sha256` covers weights and configs together; `threshold` and `normal_veto`
    are probabilities, `temperature` divides class logits, `size_px` is the side
    of the network's square input, `flips` says whether the mirrored image is
    looked at too; `veto_image_share` is the weight of the whole image's verdict
    in the veto. Where the likeliest class has less than `abstain_below`, the
    node says "uncertain"; 0, and a model from before there was such a key, never.
    """

    folder: Path
    name: str
    version: str
    sha256: str
    architecture: str
    network: Mapping[str, object] = field(repr=False)
    size_px: int
    temperature: float
    threshold: float
    normal_veto: float
    flips: bool
    abstain_below: float = 0.0
    veto_image_share: float = 0.0

    def load_network(self) -> LesionNetwork:
        """The network with its weights, float32, ready to infer.

        Raises
        ------
        ModelError
            The weights do not fit the architecture.
        """
        return load_weights(partial(build_network, self.architecture), self.network, self.folder)


_Network = TypeVar("_Network", bound="nn.Module")


def load_weights(
    build: Callable[[Mapping[str, object]], _Network], config: Mapping[str, object], folder: Path
) -> _Network:
    """The network that `config` describes with the weights of a model folder, float32, ready to infer.

    Raises
    ------
    ModelError
        The weights do not fit the architecture.
    """
    import torch

    try:
        network = build(config)
        state = torch.load(folder / WEIGHTS_FILE, map_location="cpu", weights_only=True)
        network.load_state_dict({key: _full_precision(value) for key, value in state.items()})
    except (ValueError, RuntimeError, AttributeError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"Model '{folder.name}' in {folder} has weights that do not fit its architecture.",
            "Restore the folder, or export the model again.",
        ) from error
    return network.eval()


def _full_precision(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value


def load_bundle(folder: Path) -> Bundle:
    """Read and verify a model folder; the weights are hashed, not yet loaded.

    Raises
    ------
    ModelNotFoundError
        The folder or one of its files is missing.
    ModelChecksumError
        A file is not the one that ``SHA256SUMS`` describes.
    ModelError
        The metadata does not say how the model is run.
    """
    digest = verify_folder(folder)
    try:
        metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
        run = metadata["cad_node"]
        bundle = Bundle(
            folder=folder,
            name=str(run["name"]),
            version=str(metadata["version"]),
            sha256=digest,
            architecture=str(run["architecture"]),
            network=dict(run["network"]),
            size_px=int(run["size_px"]),
            temperature=float(run["temperature"]),
            threshold=float(run["threshold"]),
            normal_veto=float(run["normal_veto"]),
            flips=bool(run["flips"]),
            abstain_below=float(run.get("abstain_below", 0.0)),
            veto_image_share=float(run.get("veto_image_share", 0.0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / METADATA_FILE} does not say how the model is run ({error}).",
            "Export the model again with cad-node train --export.",
        ) from error
    _refuse_nonsense(bundle)
    return bundle


def _refuse_nonsense(bundle: Bundle) -> None:
    problem = ""
    if bundle.architecture not in NETWORKS:
        problem = f"names the architecture '{bundle.architecture}', which this version does not have"
    elif bundle.size_px < 32 or bundle.size_px % 32:
        problem = f"has an input of {bundle.size_px} px, which is no multiple of 32"
    elif not (math.isfinite(bundle.temperature) and bundle.temperature > 0):
        problem = f"has the temperature {bundle.temperature}, which is not above 0"
    elif not 0 < bundle.threshold < 1:
        problem = f"has the mask threshold {bundle.threshold}, which is not between 0 and 1"
    elif not 0 <= bundle.abstain_below < 1:
        problem = f"abstains below {bundle.abstain_below}, which is not a probability below 1"
    elif not 0 <= bundle.veto_image_share <= 1:
        problem = f"has the veto share {bundle.veto_image_share}, which is not between 0 and 1"
    if problem:
        raise ModelError(
            f"Model '{bundle.name}' in {bundle.folder} {problem}.",
            f"Architectures are: {', '.join(NETWORKS)}.",
        )


def verify_folder(folder: Path) -> str:
    """Hash of the whole model after every file was found to be the described one.

    Raises
    ------
    ModelNotFoundError
        The folder or one of its files is missing.
    ModelChecksumError
        A file is not the one that ``SHA256SUMS`` describes.
    """
    sums = folder / SUMS_FILE
    for path in (sums, *(folder / name for name in VERIFIED_FILES)):
        if not path.is_file():
            raise ModelNotFoundError(
                f"Model '{folder.name}' is not in {folder}: {path.name} is missing.",
                "Restore the folder, or name another model in [pipeline] model.",
            )
    expected = _read_sums(sums)
    for name in VERIFIED_FILES:
        if expected.get(name) != file_sha256(folder / name):
            raise ModelChecksumError(
                f"Model '{folder.name}' in {folder} does not match its sha256: {name} was changed.",
                "Restore the folder, or name another model in [pipeline] model.",
            )
    return combined_sha256({name: expected[name] for name in VERIFIED_FILES})


def _read_sums(path: Path) -> dict[str, str]:
    """Hash by file name from lines as ``sha256sum`` writes them."""
    found = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        found[name.strip()] = digest.strip().lower()
    return found


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes as lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined_sha256(digests: Mapping[str, str]) -> str:
    """One hash for several files, independent of their order."""
    text = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest()


def write_sums(folder: Path) -> str:
    """Write ``SHA256SUMS`` for a finished model folder and return the model's hash."""
    digests = {name: file_sha256(folder / name) for name in VERIFIED_FILES}
    lines = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    (folder / SUMS_FILE).write_text(lines, encoding="utf-8")
    return combined_sha256(digests)
