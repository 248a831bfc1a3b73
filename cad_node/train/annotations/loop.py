"""The training loop of the annotation network.

Every patch is drawn from (seed, step, place in the batch), so an interrupted run
goes on from its last checkpoint as if it had not stopped.

The copies that marks are drawn on were cleaned by a machine and still hold marks,
which would be learned as tissue. Once, after `doubt_after` of the run, the network
looks at all of them: what it is sure to be a mark is taken out of the loss.
"""

from __future__ import annotations

import csv
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cad_node.errors import SettingsError
from cad_node.networks.annotation_model import predict, to_input
from cad_node.networks.annotation_network import KINDS, AnnotationNetwork, build
from cad_node.train.annotations.data import Background
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.overlay import UNSURE
from cad_node.train.annotations.patches import Patches, patch
from cad_node.train.loop import WeightAverage, learning_rate

logger = logging.getLogger(__name__)

Doubt = Sequence[NDArray[np.bool_] | None]


@dataclass(frozen=True)
class AnnotationTraining:
    """The run's settings; saved in the checkpoint and in the model's train.json."""

    network: Mapping[str, object] = field(default_factory=dict)
    batch: int = 8
    steps: int = 1900
    steps_an_epoch: int = 200
    peak_rate: float = 4e-3
    warmup: float = 0.1
    weight_decay: float = 1e-3
    clip: float = 1.0
    average: float = 0.995
    """Decay a step of the averaged weights, which are the ones that ship."""
    ink_weight: float = 3.0
    """How much more a pixel of a mark counts than one of tissue."""
    doubt_after: float = 0.35
    """Share of the steps after which the backgrounds are searched for marks left in."""
    doubt_level: float = 0.8
    """Probability from which something on a background is a mark left in."""
    backgrounds: int = 500
    """Cleaned copies of each data set, at most."""
    seed: int = 0
    threads: int = 1
    patches: Patches = field(default_factory=Patches)


# Grown by so much around what is doubted, in pixels of the source.
_DOUBT_MARGIN_PX = 4
_VALIDATION_PATCHES = 96
DOUBT_FILE = "doubtful.npz"


def loss_of(logits: Tensor, kinds: Tensor, ink_weight: float) -> Tensor:
    """Cross-entropy over the kinds plus Dice of mark against tissue; `UNSURE` pixels do not count.

    `logits` is (batch, kinds, rows, columns), `kinds` (batch, rows, columns).
    """
    weight = torch.full((len(KINDS),), ink_weight)
    weight[0] = 1.0
    entropy = functional.cross_entropy(logits, kinds, weight, ignore_index=UNSURE)
    sure = kinds != UNSURE
    mark = ((kinds > 0) & sure).float()
    found = (1 - logits.softmax(dim=1)[:, 0]) * sure
    shared = 2 * (found * mark).sum() + 1
    return entropy + 0.5 * (1 - shared / (found.sum() + mark.sum() + 1))


def batch_of(
    grounds: Sequence[Background],
    doubtful: Doubt | None,
    settings: AnnotationTraining,
    faces: Faces,
    step: int,
) -> tuple[Tensor, Tensor]:
    """The patches of one step as the network's input, and their kinds, int64 (batch, rows, columns)."""
    size = settings.patches.size_px
    pictures = np.empty((settings.batch, size, size), np.uint8)
    kinds = np.empty_like(pictures)
    for place in range(settings.batch):
        rng = np.random.default_rng((settings.seed, step, place))
        index = int(rng.integers(0, len(grounds)))
        doubt = None if doubtful is None else doubtful[index]
        pictures[place], kinds[place] = patch(grounds[index].pixels, doubt, settings.patches, faces, rng)
    return to_input(pictures), torch.from_numpy(kinds.astype(np.int64))


@dataclass
class _State:
    step: int = 0
    seconds: float = 0.0


def train_annotations(
    training: Sequence[Background],
    validation: Sequence[Background],
    faces: Faces,
    settings: AnnotationTraining,
    folder: Path,
    report: Callable[[str], None] = logger.info,
) -> AnnotationNetwork:
    """Train, or go on with, the run in `folder` and return the averaged network.

    `folder` receives ``checkpoint.pt`` and a row of ``log.csv`` every
    `steps_an_epoch` steps, and ``doubtful.npz`` once.
    """
    cv2.setNumThreads(1)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = build(settings.network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay
    )
    average = WeightAverage(network, settings.average)
    state = _State()
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        _resume(checkpoint, network, average, optimizer, state)
        report(f"resumed after step {state.step}")
    doubt_step = round(settings.doubt_after * settings.steps)
    doubtful = _read_doubt(folder / DOUBT_FILE, len(training)) if state.step >= doubt_step else None
    began, first = time.monotonic(), state.step
    sums = 0.0
    while state.step < settings.steps:
        if doubtful is None and state.step >= doubt_step:
            doubtful = doubt(_shadow(average, settings), training, settings.doubt_level, report)
            _write_doubt(folder / DOUBT_FILE, doubtful)
        network.train()
        rate = learning_rate(state.step / settings.steps, settings.peak_rate, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        image, kinds = batch_of(training, doubtful, settings, faces, state.step)
        loss = loss_of(network(image), kinds, settings.ink_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        state.step += 1
        average.update(network, state.step)
        sums += loss.item()
        ends = state.step % settings.steps_an_epoch == 0 or state.step == settings.steps
        if state.step % 20 == 0 or ends:
            pace = (time.monotonic() - began) / (state.step - first)
            left = pace * (settings.steps - state.step) / 60
            mean = sums / ((state.step - 1) % settings.steps_an_epoch + 1)
            report(
                f"step {state.step}/{settings.steps} loss {mean:.4f} "
                f"{settings.batch / pace:.1f} patches/s, {left:.0f} min left"
            )
        if ends:
            scores = validate(_shadow(average, settings), validation, settings, faces)
            row = {"step": float(state.step), "rate": rate, "loss": mean, **scores}
            _save(checkpoint, network, average, optimizer, state, settings)
            _log(folder / "log.csv", row)
            report(" ".join(f"{key} {value:.4g}" for key, value in row.items()))
            sums = 0.0
    return _shadow(average, settings)


def _shadow(average: WeightAverage, settings: AnnotationTraining) -> AnnotationNetwork:
    network = build(settings.network)
    network.load_state_dict(average.values)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


@torch.inference_mode()
def validate(
    network: AnnotationNetwork, grounds: Sequence[Background], settings: AnnotationTraining, faces: Faces
) -> dict[str, float]:
    """Recall and precision of marks against tissue at 0.5, pixel by pixel: a curve, no figure."""
    hits = found = true = 0
    for number in range(_VALIDATION_PATCHES // settings.batch):
        image, kinds = batch_of(grounds, None, settings, faces, 10**9 + number)
        marked = network(image).softmax(dim=1)[:, 0] < 0.5
        sure = kinds != UNSURE
        mark = (kinds > 0) & sure
        hits += int((marked & mark).sum())
        found += int((marked & sure).sum())
        true += int(mark.sum())
    return {"recall": hits / max(1, true), "precision": hits / max(1, found)}


def doubt(
    network: AnnotationNetwork,
    grounds: Sequence[Background],
    level: float,
    report: Callable[[str], None] = logger.info,
) -> list[NDArray[np.bool_] | None]:
    """For each background the pixels of what the network is sure to be a mark; None where there is none."""
    result: list[NDArray[np.bool_] | None] = []
    size = 2 * _DOUBT_MARGIN_PX + 1
    for number, ground in enumerate(grounds, start=1):
        mark = 1 - predict(network, ground.pixels)[0]
        _, labels = cv2.connectedComponents((mark > level / 2).astype(np.uint8), connectivity=8)
        sure = np.unique(labels[mark > level])
        sure = sure[sure > 0]
        if sure.size:
            mask = np.isin(labels, sure).astype(np.uint8)
            result.append(cv2.dilate(mask, np.ones((size, size), np.uint8)) > 0)
        else:
            result.append(None)
        if number % 100 == 0 or number == len(grounds):
            doubted = sum(one is not None for one in result)
            report(f"marks left in: {number}/{len(grounds)} backgrounds searched, {doubted} hold some")
    return result


def _write_doubt(path: Path, doubtful: Doubt) -> None:
    packed = {
        f"{index}_{mask.shape[0]}_{mask.shape[1]}": np.packbits(mask)
        for index, mask in enumerate(doubtful)
        if mask is not None
    }
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, count=np.array(len(doubtful)), **packed)
    partial.replace(path)


def _read_doubt(path: Path, count: int) -> list[NDArray[np.bool_] | None] | None:
    if not path.exists():
        return None
    result: list[NDArray[np.bool_] | None] = [None] * count
    with np.load(path) as saved:
        if int(saved["count"]) != count:
            raise SettingsError(
                f"{path} belongs to other backgrounds.", "Name another run folder with --run."
            )
        for key in saved.files:
            if key != "count":
                index, rows, columns = (int(part) for part in key.split("_"))
                bits = np.unpackbits(saved[key], count=rows * columns)
                result[index] = bits.reshape(rows, columns).astype(bool)
    return result


def _save(
    path: Path,
    network: AnnotationNetwork,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
    state: _State,
    settings: AnnotationTraining,
) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "network": network.state_dict(),
            "average": average.values,
            "optimizer": optimizer.state_dict(),
            "state": asdict(state),
            "settings": asdict(settings),
        },
        partial,
    )
    partial.replace(path)


def _resume(
    path: Path,
    network: AnnotationNetwork,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
    state: _State,
) -> None:
    saved = torch.load(path, map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(saved["network"])
    except RuntimeError as error:
        raise SettingsError(
            f"{path} belongs to another network.", "Name another run folder with --run."
        ) from error
    average.values = saved["average"]
    optimizer.load_state_dict(saved["optimizer"])
    state.step, state.seconds = int(saved["state"]["step"]), float(saved["state"]["seconds"])


def _log(path: Path, row: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
