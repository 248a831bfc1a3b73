"""The run goes on as if it had not stopped, and doubtful pixels do not count."""

from dataclasses import replace

import pytest
import torch

from cad_node.errors import SettingsError
from cad_node.train.annotations.export import Cut, export_annotations
from cad_node.train.annotations.loop import AnnotationTraining, batch_of, loss_of, train_annotations
from cad_node.train.annotations.overlay import UNSURE
from cad_node.train.annotations.patches import Patches
from cad_node.train.annotations.run import run_annotations
from cad_node.train.export import Origin

from .grounds import STROKES_ONLY, background

TINY = AnnotationTraining(
    network={"widths": [4, 4, 4, 4]}, batch=2, steps=6, steps_an_epoch=3, patches=Patches(size_px=64)
)
GROUNDS = [background(1), background(2)]


def run(folder, settings):
    return train_annotations(GROUNDS, GROUNDS, STROKES_ONLY, settings, folder, lambda _line: None)


def test_interrupted_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole", TINY).state_dict()

    class StopError(Exception):
        pass

    def stop_after_the_first_checkpoint(line):
        if line.startswith("step 3 rate"):
            raise StopError

    with pytest.raises(StopError):
        train_annotations(
            GROUNDS, GROUNDS, STROKES_ONLY, TINY, tmp_path / "torn", stop_after_the_first_checkpoint
        )
    resumed = run(tmp_path / "torn", TINY).state_dict()

    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_run_that_starts_from_weights_goes_on_from_them(tmp_path):
    first = run(tmp_path / "first", TINY)
    still = replace(TINY, peak_rate=1e-9, steps=1)

    second = train_annotations(
        GROUNDS, GROUNDS, STROKES_ONLY, still, tmp_path / "second", lambda _line: None, first.state_dict()
    )

    for mine, theirs in zip(second.parameters(), first.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_weights_that_have_seen_another_fold_are_refused(tmp_path):
    origin = Origin({"folds": [1, 5], "training": {"images": 1, "groups": 1}, "held_out_devices": []}, "")
    network = run(tmp_path / "run", TINY)
    seen = tmp_path / "seen"
    export_annotations(network, TINY, Cut(0.8, 0.4), origin, STROKES_ONLY, seen, "1.0.0")

    with pytest.raises(SettingsError, match="trained on folds 1, 5"):
        run_annotations(
            tmp_path, tmp_path, (1, 2), TINY, tmp_path / "next", None, "1.0.1", print, start_from=seen
        )


def test_run_writes_a_row_an_epoch_and_says_how_long_it_takes(tmp_path):
    lines = []

    train_annotations(GROUNDS, GROUNDS, STROKES_ONLY, TINY, tmp_path, lines.append)

    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    assert any("patches/s" in line and "min left" in line for line in lines)


def test_patches_depend_on_seed_and_step_alone():
    first, second = (batch_of(GROUNDS, TINY, STROKES_ONLY, 7) for _ in range(2))
    other = batch_of(GROUNDS, TINY, STROKES_ONLY, 8)

    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_unsure_pixels_and_doubted_tissue_do_not_count():
    logits = torch.zeros(1, 5, 4, 4)
    logits[0, 1, 0] = 9.0  # sure to be text
    kinds = torch.zeros(1, 4, 4, dtype=torch.int64)
    kinds[0, 3] = UNSURE

    trusting, doubting = loss_of(logits, kinds, 2.0), loss_of(logits, kinds, 2.0, doubt=0.9)
    logits[0, :, 3] = torch.tensor([[-9.0, 9.0, 0.0, 0.0, 0.0]]).T

    assert doubting < trusting
    assert torch.equal(loss_of(logits, kinds, 2.0), trusting)
