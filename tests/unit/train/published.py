"""A tiny data folder in the two published layouts, drawn, not taken from anybody."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import torch

from cad_node.networks.lesion_network import build
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.loop import TrainSettings
from cad_node.train.training_data import training_data

SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}
_COLUMNS = ("dataset", "image", "label", "group", "conflicting_labels", "fold")


def row(image, label, group, fold, *, dataset="BUS-BRA", conflicting="0"):
    """One line of a manifest."""
    return dict(zip(_COLUMNS, (dataset, image, label, group, conflicting, str(fold)), strict=True))


def write_manifest(folder: Path, rows) -> Path:
    """Write manifest.csv; its columns are those of the first row."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def ellipse_image(rng, *, radius=14, shape=(80, 64), bright=130):
    """Speckle with one dark ellipse, and the ellipse; radius 0 is normal tissue."""
    rows, columns = shape
    row, column = np.ogrid[:rows, :columns]
    centre = rows * rng.uniform(0.4, 0.6), columns * rng.uniform(0.4, 0.6)
    inside = (row - centre[0]) ** 2 + ((column - centre[1]) / 1.2) ** 2 < radius**2
    level = np.where(inside, 25, bright)
    speckle = rng.normal(1, 0.15, shape)
    return np.clip(level * speckle, 0, 255).astype(np.uint8), inside


def write_data(folder: Path, per_fold: int = 2, folds=(1, 2, 5)) -> Path:
    """A manifest with both layouts: benign small, malignant large, normal without a lesion."""
    rng = np.random.default_rng(5)
    rows = []
    for fold in folds:
        for number in range(per_fold):
            name = f"{fold}{number}"
            for label, radius in (("benign", 9), ("malignant", 19)):
                image, inside = ellipse_image(rng, radius=radius)
                path = f"BUSBRA/Images/bus_{name}-{label[0]}.png"
                _save(folder / path, image)
                _save(folder / path.replace("Images/bus_", "Masks/mask_"), inside * np.uint8(255))
                rows.append(row(path, label, f"p{name}{label[0]}", fold))
            image, inside = ellipse_image(rng, radius=0)
            path = f"BUSI/normal/normal ({name}).png"
            _save(folder / path, image)
            _save(folder / path.replace(".png", "_mask.png"), inside * np.uint8(255))
            rows.append(row(path, "normal", f"n{name}", fold, dataset="BUSI"))
    return write_manifest(folder, rows)


def write_model(folder: Path, name: str, folds, size_px=64, data: Path | None = None) -> Path:
    """A model folder, not trained, that says it has learned from these folds of both data sets, or of `data`."""
    torch.manual_seed(len(folds))
    described = {"folds": list(folds), "datasets": ["BUS-BRA", "BUSI"]}
    if data is not None:
        described = training_data(data, tuple(folds), TrainSettings.seed).describe()
    settings = TrainSettings(network=SMALL, size_px=size_px)
    origin = Origin(described, "cad-node train")
    export_bundle(build(SMALL).eval(), settings, Decisions(), origin, folder / name, "1.0.0")
    return folder / name


def _save(path: Path, image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
