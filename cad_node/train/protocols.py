"""The protocols: which models a scorecard needs, and which images each of them is tested on.

A model fits a part of a protocol when its train.json says that it has learned
from exactly what the part asks for; its name does not matter.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cad_node.errors import SettingsError
from cad_node.networks import load_bundle
from cad_node.networks.bundle import SUMS_FILE, TRAIN_FILE
from cad_node.train.data import Manifest, Sample
from cad_node.train.learned import Learned, read_learned, refuse_leak
from cad_node.train.splits import SplitKind, read_split

_BOTH = frozenset({"BUSI", "BUS-BRA"})
_ALL = frozenset(range(1, 6))


@dataclass(frozen=True)
class Part:
    """One model of a protocol: what it learns from, what it is tested on; folds of data sets."""

    name: str
    learns: Learned
    folds: frozenset[int]
    datasets: frozenset[str]

    def command(self, data: Path, models: Path, extra: Sequence[str] = ()) -> list[str]:
        """Arguments of `cad-node` that train this part's model, or go on with its run."""
        words = ["train", "--data", str(data), "--folds", ",".join(map(str, sorted(self.learns.folds)))]
        if self.learns.datasets != _BOTH:
            words += ["--dataset", ",".join(sorted(self.learns.datasets))]
        if self.learns.kind is not SplitKind.GROUPED:
            words += ["--split", self.learns.kind.value]
        run = models / "runs" / self.name
        return [*words, "--run", str(run), "--output", str(models), "--export", self.name, *extra]


@dataclass(frozen=True)
class Protocol:
    """A way to score, by name. `warning` stands on its page."""

    name: str
    title: str
    parts: tuple[Part, ...]
    kind: SplitKind = SplitKind.GROUPED
    warning: str = ""


def _fold(number: int) -> Part:
    learns = Learned(_ALL - {number}, _BOTH)
    return Part(f"folds-{number}", learns, frozenset({number}), _BOTH)


def _elsewhere(name: str, learns: str, tested: str) -> tuple[Part, ...]:
    return (Part(name, Learned(_ALL, frozenset({learns})), _ALL, frozenset({tested})),)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("folds", "Five grouped folds of BUSI and BUS-BRA", tuple(_fold(n) for n in sorted(_ALL))),
        Protocol(
            "busbra-to-busi",
            "Trained on BUS-BRA only, tested on BUSI",
            _elsewhere("busbra-to-busi", "BUS-BRA", "BUSI"),
            warning="BUS-BRA has no normal images: of normal tissue the model has seen only the rest of images "
            "with a lesion.",
        ),
        Protocol(
            "busi-to-busbra",
            "Trained on BUSI only, tested on BUS-BRA",
            _elsewhere("busi-to-busbra", "BUSI", "BUS-BRA"),
        ),
        Protocol(
            "paper-split",
            "Random split of BUSI, duplicates left in, as the papers did it",
            (
                Part(
                    "paper-split",
                    Learned(_ALL - {1}, frozenset({"BUSI"}), SplitKind.PAPERS),
                    frozenset({1}),
                    frozenset({"BUSI"}),
                ),
            ),
            SplitKind.PAPERS,
            warning="Not a figure to rely on: the same scan lies in training and test, contradicted labels "
            "included. It is here to show how much that adds to the figures of grouped folds.",
        ),
    )
}

# Not of models and folds: they speak of the cleaning.
OTHERS = ("annotations", "marks")


def find_protocol(name: str) -> Protocol:
    """The protocol of this name.

    Raises
    ------
    SettingsError
        There is none.
    """
    if name not in PROTOCOLS:
        raise SettingsError(
            f"There is no protocol '{name}'.", f"Protocols are: {', '.join((*PROTOCOLS, *OTHERS))}."
        )
    return PROTOCOLS[name]


def model_folders(paths: Iterable[Path]) -> list[Path]:
    """The model folders among paths, and those directly below each."""
    found = []
    for path in paths:
        inner = sorted(path.iterdir()) if path.is_dir() else []
        found += [
            one for one in (path, *inner) if (one / TRAIN_FILE).is_file() and (one / SUMS_FILE).is_file()
        ]
    return found


def match(protocol: Protocol, folders: Sequence[Path]) -> dict[str, Path]:
    """Folder of the model for each part that has one; of several the one with the part's name, else the first."""
    learned = {folder: read_learned(folder) for folder in folders}
    found = {}
    for part in protocol.parts:
        fitting = [folder for folder in folders if learned[folder] == part.learns]
        fitting.sort(key=lambda folder: folder.name != part.name)
        if fitting:
            found[part.name] = fitting[0]
    return found


def samples_of(part: Part, protocol: Protocol, data: Path) -> tuple[list[Sample], Manifest]:
    """The images that a part is tested on, none of which its model has learned from."""
    manifest = read_split(data, protocol.kind, sorted(part.datasets))
    samples = [sample for sample in manifest.samples if sample.fold in part.folds]
    refuse_leak(part.learns, protocol.kind, samples, part.name)
    return samples, manifest


def describe(part: Part, model: Path, images: int) -> dict[str, Any]:
    """A scored part, for the scorecard."""
    bundle = load_bundle(model)
    tested = Learned(part.folds, part.datasets, part.learns.kind)
    decided = json.loads((model / TRAIN_FILE).read_text(encoding="utf-8"))["data"].get("decided")
    return {
        "name": part.name,
        "trained_on": str(part.learns),
        "tested_on": str(tested),
        "images": images,
        "model": f"{bundle.name} {bundle.version}",
        "sha256": bundle.sha256,
        **({"decided_on": f"fold {', '.join(map(str, decided['folds']))}"} if decided else {}),
    }


def missing_message(
    protocol: Protocol, missing: Sequence[Part], data: Path, models: Path, extra: Sequence[str]
) -> str:
    """The commands that train what a protocol lacks, one a line."""
    commands = [shlex.join(["cad-node", *part.command(data, models, extra)]) for part in missing]
    return "\n".join([f"{protocol.name} lacks {len(missing)} of {len(protocol.parts)} models:", *commands])
