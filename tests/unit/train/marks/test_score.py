"""The protocol "marks" on drawn images: what is compared, counted, kept and refused."""

import csv
import json
import math
import re

import numpy as np
import pytest
import torch

from cad_node.cli import evaluate as door
from cad_node.domain import CleanFrame
from cad_node.errors import CleaningError, SettingsError
from cad_node.networks.annotation_network import build as build_annotations
from cad_node.networks.lesion_network import build
from cad_node.settings import PipelineSettings
from cad_node.train.annotations.evaluate import LABELS
from cad_node.train.annotations.export import Cut, export_annotations
from cad_node.train.annotations.loop import AnnotationTraining
from cad_node.train.cases import Case
from cad_node.train.data import read_manifest
from cad_node.train.export import Decisions, Origin, export_bundle
from cad_node.train.loop import TrainSettings
from cad_node.train.marks import page, treat
from cad_node.train.marks.rows import Row, Rows
from cad_node.train.marks.score import DRAWINGS, Lab, score_marks, spread
from tests.unit.train.annotations.grounds import STROKES_ONLY
from tests.unit.train.published import write_data
from tests.unit.train.test_evaluate import DarkIsLesion

MARKED = "BUSBRA/Images/bus_50-b.png"
REFUSED = "BUSBRA/Images/bus_51-b.png"


class BrightIsMark:
    """A cleaner that fills what is as bright as 240, and refuses what holds a pixel of 254."""

    def __init__(self):
        self.asked = 0

    def describe(self):
        return ("what is as bright as 240",)

    def clean_frame(self, frame):
        self.asked += 1
        plain = treat.left_in(frame)
        if (plain.pixels == 254).any():
            raise CleaningError("still legible")
        removed = plain.pixels >= 240
        pixels = np.where(removed, 128, plain.pixels).astype(np.uint8)
        return CleanFrame(1, pixels, plain.region, None, (), removed)


@pytest.fixture
def data(tmp_path):
    folder = write_data(tmp_path / "data")
    for image, grey in ((MARKED, 250), (REFUSED, 254)):
        pixels = treat.read_frame(folder / image).pixels.copy()
        pixels[2:5, 5:30] = grey
        treat.cv2.imwrite(str(folder / image), pixels)
    _write_labels(folder / "labels.csv", {MARKED: ("text",), REFUSED: ("text",)})
    return folder


def _write_labels(path, marked, free=()):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *LABELS])
        for image, kinds in marked.items():
            writer.writerow([image, *(int(label in kinds) for label in LABELS)])
        for image in free:
            writer.writerow([image, *(0 for _ in LABELS)])


def _samples(data):
    return [sample for sample in read_manifest(data).samples if sample.fold == 5]


def _lab(data, tmp_path, cleaner=None):
    rows = Rows(tmp_path / "cases.jsonl", {"seed": 1})
    return Lab(DarkIsLesion(), cleaner or BrightIsMark(), data, STROKES_ONLY, rows, 1, tmp_path / "examples")


def _score(lab, data, **options):
    return score_marks(lab, _samples(data), data / "labels.csv", lambda *_: None, **options)


def test_both_halves_count_what_was_marked_free_and_refused(data, tmp_path):
    _write_labels(data / "labels.csv", {MARKED: ("text",)}, free=["BUSI/normal/normal (50).png"])

    card = _score(_lab(data, tmp_path), data)

    real, drawn = card["real"], card["drawn"]
    assert (real["images"], real["refused"], real["with_marks_found"]) == (6, 1, 1)
    assert real["sets"]["with marks found, BUS-BRA"]["images"] == 1
    # Six, without the marked one and the refused one; one of them was looked at.
    assert (drawn["images"], drawn["images_by_eye"], drawn["drawings"]) == (4, 1, 4 * DRAWINGS)
    assert drawn["sets"]["without marks by the cleaner"]["images"] == 3
    assert drawn["covered"]["caliper"]["of"] >= 4 * 4


def test_treatments_of_images_without_found_marks_are_equal(data, tmp_path):
    lab = _lab(data, tmp_path)
    _score(lab, data)
    rows = [lab.rows.find(sample.image, None) for sample in _samples(data)]
    for row in rows:
        if row.cases and not row.removed_px:
            assert len({json.dumps(str(case)) for case in row.cases.values()}) == 1


def test_loss_and_claim_come_from_the_pairs(data, tmp_path):
    drawn = _score(_lab(data, tmp_path), data)["drawn"]
    pair = next(p for p in drawn["sets"]["all"]["differences"] if p["after"] == treat.ADDED_REMOVED)
    found = pair["figures"]["lesion_dice"]
    assert drawn["claim"]["lost"] == pytest.approx(-100 * found["value"], abs=0.01)
    assert drawn["claim"]["met"] is (drawn["claim"]["lost"] <= 0.5)
    treatments = drawn["sets"]["all"]["treatments"]
    difference = treatments[treat.ADDED_REMOVED]["lesion_dice"]["value"] - treatments[treat.CLEAN][
        "lesion_dice"]["value"]  # fmt: skip
    assert found["value"] == pytest.approx(difference, abs=2e-4)


def test_interrupted_run_goes_on_without_asking_again(data, tmp_path):
    first, second = BrightIsMark(), BrightIsMark()
    before = _score(_lab(data, tmp_path, first), data)
    after = _score(_lab(data, tmp_path, second), data)
    assert (first.asked, second.asked) == (6 + 4 * DRAWINGS, 0)
    assert after == before


def test_limit_takes_the_same_few_images_whatever_their_order(data, tmp_path):
    samples = _samples(data)
    few = spread(samples, 2)
    assert len(few) == 2
    assert spread(samples[::-1], 2) == few
    assert _score(_lab(data, tmp_path), data, limit=3)["real"]["images"] == 3


def test_no_image_without_marks_is_said(data, tmp_path):
    _write_labels(data / "labels.csv", {sample.image: ("text",) for sample in _samples(data)})
    with pytest.raises(SettingsError, match="none of these images as free of marks"):
        _score(_lab(data, tmp_path), data)


def test_rows_come_back_as_they_went_and_only_to_who_made_them(tmp_path):
    path = tmp_path / "rows" / "cases.jsonl"
    case = Case("BUSI", "normal", "g", "x", math.nan, math.nan, 0, 0, 1, 1, (0.1, 0.2, 0.7), uncertain=True)
    rows = Rows(path, {"seed": 1})
    rows.add(Row("x", 0, {"clean": case}, 12, {"text": [True, False]}))
    rows.add(Row("y", None, None))
    with path.open("a") as file:
        file.write('{"image": "z", "drawing"')

    again = Rows(path, {"seed": 1})

    assert len(again) == 2
    found = again.find("x", 0)
    assert (found.removed_px, found.covered) == (12, {"text": [True, False]})
    assert str(found.cases["clean"]) == str(case)
    assert again.find("y", None).cases is None
    assert len(Rows(path, {"seed": 2})) == 0


WIDTHS = {"widths": [4, 8, 8, 8]}
SMALL = {"decoder_channels": [16, 12, 8, 8, 4]}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("models")
    origin = Origin({"folds": [1, 2], "datasets": ["BUS-BRA", "BUSI"]}, "cad-node train")
    settings = TrainSettings(network=SMALL, size_px=64)
    export_bundle(build(SMALL).eval(), settings, Decisions(), origin, folder / "breast", "1.0.0")
    for name, folds in (("annotations", [1, 2]), ("leak", [1, 5])):
        data = {"folds": folds, "training": {"images": 1, "groups": 1}, "held_out_devices": []}
        export_annotations(
            build_annotations(WIDTHS).eval(), AnnotationTraining(network=WIDTHS), Cut(0.9, 0.4),
            Origin(data, "cad-node train"), STROKES_ONLY, folder / name, "1.0.0",
        )  # fmt: skip
    return folder


def _evaluate(models, data, report, annotations="annotations", fold=5):
    return page.evaluate_marks(
        models / "breast", models / annotations, BrightIsMark(), PipelineSettings(), data, [fold],
        data / "labels.csv", report, lambda *_: None,
    )  # fmt: skip


@pytest.fixture
def quickly(monkeypatch):
    monkeypatch.setattr(page, "find_faces", lambda: (STROKES_ONLY, STROKES_ONLY))


@pytest.mark.usefixtures("quickly")
def test_page_shows_the_figures_of_the_scorecard_and_loads_nothing(models, data, tmp_path):
    card = _evaluate(models, data, tmp_path / "report")

    written = (tmp_path / "report" / "index.html").read_text()
    saved = json.loads((tmp_path / "report" / "scorecard.json").read_text())
    assert saved == json.loads(json.dumps(card))
    assert saved["model"]["name"] == "breast"
    assert saved["cleaner"]["steps"] == ["what is as bright as 240"]
    entry = saved["drawn"]["sets"]["all"]["treatments"]["added_removed"]["accuracy"]
    low, high = entry["interval_95"]
    assert f"{entry['value']:.3f} <small>({low:.3f} to {high:.3f})</small>" in written
    sources = re.findall(r'(?:src|href)="([^"]+)"', written)
    assert sources
    assert all((tmp_path / "report" / source).is_file() for source in sources)


@pytest.mark.usefixtures("quickly")
def test_images_that_a_network_has_learned_from_are_refused(models, data, tmp_path):
    with pytest.raises(SettingsError, match="was trained on fold 2"):
        _evaluate(models, data, tmp_path / "report", fold=2)
    with pytest.raises(SettingsError, match="leak was trained on fold 1, 5"):
        _evaluate(models, data, tmp_path / "report", "leak")


@pytest.mark.usefixtures("quickly")
def test_command_scores_with_the_nodes_own_cleaner_and_says_the_claim(
    models, data, tmp_path, monkeypatch, capsys
):
    asked = []

    def load_cleaner(settings, *, with_notes=True):
        assert not with_notes  # what stands beside the picture is not scored, and takes time to read
        asked.append(settings)
        return BrightIsMark()

    monkeypatch.setattr("cad_node.process.load_cleaner", load_cleaner)
    monkeypatch.setattr("cad_node.process.find_model", lambda _settings, name: models / name)

    door.evaluate(
        data, [str(models / "breast")], "5", "marks", labels=data / "labels.csv", report=tmp_path / "report",
        output=tmp_path / "card.json", limit=4, threads=1,
    )  # fmt: skip

    assert asked[0].runtime.threads == 1
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["limit"], card["real"]["images"]) == (4, 4)
    assert "aim at most 0.5" in capsys.readouterr().out
    assert "A sample: at most 4 images" in (tmp_path / "report" / "index.html").read_text()


def test_quick_look_does_not_replace_the_evidence_of_the_annotation_model(models, data, tmp_path):
    with pytest.raises(SettingsError, match="does not belong into the model folder"):
        door.evaluate(
            data, [str(models / "annotations")], protocol="annotations", labels=data / "labels.csv",
            report=tmp_path / "report", limit=2,
        )  # fmt: skip
