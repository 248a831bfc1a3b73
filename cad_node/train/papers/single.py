"""One of the papers' networks by itself: what `cad-node train --architecture vgg16` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from cad_node.errors import SettingsError
from cad_node.networks.papers import load_weight_file
from cad_node.train.device import usable_device
from cad_node.train.learned import Learned
from cad_node.train.papers.learn import learn
from cad_node.train.papers.prepare import Squares
from cad_node.train.papers.protocol import Protocol, Task, refuse_nonsense
from cad_node.train.papers.splits import Parts
from cad_node.train.splits import read_split
from cad_node.train.training_data import TrainingData


@dataclass(frozen=True)
class Single:
    """Which network is trained, and how; `weights` is a file with torchvision's names."""

    architecture: str
    task: Task
    size_px: int
    epochs: int
    batch: int
    rate: float
    seed: int
    weights: Path | None = None
    denoise: bool = False
    remove_background: bool = False


def train_single(
    folder: Path,
    data: TrainingData,
    single: Single,
    run: Path,
    threads: int,
    report: Callable[[str], None],
    device: str = "cpu",
) -> dict[str, Any]:
    """Train into `run` and test on the folds that were not learned from.

    Writes ``NAME-TASK.pt``, a state dictionary, and ``NAME-TASK.json``, which is
    returned: settings, counts, figures, and what was said of each test image.

    Raises
    ------
    SettingsError
        There is no such network or size, or every fold is learned from.
    """
    protocol = Protocol(
        name="train",
        describes="cad-node train",
        size_px=single.size_px,
        epochs=single.epochs,
        optimizer="sgd",
        rate=single.rate,
        batch=single.batch,
        segmentation_loss="dice+entropy",
        denoise=single.denoise,
        remove_background=single.remove_background,
        seed=single.seed,
        tasks=(single.task,),
        architectures=(single.architecture,),
    )
    refuse_nonsense(protocol)
    usable_device(device)
    learned = Learned(frozenset(data.folds), frozenset(data.datasets), data.kind)
    others = [s for s in read_split(folder, data.kind).samples if s.dataset in learned.datasets]
    test = tuple(sample for sample in others if not learned.knows(sample))
    if not test:
        raise SettingsError("Every fold is learned from: nothing is left to test on.", "Leave a fold out.")
    torch.set_num_threads(threads)
    parts = Parts(data.split.training, data.split.validation, test)
    squares = Squares(
        folder,
        [*parts.training, *parts.validation, *parts.test],
        single.size_px,
        run / "prepared",
        single.denoise,
        single.remove_background,
    )
    weights = None if single.weights is None else load_weight_file(single.weights)
    outcome = learn(
        single.architecture,
        single.task,
        squares,
        parts,
        protocol,
        single.seed,
        weights,
        device,
        report,
    )
    name = f"{single.architecture}-{single.task}"
    torch.save(outcome.network.to("cpu").state_dict(), run / f"{name}.pt")
    content = {
        "settings": {**asdict(single), "weights": None if single.weights is None else single.weights.name},
        "data": data.describe(),
        "test_images": len(test),
        "figures": outcome.figures,
        "curve": outcome.curve,
        "cases": outcome.cases,
    }
    (run / f"{name}.json").write_text(
        json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return content
