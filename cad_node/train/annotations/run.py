"""A whole run: find fonts and tissue, train, choose the cut, export."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from cad_node.errors import SettingsError
from cad_node.networks.annotation_bundle import load_annotation_bundle
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.train.annotations.data import backgrounds
from cad_node.train.annotations.decide import choose_cut
from cad_node.train.annotations.export import export_annotations
from cad_node.train.annotations.fonts import find_faces
from cad_node.train.annotations.loop import AnnotationTraining, train_annotations
from cad_node.train.export import Origin
from cad_node.train.run_log import last_row


def run_annotations(
    data: Path,
    clean: Path | None,
    folds: tuple[int, ...],
    settings: AnnotationTraining,
    run: Path,
    export: Path | None,
    version: str,
    report: Callable[[str], None],
    fonts: Path | None = None,
    start_from: Path | None = None,
) -> None:
    """Train into `run`, or go on with it, and write the model folder `export` if one is named.

    Raises
    ------
    SettingsError
        There are no cleaned copies to draw on, too few fonts, or `start_from` has learned from other folds.
    """
    if clean is None:
        raise SettingsError(
            "Annotations are drawn on tissue without marks, and no cleaned copies were named.",
            "Make them with python -m benchmarks.clean_dataset, and name the folder with --clean-cache.",
        )
    start = None if start_from is None else _weights(start_from, folds)
    learned, _ = find_faces(fonts)
    grounds = backgrounds(data, clean, folds, settings.backgrounds, settings.seed)
    report(
        f"{len(grounds.training)} pictures to draw on, {len(grounds.validation)} to validate; "
        f"{len(learned.families)} font families"
    )
    network = train_annotations(grounds.training, grounds.validation, learned, settings, run, report, start)
    if export is None:
        return
    report("choosing the threshold on the validation pictures")
    cut = choose_cut(network, grounds.validation, learned, settings.seed)
    report(f"threshold {cut.threshold:g}, spread {cut.spread:g}")
    origin = Origin(
        data={**grounds.describe(), "steps": int(last_row(run)["step"])},
        command=_command(folds, settings, export.name, start_from),
    )
    sha256 = export_annotations(network, settings, cut, origin, learned, export, version)
    report(f"{export}, sha256 {sha256}")


def _weights(folder: Path, folds: tuple[int, ...]) -> Mapping[str, Tensor]:
    """Weights of a model folder to go on from, if it has seen no fold that this run may not learn from."""
    bundle = load_annotation_bundle(folder)
    seen = json.loads((folder / TRAIN_FILE).read_text(encoding="utf-8"))["data"]["folds"]
    if not set(seen) <= set(folds):
        raise SettingsError(
            f"{bundle.name} was trained on folds {', '.join(map(str, seen))}.",
            "Start from a model of the same folds, or name all of these with --folds.",
        )
    return bundle.load_network().state_dict()


def _command(folds: tuple[int, ...], settings: AnnotationTraining, name: str, start_from: Path | None) -> str:
    """The command that repeats the run anywhere: no path of this machine in it."""
    words = ["cad-node", "train", "--task", "annotations", "--data", "DIR", "--clean-cache", "CLEANED"]
    words += ["--folds", ",".join(map(str, folds)), "--steps", str(settings.steps)]
    words += ["--seed", str(settings.seed)]
    if settings.peak_rate != AnnotationTraining.peak_rate:
        words += ["--peak-rate", f"{settings.peak_rate:g}"]
    if start_from is not None:
        words += ["--start-from", start_from.name]
    words += ["--export", name]
    return shlex.join(words)
