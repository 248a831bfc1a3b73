"""The training loop of the annotation network.

Every patch is drawn from (seed, step, place in the batch), so an interrupted run
goes on from its last checkpoint as if it had not stopped.

The copies that marks are drawn on were cleaned by a machine and still hold marks,
which would be learned as tissue. Where some are likely (`data.doubtful`), tissue does
not count. After `doubt_after` of the run, tissue that the network is sure to be a mark
is taken out of the loss as well: what it mistakes is far less sure before it gets there,
and is still unlearned.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cad_node.errors import SettingsError
from cad_node.networks.annotation_bundle import KINDS
from cad_node.networks.annotation_model import to_input
from cad_node.networks.annotation_network import AnnotationNetwork, build
from cad_node.train.annotations.data import Background
from cad_node.train.annotations.fonts import Faces
from cad_node.train.annotations.overlay import UNSURE
from cad_node.train.annotations.patches import Patches, patch
from cad_node.train.learner import WeightAverage
from cad_node.train.loop import learning_rate
from cad_node.train.run_log import append_row

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AnnotationTraining:
    """The run's settings; saved in the checkpoint and in the model's train.json."""

    network: Mapping[str, object] = field(default_factory=dict)
    batch: int = 8
    steps: int = 2500
    steps_an_epoch: int = 100
    minutes: float | None = None
    """The schedule is cut to the steps that fit; None trains all of `steps`."""
    peak_rate: float = 4e-3
    warmup: float = 0.1
    weight_decay: float = 1e-3
    clip: float = 1.0
    average: float = 0.995
    """Decay a step of the averaged weights, which are the ones that ship."""
    ink_weight: float = 2.0
    """How much more a pixel of a mark counts than one of tissue."""
    doubt_after: float = 0.35
    """Progress from which on sure marks on what should be tissue do not count."""
    doubt_level: float = 0.9
    """Probability from which a mark is sure."""
    backgrounds: int = 500
    """Cleaned copies of each data set, at most."""
    seed: int = 0
    threads: int = 1
    patches: Patches = field(default_factory=Patches)


_VALIDATION_PATCHES = 96


def loss_of(logits: Tensor, kinds: Tensor, ink_weight: float, doubt: float = 1.0) -> Tensor:
    """Cross-entropy over the kinds plus Dice of mark against tissue.

    `UNSURE` pixels do not count, nor does tissue that is a mark with more than
    `doubt`. `logits` is (batch, kinds, rows, columns), `kinds` (batch, rows, columns).
    """
    if doubt < 1:
        taken = logits.detach().softmax(dim=1)[:, 0] < 1 - doubt
        kinds = kinds.masked_fill(taken & (kinds == 0), UNSURE)
    weight = torch.full((len(KINDS),), ink_weight)
    weight[0] = 1.0
    entropy = functional.cross_entropy(logits, kinds, weight, ignore_index=UNSURE)
    sure = kinds != UNSURE
    mark = ((kinds > 0) & sure).float()
    found = (1 - logits.softmax(dim=1)[:, 0]) * sure
    shared = 2 * (found * mark).sum() + 1
    return entropy + 0.5 * (1 - shared / (found.sum() + mark.sum() + 1))


def batch_of(
    grounds: Sequence[Background], settings: AnnotationTraining, faces: Faces, step: int
) -> tuple[Tensor, Tensor]:
    """The patches of one step as the network's input, and their kinds, int64 (batch, rows, columns)."""
    size = settings.patches.size_px
    pictures = np.empty((settings.batch, size, size), np.uint8)
    kinds = np.empty_like(pictures)
    for place in range(settings.batch):
        rng = np.random.default_rng((settings.seed, step, place))
        ground = grounds[int(rng.integers(0, len(grounds)))]
        pictures[place], kinds[place] = patch(ground.pixels, settings.patches, faces, rng, ground.doubtful)
    return to_input(pictures), torch.from_numpy(kinds.astype(np.int64))


@dataclass
class _State:
    step: int = 0
    progress: float = 0.0
    seconds: float = 0.0


def train_annotations(
    training: Sequence[Background],
    validation: Sequence[Background],
    faces: Faces,
    settings: AnnotationTraining,
    folder: Path,
    report: Callable[[str], None] = logger.info,
    start_from: Mapping[str, Tensor] | None = None,
) -> AnnotationNetwork:
    """Train, or go on with, the run in `folder` and return the averaged network.

    `folder` receives ``checkpoint.pt`` and a row of ``log.csv`` every `steps_an_epoch` steps.
    `start_from` are weights to begin with, in place of random ones.
    """
    cv2.setNumThreads(1)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = build(settings.network)
    if start_from is not None:
        network.load_state_dict(dict(start_from))
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
    began, first, spent = time.monotonic(), state.step, state.seconds
    sums, counted = 0.0, 0
    while state.progress < 1 and state.step < settings.steps:
        network.train()
        rate = learning_rate(state.progress, settings.peak_rate, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        image, kinds = batch_of(training, settings, faces, state.step)
        level = settings.doubt_level if state.progress >= settings.doubt_after else 1.0
        loss = loss_of(network(image), kinds, settings.ink_weight, level)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        sums, counted = sums + loss.item(), counted + 1
        state.step += 1
        average.update(network, state.step)
        state.seconds = spent + time.monotonic() - began
        pace = (time.monotonic() - began) / (state.step - first)
        left = _steps_left(settings, state, pace)
        state.progress = 1.0 if left == 0 else state.progress + (1 - state.progress) / (left + 1)
        ends = state.step % settings.steps_an_epoch == 0 or left == 0
        if state.step % 20 == 0 or ends:
            report(
                f"step {state.step}/{state.step + left} loss {sums / counted:.4f} "
                f"{settings.batch / pace:.1f} patches/s, {pace * left / 60:.0f} min left"
            )
        if ends:
            scores = validate(_shadow(average, settings), validation, settings, faces)
            row = {"step": float(state.step), "rate": rate, "loss": sums / counted, **scores}
            _save(checkpoint, network, average, optimizer, state, settings)
            append_row(folder, row)
            report(" ".join(f"{key} {value:.4g}" for key, value in row.items()))
            sums, counted = 0.0, 0
    return _shadow(average, settings)


def _steps_left(settings: AnnotationTraining, state: _State, pace_s: float) -> int:
    """Steps that are still to come: all of them, or as many as fit into the run's minutes."""
    left = settings.steps - state.step
    if settings.minutes is None:
        return left
    return max(0, min(left, int((settings.minutes * 60 - state.seconds) / pace_s)))


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
        image, kinds = batch_of(grounds, settings, faces, 10**9 + number)
        marked = network(image).softmax(dim=1)[:, 0] < 0.5
        sure = kinds != UNSURE
        mark = (kinds > 0) & sure
        hits += int((marked & mark).sum())
        found += int((marked & sure).sum())
        true += int(mark.sum())
    return {"recall": hits / max(1, true), "precision": hits / max(1, found)}


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
    state.step = int(saved["state"]["step"])
    state.progress = float(saved["state"]["progress"])
    state.seconds = float(saved["state"]["seconds"])
