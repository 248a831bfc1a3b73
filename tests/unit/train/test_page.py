import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from cad_node.errors import SettingsError
from cad_node.train.cases import Case
from cad_node.train.evaluate import scorecard
from cad_node.train.page import picture_name, write_report
from cad_node.train.plots import draw_training


@pytest.fixture(scope="module")
def cases():
    rng = np.random.default_rng(3)
    made = []
    for number in range(60):
        label = ("normal", "benign", "malignant")[number % 3]
        dice = float(rng.uniform(0.3, 1)) if number % 3 else math.nan
        probabilities = rng.dirichlet([1, 1, 1]) * 0.5 + np.eye(3)[number % 3] * 0.5
        made.append(
            Case(
                ("BUSI", "BUS-BRA")[number % 2],
                label,
                f"g{number // 2}",
                f"<{number}>.png",
                dice,
                dice,
                int(number % 3 > 0),
                int(number % 3 > 0),
                int(number % 7 > 0),
                int(number % 3 == 0),
                tuple(float(p) for p in probabilities),
                dice * 10,
                dice / 5,
                number % 10 == 1,
                number % 5 == 0,
            )
        )
    return made


@pytest.fixture(scope="module")
def report(cases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "worst").mkdir()
    (folder / "worst" / picture_name(1)).write_bytes(b"png")
    card = scorecard(cases, cases[:40], {"name": "m", "version": "1"}, [5], 19, colour_doppler=5)
    write_report(card, folder)
    return folder


def test_every_figure_on_the_page_is_one_of_the_json(report):
    page = (report / "index.html").read_text()
    card = json.loads((report / "scorecard.json").read_text())
    written = set()
    for key in ("annotations_left_in", "annotations_removed"):
        for part in card[key].values():
            for entry in part.values():
                numbers = (entry["value"], *entry["interval_95"])
                for digits in (1, 3):
                    written.add("{} <small>({} to {})</small>".format(*(f"{n:.{digits}f}" for n in numbers)))
    shown = re.findall(r'<td class="figure">([0-9.]+ <small>\([^)]*\)</small>)</td>', page)
    assert len(shown) > 100
    assert set(shown) <= written


def test_every_kind_of_figure_is_shown(report):
    page = (report / "index.html").read_text()
    card = json.loads((report / "scorecard.json").read_text())
    for entry in card["annotations_left_in"]["all"].values():
        digits = 1 if entry["value"] > 1.5 else 3
        assert f"{entry['value']:.{digits}f} <small>" in page


def test_page_fetches_nothing_and_links_the_pictures_beside_it(report):
    page = (report / "index.html").read_text()
    targets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert targets
    assert all(target.startswith(("data:image/png;base64,", "worst/")) for target in targets)
    assert targets.count("worst/01.png") == 2
    assert "<script" not in page
    assert "&lt;" in page


def test_plots_are_pictures(report):
    for name in ("roc.png", "froc.png", "reliability.png", "dice.png", "coverage.png"):
        picture = np.asarray(Image.open(io.BytesIO((report / name).read_bytes())).convert("L"))
        assert picture.shape[0] > 300
        assert (picture < 200).any()


def test_numbers_that_are_none_are_null_in_the_json(report):
    assert "NaN" not in (report / "scorecard.json").read_text()


def test_curves_of_a_run_are_drawn(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,segmentation,class,dice,accuracy\n1,0.9,0.8,0.4,0.6\n2,0.5,0.5,0.7,0.7\n")
    draw_training(log, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size[0] > 900


@pytest.mark.parametrize("content", [None, "epoch,dice\n"])
def test_run_without_an_epoch_has_no_curve(tmp_path, content):
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    with pytest.raises(SettingsError, match="No curve can be drawn"):
        draw_training(tmp_path / "log.csv", tmp_path / "curves.png")
