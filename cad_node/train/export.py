"""Writes a trained network as a model folder: a MONAI bundle with its evidence.

The folder is complete on its own: weights, how they are run, how they were made,
what they reached on patients they had not seen, and the hash of it all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cad_node.networks.bundle import (
    INFERENCE_FILE,
    METADATA_FILE,
    TRAIN_FILE,
    WEIGHTS_FILE,
    load_bundle,
    write_sums,
)
from cad_node.networks.lesion_network import CLASS_NAMES, LesionNetwork
from cad_node.networks.registry import describe_architecture
from cad_node.train.card import PUBLISHED, SCORECARD_FILE, write_card
from cad_node.train.json_file import write_json
from cad_node.train.licence import licence_text
from cad_node.train.loop import TrainSettings

_SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
)


@dataclass(frozen=True)
class Decisions:
    """What validation data decided: how outputs become masks and probabilities."""

    temperature: float = 1.0
    threshold: float = 0.5
    normal_veto: float = 0.5
    flips: bool = False
    abstain_below: float = 0.0
    veto_image_share: float = 0.0


@dataclass(frozen=True)
class Origin:
    """Where the model comes from: data, split and command, in words and numbers.

    `parts` says of each network of a pair how it was made; empty for one that was trained whole.
    """

    data: Mapping[str, Any]
    command: str
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def export_bundle(
    network: LesionNetwork,
    settings: TrainSettings,
    decisions: Decisions,
    origin: Origin,
    folder: Path,
    version: str,
    weights: Path | None = None,
) -> str:
    """Write or replace the model folder and return its sha256; its name is the model's name.

    `weights` is a weight file of this network that is taken as it is.
    """
    sha256 = write_folder(
        folder,
        network,
        metadata=_metadata(folder.name, version, settings, decisions, origin.data.get("datasets", ())),
        inference=_inference(settings),
        train=_train(folder.name, settings, origin),
        weights=weights,
    )
    write_card(load_bundle(folder))
    return sha256


def write_folder(
    folder: Path,
    network: nn.Module,
    metadata: Mapping[str, Any],
    inference: Mapping[str, Any],
    train: Mapping[str, Any],
    weights: Path | None = None,
) -> str:
    """Write or replace a model folder without its card, and return its sha256.

    `weights` is a weight file of this network that is taken as it is. The folder is built beside its
    place and moved there at the end: a node never reads half a model.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    partial.chmod(0o755)
    for inner in ("configs", "models", "docs"):
        (partial / inner).mkdir()
    if weights is None:
        torch.save(_shipped_precision(network), partial / WEIGHTS_FILE)
    else:
        shutil.copyfile(weights, partial / WEIGHTS_FILE)
    write_json(partial / METADATA_FILE, metadata)
    write_json(partial / INFERENCE_FILE, inference)
    write_json(partial / TRAIN_FILE, train)
    sha256 = write_sums(partial)
    licence = licence_text(train["data"].get("datasets", ()), metadata["cad_node"].get("architecture", ""))
    (partial / "LICENSE").write_text(licence, encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return sha256


def attach_scorecard(folder: Path, scorecard: Mapping[str, Any]) -> None:
    """Put the evidence into a model folder and its figures into the card.

    Neither changes how the model runs, so its sha256 stays.
    """
    bundle = load_bundle(folder)
    write_json(folder / SCORECARD_FILE, scorecard)
    write_card(bundle)


def _shipped_precision(network: nn.Module) -> dict[str, torch.Tensor]:
    """Filters in half precision, everything one-dimensional in full.

    Batch variances reach beyond half precision's range; they are few.
    """
    return {
        key: value.half() if value.is_floating_point() and value.ndim > 1 else value
        for key, value in network.state_dict().items()
    }


def common_metadata(version: str, datasets: Collection[str] = ()) -> dict[str, Any]:
    """What a model folder of this project says whatever the model is for.

    `datasets` are those that were learned from; by default the two public ones.
    """
    own = sorted(set(datasets) - PUBLISHED.keys())
    sources = [PUBLISHED[name] for name in PUBLISHED if name in datasets or not own]
    sources += [f"{name}, not published" for name in own]
    return {
        "schema": _SCHEMA,
        "version": version,
        "changelog": {version: "see docs/README.md"},
        "monai_version": installed_version("monai"),
        "pytorch_version": installed_version("torch").partition("+")[0],
        "numpy_version": installed_version("numpy"),
        "required_packages_version": {"opencv-python-headless": installed_version("opencv-python-headless")},
        "authorship": "The CAD Node developers",
        "copyright": "Copyright The CAD Node developers; Apache-2.0",
        "data_source": " and ".join(sources),
        "data_type": "dicom" if set(datasets) == {"DICOM"} else "png",
        "intended_use": "Research, and decision support under a radiologist's eyes. Not a certified medical device.",
    }


def _metadata(
    name: str,
    version: str,
    settings: TrainSettings,
    decisions: Decisions,
    datasets: Collection[str],
) -> dict[str, Any]:
    grey = {"type": "image", "format": "magnitude", "modality": "US", "num_channels": 1}
    square = {"spatial_shape": [settings.size_px, settings.size_px], "dtype": "float32"}
    described = describe_architecture(settings.architecture)
    return {
        **common_metadata(version, datasets),
        "task": "Lesion segmentation and classification in B-mode breast ultrasound",
        "description": (
            f"{described[0].upper()}{described[1:]}: a lesion probability for each pixel; "
            "normal, benign and malignant for the image and for each lesion mask."
        ),
        "image_classes": "one grey channel of the tissue region, letterboxed, (grey level - 127) / 128",
        "label_classes": "one channel: 1 is lesion",
        "pred_classes": f"lesion logit; class logits of {', '.join(CLASS_NAMES)}",
        "network_data_format": {
            "inputs": {
                "image": {
                    **grey,
                    **square,
                    "value_range": [-1, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": "grey"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": 1,
                    **square,
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {"0": "lesion logit"},
                }
            },
        },
        "cad_node": {
            "name": name,
            "architecture": settings.architecture,
            "network": dict(settings.network),
            "size_px": settings.size_px,
            "classes": list(CLASS_NAMES),
            **asdict(decisions),
        },
    }


def _inference(settings: TrainSettings) -> dict[str, Any]:
    """Config for ``python -m monai.bundle run``; the node itself reads the metadata."""
    return {
        "imports": ["$import pathlib", "$from cad_node import networks"],
        "bundle_root": ".",
        "dataset_dir": "images",
        "output_dir": "maps",
        "network": {
            "_target_": "cad_node.networks.registry.build_network",
            "architecture": settings.architecture,
            "config": dict(settings.network),
        },
        "network_def": "$@network.segmenter",
        "images": "$sorted(pathlib.Path(@dataset_dir).glob('*.png'))",
        "model": "$networks.load_model(pathlib.Path(@bundle_root))",
        "run": ["$networks.save_probability_maps(@model, @images, pathlib.Path(@output_dir))"],
    }


def _train(name: str, settings: TrainSettings, origin: Origin) -> dict[str, Any]:
    if origin.parts:
        module, call = "join", "repeat(pathlib.Path(@dataset_dir), pathlib.Path(@run_dir), @parts, @data)"
    else:
        module = "run"
        call = "train_from_settings(pathlib.Path(@dataset_dir), pathlib.Path(@run_dir), @settings, @data)"
    return {
        "imports": ["$import pathlib", f"$from cad_node.train import {module} as training"],
        "dataset_dir": "data",
        "run_dir": f"runs/{name}",
        "command": origin.command,
        "data": dict(origin.data),
        "settings": asdict(settings),
        **({"parts": origin.parts} if origin.parts else {}),
        "run": [f"$training.{call}"],
    }
