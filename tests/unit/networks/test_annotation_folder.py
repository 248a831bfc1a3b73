"""The shipped annotation model: it is the one its hash names, and it finds what is drawn."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from cad_node.domain import Frame, ImageReference
from cad_node.networks.annotation_model import load_annotation_model
from cad_node.networks.bundle import WEIGHTS_FILE
from cad_node.pipeline.clean import Cleaner
from cad_node.pipeline.clean.drawn import DrawnMarks
from cad_node.pipeline.clean.inpaint import widen
from cad_node.pipeline.clean.marks import Picture, paint
from cad_node.resources import models_dir
from cad_node.settings import PipelineSettings
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.scenes import scene
from tests.unit.train.annotations.grounds import tissue

FOLDER = models_dir() / "annotations"
REFERENCE = ImageReference("2.25.1", "2.25.2", "2.25.3", "1.2.840.10008.5.1.4.1.1.6.1", 420, 560, 1)
# Share of the drawn sample, 50 grey levels or more above the tissue, that is covered.
ALL_MARKS = 0.85
STRINGS = 0.95


@pytest.fixture(scope="module")
def model():
    return load_annotation_model(FOLDER, threads=1)


@pytest.fixture(scope="module")
def cleaner(model):
    settings = PipelineSettings(verify_cleaning=False)
    return Cleaner(settings, detectors=[DrawnMarks(model)])


def clean(cleaner, pixels):
    return cleaner.clean_frame(Frame(REFERENCE, 1, pixels))


def test_folder_is_the_model_that_its_hash_names_and_small(model):
    card = (FOLDER / "docs" / "README.md").read_text(encoding="utf-8")

    assert model.bundle.name == FOLDER.name
    assert model.bundle.sha256 in card
    assert (FOLDER / WEIGHTS_FILE).stat().st_size < 1_000_000


def test_figures_are_of_these_weights_and_of_folds_not_learned_from():
    scorecard = json.loads((FOLDER / "scorecard.json").read_text(encoding="utf-8"))

    assert scorecard["model"]["sha256"] == load_annotation_model(FOLDER).bundle.sha256
    assert {"node", "RapidOCR alone", "blanking alone"} <= scorecard["methods"].keys()


def test_no_path_of_the_training_machine_is_shipped():
    for path in FOLDER.rglob("*"):
        if path.suffix in {".json", ".md"}:
            text = path.read_text(encoding="utf-8")
            assert str(Path.home()) not in text
            assert not re.search(r'"/[a-z]+/', text), "an absolute path"


def test_marks_on_a_drawn_sample_are_covered(model):
    detector = DrawnMarks(model)
    covered, strings = [], []
    for seed in range(4):
        made = scene(tissue(seed, 420, 560), np.random.default_rng(seed), Faces(()), Faces(()))
        removed = widen(paint(detector.find(Picture(made.pixels)), made.pixels.shape))
        for mark in made.marks:
            if re.search(r" 50-|100-", mark.row):
                covered.append(removed[mark.ink].mean() >= 0.95)
                strings += [covered[-1]] if mark.row.startswith("strings") else []

    assert len(covered) >= 40
    assert len(strings) >= 12
    assert np.mean(covered) >= ALL_MARKS
    assert np.mean(strings) >= STRINGS


def test_faint_string_is_removed_and_only_it(cleaner):
    ground = tissue(11, 420, 560)
    pixels = ground.copy()
    ink = np.zeros_like(ground)
    cv2.putText(ink, "LT UOQ 2:00", (180, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1, 2)
    pixels[ink > 0] = np.clip(pixels[ink > 0].mean() + 45, 0, 255)

    result = clean(cleaner, pixels)

    assert result.removed[ink > 0].mean() > 0.95
    near = cv2.dilate(ink, np.ones((15, 15), np.uint8)) > 0
    assert not result.removed[~near].any()
    assert (result.pixels == pixels)[~result.removed].all()


@pytest.mark.parametrize("seed", range(20, 26))
def test_tissue_without_marks_is_left_alone(cleaner, seed):
    pixels = tissue(seed, 420, 560)

    result = clean(cleaner, pixels)

    assert not result.removed.any()
    assert (result.pixels == pixels).all()


def test_dark_lesion_and_bright_streak_are_left_alone(cleaner):
    pixels = tissue(30, 420, 560)
    cv2.ellipse(pixels, (280, 190), (70, 40), 0, 0, 360, 25, -1)
    cv2.ellipse(pixels, (150, 330), (60, 9), 4, 200, 320, 220, 3)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 1.3)

    assert not clean(cleaner, pixels).removed.any()
