"""`cad-node compare` from end to end on drawn images, and the rules that it keeps."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cad_node.cli.compare import compare
from cad_node.errors import SettingsError
from cad_node.networks.papers import build_classifier
from cad_node.train.data import Sample
from cad_node.train.papers.compare import jobs_of
from cad_node.train.papers.figures import (
    classification_figures,
    figures_of_scorecard,
    guessing,
    interval_95,
    mean_and_spread,
    segmentation_figures,
)
from cad_node.train.papers.learn import iou_loss
from cad_node.train.papers.prepare import Squares, cut_background, without_noise
from cad_node.train.papers.protocol import PRESETS
from cad_node.train.papers.splits import parts_of, usable_samples
from cad_node.train.papers.tables import markdown, published, summary
from tests.unit.train.published import ellipse_image, row, write_data, write_manifest

QUICK = PRESETS["quick"]


@pytest.fixture(scope="module")
def busi(tmp_path_factory):
    """A tiny folder whose images all belong to BUSI."""
    folder = write_data(tmp_path_factory.mktemp("busi"), per_fold=1, folds=(1, 2, 3, 4, 5))
    manifest = folder / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("BUS-BRA", "BUSI"))
    return folder


def _compare(busi, run, **changes):
    settings = {
        "architectures": "resnet18,inception", "tasks": None, "split": None, "folds": None, "epochs": 1,
        "size_px": 64, "batch": 4, "runs": None, "weights": None, "denoise": False,
        "remove_background": False, "model": "breast-us", "minutes": None, "threads": 1, "seed": None,
    }  # fmt: skip
    compare(data=busi, run=run, protocol="quick", device="cpu", **{**settings, **changes})
    return json.loads((run / "comparison.json").read_text())


@pytest.fixture(scope="module")
def compared(busi, tmp_path_factory):
    run = tmp_path_factory.mktemp("compared") / "run"
    return run, _compare(busi, run)


def test_every_network_is_scored_at_both_tasks(compared):
    _, content = compared
    rows = {(r["task"], r["architecture"]): r for r in content["rows"]}
    assert set(rows) == {
        (t, a) for t in ("classification", "segmentation") for a in ("resnet18", "inception")
    }
    assert rows["classification", "resnet18"]["test_images"] == 3
    assert 0 <= rows["segmentation", "inception"]["figures"]["mean"]["mean"] <= 1


def test_tables_show_published_measured_and_our_figures_together(compared):
    run, content = compared
    text = (run / "comparison.md").read_text()
    assert "| vgg16 | published | 84.57 | – | 89.34 | 73.64 | 80.73 | |" in text
    assert "| resnet18 | from scratch |" in text
    assert "| always normal | guessing | 33.33 |" in text
    assert "**breast-us" in text
    assert "Changed: epochs 1, size px 64, batch 4" in text
    assert content["model"]["name"] == "breast-us"


def test_finished_networks_are_not_trained_again(compared, busi, capsys):
    run, _ = compared
    before = {path: path.stat().st_mtime_ns for path in (run / "results").rglob("*.json")}
    assert len(before) == 4
    _compare(busi, run, architectures="resnet18,inception,alexnet", tasks="classification")
    after = {path: path.stat().st_mtime_ns for path in (run / "results").rglob("*.json")}
    assert {path: after[path] for path in before} == before
    assert len(after) == 5


def test_result_keeps_what_was_said_of_every_test_image(compared):
    run, _ = compared
    result = json.loads((run / "results/classification/resnet18/scratch/fold5-run1.json").read_text())
    assert len(result["cases"]) == 3
    assert all(sum(case["probabilities"]) == pytest.approx(1, abs=1e-3) for case in result["cases"])
    assert result["images"] == {"training": 9, "validation": 3, "test": 3}


def test_without_minutes_nothing_is_trained(busi, tmp_path):
    with pytest.raises(SettingsError, match="No network has been trained yet"):
        _compare(busi, tmp_path / "run", minutes=0)


def test_run_under_other_rules_is_not_mixed_in(compared, busi):
    with pytest.raises(SettingsError, match="under other rules"):
        _compare(busi, compared[0], batch=8)


def test_same_seed_gives_the_same_figures(compared, busi, tmp_path):
    again = _compare(busi, tmp_path / "again", architectures="resnet18", tasks="classification")
    first = next(
        r for r in compared[1]["rows"] if (r["task"], r["architecture"]) == ("classification", "resnet18")
    )
    assert again["rows"][0]["figures"] == first["figures"]


def test_networks_start_from_weight_files_that_are_there(busi, tmp_path):
    torch.manual_seed(6)
    weights = build_classifier("resnet18", classes=1000).backbone.state_dict()
    (tmp_path / "weights").mkdir()
    torch.save({k.removeprefix("net."): v for k, v in weights.items()}, tmp_path / "weights" / "resnet18.pth")
    content = _compare(
        busi, tmp_path / "run", architectures="resnet18,inception", tasks="classification",
        weights=tmp_path / "weights",
    )  # fmt: skip
    assert sorted((r["architecture"], r["start"]) for r in content["rows"]) == [
        ("inception", "scratch"), ("resnet18", "imagenet"), ("resnet18", "scratch"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"architectures": "vgg99"}, "no network 'vgg99'"),
        ({"size_px": 50}, "no multiple of 32"),
        ({"tasks": "cooking"}, "not classification and segmentation"),
        ({"split": "lucky"}, "neither grouped nor papers"),
        ({"folds": "6"}, "folds 1 to 5"),
    ],
)
def test_what_cannot_be_compared_is_refused(busi, tmp_path, changes, problem):
    with pytest.raises(SettingsError, match=problem):
        _compare(busi, tmp_path / "run", **changes)


def test_papers_presets_are_the_papers_settings():
    first, second = PRESETS["paper-2021"], PRESETS["paper-2024"]
    assert (first.size_px, first.optimizer, first.rate, first.epochs) == (512, "sgd", 0.001, 60)
    assert (first.dropout, first.folds, first.segmentation_loss) == (0.33, 10, "iou")
    assert (second.runs, second.epochs, sum(second.test_counts.values())) == (3, 50, 42)
    assert len(list(jobs_of(first, {}))) == 10 * 2 * 5
    files = dict.fromkeys(second.architectures)
    assert len(list(jobs_of(second, files))) == 3 * 2 * 4


def _many():
    """Samples in pairs: each group has two images."""
    return [
        Sample("BUSI", f"{label}{n}.png", label, f"{label}-{n // 2}", 1)
        for label in ("normal", "benign", "malignant")
        for n in range(40)
    ]


def test_ten_grouped_folds_test_every_image_once_and_tear_no_group():
    protocol = replace(QUICK, folds=10, use_folds=())
    samples = _many()
    tested = []
    for fold in protocol.chosen_folds:
        parts = parts_of(samples, protocol, fold)
        tested += parts.test
        sides = [{s.group for s in part} for part in (parts.training, parts.validation, parts.test)]
        assert not sides[0] & sides[1]
        assert not (sides[0] | sides[1]) & sides[2]
    assert sorted(s.image for s in tested) == sorted(s.image for s in samples)


def test_papers_own_split_tears_groups_as_theirs_did():
    parts = parts_of(_many(), replace(QUICK, split="papers", folds=10), 1)
    assert {s.group for s in parts.test} & {s.group for s in parts.training}
    assert not {s.image for s in parts.test} & {s.image for s in parts.training}


def test_second_papers_counts_are_kept():
    protocol = replace(
        PRESETS["paper-2024"], test_counts={"benign": 3, "malignant": 3, "normal": 2},
        training_counts={"benign": 20, "malignant": 20, "normal": 10},
    )  # fmt: skip
    parts = parts_of(_many(), protocol, 1)
    assert len(parts.test) == 8
    assert len(parts.training) + len(parts.validation) == 50
    assert not {s.group for s in parts.test} & {s.group for s in (*parts.training, *parts.validation)}


def test_papers_own_split_takes_contradictory_labels_in(tmp_path):
    rows = [
        row("a.png", "benign", "g1", 1, dataset="BUSI"),
        row("b.png", "malignant", "g1", 1, dataset="BUSI", conflicting="1"),
        row("c.png", "benign", "g2", 2),
    ]
    write_manifest(tmp_path, rows)
    assert [s.image for s in usable_samples(tmp_path, QUICK)] == ["a.png"]
    assert [s.image for s in usable_samples(tmp_path, replace(QUICK, split="papers"))] == ["a.png", "b.png"]


def test_guessing_names_the_most_frequent_class():
    told = guessing(["benign", "normal", "benign", "malignant"])
    assert told["label"] == "benign"
    assert told["figures"]["accuracy"] == pytest.approx(0.5)
    assert told["figures"]["recall"] == pytest.approx(1 / 3)


def test_interval_draws_the_images_of_a_group_together():
    """Two groups, one right and one wrong: a sample is all right, all wrong, or half."""
    cases = [
        {"label": "benign", "group": group, "probabilities": said}
        for group, said in (("a", [0, 1, 0]), ("b", [1, 0, 0]))
        for _ in range(50)
    ]
    assert interval_95("classification", cases) == [0.0, 1.0]
    alike = [{**case, "probabilities": [0, 1, 0]} for case in cases]
    assert interval_95("classification", alike) == [1.0, 1.0]


def test_interval_of_overlaps_is_of_the_mean_over_classes():
    cases = [
        {"label": label, "group": f"{label}{n}", "iou": value}
        for label, value in (("normal", 1.0), ("benign", 0.5), ("malignant", 0.0))
        for n in range(20)
    ]
    assert interval_95("segmentation", cases) == [0.5, 0.5]


def test_table_2_counted_by_hand():
    target = np.array([0, 0, 1, 1, 1, 1, 2, 2])
    said = np.array([0, 1, 1, 1, 1, 2, 2, 2])
    figures = classification_figures(target, said)
    assert figures["accuracy"] == pytest.approx(6 / 8)
    assert figures["precision"] == pytest.approx((1 + 3 / 4 + 2 / 3) / 3)
    assert figures["recall"] == pytest.approx((1 / 2 + 3 / 4 + 1) / 3)
    assert figures["accuracy_equation_1"] == pytest.approx((7 / 8 + 6 / 8 + 7 / 8) / 3)
    p, r = figures["precision"], figures["recall"]
    assert figures["f1"] == pytest.approx(2 * p * r / (p + r))


def test_published_f1_is_the_harmonic_mean_of_published_precision_and_recall():
    """This is why ours is, too."""
    for figures in published()["paper-2021"]["classification"]["rows"].values():
        p, r = figures["precision"], figures["recall"]
        assert figures["f1"] == pytest.approx(2 * p * r / (p + r), abs=0.03)


def test_table_3_averages_the_three_classes():
    figures = segmentation_figures(["normal", "benign", "benign", "malignant"], [1.0, 0.4, 0.8, 0.3])
    assert figures == pytest.approx({"normal": 1.0, "benign": 0.6, "malignant": 0.3, "mean": 1.9 / 3})


def test_spread_is_that_of_folds_and_runs():
    assert mean_and_spread([{"accuracy": 0.6}, {"accuracy": 0.8}])["accuracy"] == pytest.approx(
        (0.7, 0.2 / np.sqrt(2))
    )


def _entry(value):
    return {"value": value}


def test_model_stands_in_the_tables_with_its_scorecards_figures():
    part = {"accuracy": _entry(0.9), "normals_with_false_lesion": _entry(0.2)}
    part |= {f"{name}_precision": _entry(0.8) for name in ("normal", "benign", "malignant")}
    part |= {f"{name}_recall": _entry(0.6) for name in ("normal", "benign", "malignant")}
    part |= {"benign_iou": _entry(0.7), "malignant_iou": _entry(0.6)}
    card = {
        "model": {"name": "m", "version": "1"}, "test_folds": [5], "annotations_left_in": {"BUSI": part},
    }  # fmt: skip
    figures = figures_of_scorecard(card)
    assert figures["segmentation"]["mean"] == pytest.approx(0.7)
    assert figures["classification"]["f1"] == pytest.approx(2 * 0.8 * 0.6 / 1.4)
    text = markdown(summary([], QUICK, card))
    assert "| **m 1** | ours, its own scorecard | 80.00 | 70.00 | 60.00 | 70.00 | BUSI, fold 5 |" in text


def test_figures_of_models_made_alike_are_called_so():
    part = {"accuracy": _entry(0.9), "normals_with_false_lesion": _entry(0.2)}
    part |= {
        f"{name}_{what}": _entry(0.8)
        for name in ("normal", "benign", "malignant")
        for what in ("precision", "recall")
    }
    part |= {"benign_iou": _entry(0.7), "malignant_iou": _entry(0.6)}
    card = {
        "model": {"name": "m", "version": "1", "sha256": "0"}, "test_folds": [1, 2],
        "protocol": {"parts": [{"sha256": "1"}, {"sha256": "2"}]}, "annotations_left_in": {"BUSI": part},
    }  # fmt: skip
    text = markdown(summary([], QUICK, card))
    assert "| **m 1** | ours, 2 models made alike |" in text
    assert "| BUSI, fold 1, 2 |" in text


def test_model_that_was_never_scored_on_the_data_is_not_shown():
    assert summary([], QUICK, {"annotations_left_in": {"BUS-BRA": {}}})["model"] is None


def test_iou_loss_counted_by_hand():
    logits = torch.full((2, 1, 2, 2), -100.0)
    logits[0, 0, 0] = 100.0  # two pixels found
    mask = torch.zeros(2, 1, 2, 2)
    mask[0, 0, :, 0] = 1.0  # two pixels drawn, one of them found; the second image is normal and stays empty
    assert iou_loss(logits, mask).item() == pytest.approx((1 - 2 / 4 + 0) / 2)


def test_background_is_cut_and_the_lesion_stays():
    image, inside = ellipse_image(np.random.default_rng(1), radius=20, shape=(120, 120))
    screen = np.zeros((200, 260), np.uint8)
    mask = np.zeros_like(screen)
    screen[30:150, 60:180] = np.maximum(image, 12)
    mask[30:150, 60:180] = inside * np.uint8(255)
    cut, cut_mask = cut_background(screen, mask)
    assert cut.shape == cut_mask.shape
    assert cut.size < 0.6 * screen.size
    assert np.count_nonzero(cut_mask) == np.count_nonzero(mask)


def test_noise_reduction_smooths_speckle_and_keeps_the_edge():
    image, inside = ellipse_image(np.random.default_rng(1), radius=20, shape=(120, 120))
    smooth = without_noise(image).astype(float)
    assert smooth[~inside].std() < 0.6 * image[~inside].astype(float).std()
    assert smooth[~inside].mean() - smooth[inside].mean() > 80


def test_preparations_change_the_images_and_are_kept_apart(busi, tmp_path):
    samples = usable_samples(busi, QUICK)
    plain = Squares(busi, samples, 32, tmp_path)
    smooth = Squares(busi, samples, 32, tmp_path, denoise=True)
    again = Squares(busi, samples, 32, tmp_path)
    assert not np.array_equal(plain.images, smooth.images)
    assert np.array_equal(plain.images, again.images)
    assert np.array_equal(plain.masks, smooth.masks)
