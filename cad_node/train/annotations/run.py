"""A whole run: find fonts and tissue, train, choose the cut, export."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from cad_node.errors import SettingsError
from cad_node.train.annotations.data import backgrounds
from cad_node.train.annotations.decide import choose_cut
from cad_node.train.annotations.export import export_annotations
from cad_node.train.annotations.fonts import find_faces
from cad_node.train.annotations.loop import AnnotationTraining, train_annotations
from cad_node.train.export import Origin
from cad_node.train.run import last_row


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
) -> None:
    """Train into `run`, or go on with it, and write the model folder `export` if one is named.

    Raises
    ------
    SettingsError
        There are no cleaned copies to draw on, or too few fonts.
    """
    if clean is None:
        raise SettingsError(
            "Annotations are drawn on tissue without marks, and no cleaned copies were named.",
            "Make them with python -m benchmarks.clean_dataset, and name the folder with --clean-cache.",
        )
    learned, _ = find_faces(fonts)
    grounds = backgrounds(data, clean, folds, settings.backgrounds, settings.seed)
    report(
        f"{len(grounds.training)} pictures to draw on, {len(grounds.validation)} to validate; "
        f"{len(learned.families)} font families"
    )
    network = train_annotations(grounds.training, grounds.validation, learned, settings, run, report)
    if export is None:
        return
    report("choosing the threshold on the validation pictures")
    cut = choose_cut(network, grounds.validation, learned, settings.seed)
    report(f"threshold {cut.threshold:g}, spread {cut.spread:g}")
    origin = Origin(
        data={**grounds.describe(), "steps": int(last_row(run)["step"])},
        command=_command(folds, settings, export.name),
    )
    sha256 = export_annotations(network, settings, cut, origin, learned, export, version)
    report(f"{export}, sha256 {sha256}")


def _command(folds: tuple[int, ...], settings: AnnotationTraining, name: str) -> str:
    """The command that repeats the run anywhere: no path of this machine in it."""
    words = ["cad-node", "train", "--task", "annotations", "--data", "DIR", "--clean-cache", "CLEANED"]
    words += ["--folds", ",".join(map(str, folds)), "--steps", str(settings.steps)]
    words += ["--seed", str(settings.seed), "--export", name]
    return shlex.join(words)
