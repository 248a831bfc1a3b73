"""Each layout that training data may lie in, drawn small, in a folder of its own."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydicom.dataset import Dataset

from cad_node.domain import Probabilities
from cad_node.encode import load_templates
from cad_node.resources import templates_dir
from cad_node.settings import ResultSettings
from cad_node.train.sources.busi import known_images
from tests.factories import Ellipse, us_image, write
from tests.results import BENIGN, MALIGNANT, analysed, study
from tests.unit.encode.encoding import encode
from tests.unit.train.published import ellipse_image

LESION = Ellipse(60, 80, 18, 26)
SMALL = {"rows": 120, "columns": 160}


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A CSV file; its columns are those of the first row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def busi_names(per_class: int, folds: Sequence[int] = (1, 2, 5)) -> list[str]:
    """The smallest usable images of BUSI, so many of each class and fold, by class folder and file name."""
    chosen = []
    for one in ("normal", "benign", "malignant"):
        for fold in folds:
            usable = [
                (known.rows * known.columns, name)
                for name, known in known_images().items()
                if name.startswith(f"{one}/")
                and known.fold == fold
                and not known.conflicting
                and not known.colour_doppler
            ]
            chosen += [name for _, name in sorted(usable)[:per_class]]
    return chosen


def write_busi(folder: Path, names: Sequence[str]) -> Path:
    """Drawn pictures with the names and sizes of BUSI's."""
    rng = np.random.default_rng(2)
    for name in names:
        known = known_images()[name]
        radius = {"normal": 0, "benign": known.rows / 8, "malignant": known.rows / 4}[name.split("/")[0]]
        image, inside = ellipse_image(rng, radius=radius, shape=(known.rows, known.columns))
        write_picture(folder / name, image)
        write_picture(folder / name.replace(".png", "_mask.png"), inside * np.uint8(255))
    return folder


def write_busbra(folder: Path, patients: int, folds: bool = True) -> Path:
    """Two drawn images a patient, left and right; odd patients are benign."""
    rng = np.random.default_rng(3)
    table, split = [], []
    for case in range(1, patients + 1):
        label, radius = ("benign", 9) if case % 2 else ("malignant", 19)
        for side in "lr":
            name = f"bus_{case:04d}-{side}"
            image, inside = ellipse_image(rng, radius=radius)
            write_picture(folder / "Images" / f"{name}.png", image)
            write_picture(folder / "Masks" / f"{name.replace('bus', 'mask')}.png", inside * np.uint8(255))
            device = "Toshiba Aplio 300" if case == 1 else "GE Logiq 7"
            table.append({"ID": name, "Case": case, "Pathology": label, "Device": device, "Side": side})
            split.append({"ID": name, "Pathology": label, "kFold": (case - 1) // 2 % 5 + 1})
    write_table(folder / "bus_data.csv", table)
    if folds:
        write_table(folder / "5-fold-cv.csv", split)
    return folder


def write_plain(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """``images.csv`` and the pictures it names, each with its mask beside it."""
    rng = np.random.default_rng(4)
    for row in rows:
        image, inside = ellipse_image(rng, radius={"normal": 0, "benign": 9}.get(row["label"], 19))
        path = folder / row["image"]
        write_picture(path, image)
        if row["label"] != "normal":
            write_picture(path.with_name(f"{path.stem}_mask.png"), inside * np.uint8(255))
    write_table(folder / "images.csv", rows)
    return folder


def dicom_image(lesion: Ellipse | None = LESION, patient: str = "HOSPITAL-4711", **options: Any) -> Dataset:
    """A small ultrasound image."""
    return us_image(lesion=lesion, patient_id=patient, **{**SMALL, **options})


def results(
    source: Dataset,
    drawn: Mapping[int, Sequence[tuple[int, Ellipse, Probabilities]]],
    settings: ResultSettings | None = None,
) -> tuple[Dataset, Dataset]:
    """The node's SEG and SR of drawn lesions by frame number."""
    made = encode(
        study(analysed(source, drawn)), [source], load_templates(templates_dir()), settings=settings
    )
    by_kind = {one.kind: one.dataset for one in made}
    return by_kind["seg"], by_kind["sr"]


def write_outlined(folder: Path, **options: Any) -> tuple[Dataset, Dataset]:
    """An image with its SEG, without a report; returns both."""
    source = dicom_image(**options)
    seg, _ = results(source, {1: [(1, LESION, MALIGNANT)]})
    write(source, folder)
    write(seg, folder)
    return source, seg


def write_dicom(folder: Path, patients: int) -> Path:
    """An outlined and a normal image a patient; the classes stand in ``images.csv``."""
    table = []
    for number in range(patients):
        label = ("benign", "malignant")[number % 2]
        lesion = Ellipse(60, 80, 10, 14) if label == "benign" else Ellipse(60, 80, 24, 34)
        one = dicom_image(lesion, f"P{number}", seed=number)
        two = dicom_image(None, f"P{number}", seed=100 + number)
        seg, _ = results(one, {1: [(1, lesion, BENIGN)]})
        for dataset in (one, two, seg):
            write(dataset, folder / f"study-{number}")
        fold = number // 2 % 3 + 1
        table += [
            {"sop_instance_uid": one.SOPInstanceUID, "label": label, "fold": fold},
            {"sop_instance_uid": two.SOPInstanceUID, "label": "normal", "fold": fold},
        ]
    write_table(folder / "images.csv", table)
    return folder
