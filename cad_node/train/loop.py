"""The training loop: one screen of settings, one function, a checkpoint an epoch.

An interrupted run goes on from its last epoch with the same random numbers as an
uninterrupted one: they are drawn from (seed, epoch, image).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cad_node.errors import SettingsError
from cad_node.networks import LesionNetwork, build_network
from cad_node.networks.lesion_network import CLASS_NAMES, Features, read_config
from cad_node.networks.runtime import to_input
from cad_node.train.augment import Augmentation, augment, away_from_lesion
from cad_node.train.data import PreparedImages, Sample
from cad_node.train.device import usable_device
from cad_node.train.learner import Learner, RunState, new_learner
from cad_node.train.losses import DEFAULT_LOSS, SegmentationLoss, class_loss, find_loss
from cad_node.train.plots import draw_training
from cad_node.train.run_log import LOG_FILE, append_row
from cad_node.train.supervision import CoarseHeads

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainSettings:
    """The run's settings; saved in the checkpoint and in the model's train.json."""

    architecture: str = "flexible-unet-lite0"
    network: Mapping[str, object] = field(default_factory=dict)
    size_px: int = 192
    cache_px: int = 256
    batch: int = 16
    epochs: int = 16
    minutes: float | None = None
    """The schedule is cut to the epochs that fit; None trains all of `epochs`."""
    peak_rate: float = 1.5e-3
    warmup: float = 0.2
    weight_decay: float = 1e-2
    clip: float = 2.0
    average: float = 0.995
    """Decay a step of the averaged weights, which are the ones that ship."""
    class_weight: float = 0.6
    segmentation_loss: str = DEFAULT_LOSS
    """One of `losses.SEGMENTATION_LOSSES`."""
    deep_supervision: bool = False
    """Whether the decoder's coarser maps are asked for the lesion, too, while training."""
    clean: float = 0.5
    """Share of the views taken from the copy without annotations, where there is one."""
    normal_views: float = 3.0
    """How often a normal image of BUSI is seen in an epoch."""
    mixed_precision: bool = False
    """Whether the network's convolutions compute in bfloat16; losses, class head and weights stay float32."""
    seed: int = 0
    threads: int = 2
    augmentation: Augmentation = field(default_factory=Augmentation)


# How often an image with a lesion is seen in an epoch: BUSI is the smaller and the harder half.
# Its normals, one image in twenty, have a setting of their own.
_VIEWS = {("BUSI", "benign"): 1.4, ("BUSI", "malignant"): 1.7}
_NORMAL = CLASS_NAMES.index("normal")


def learning_rate(progress: float, peak: float, warmup: float) -> float:
    """One cycle (Smith, arXiv 1708.07120): cosine up to `peak`, cosine down to a thousandth."""
    if progress < warmup:
        low, share = peak / 25, progress / warmup
        return low + (peak - low) * (1 - math.cos(math.pi * share)) / 2
    low, share = peak / 1000, (progress - warmup) / (1 - warmup)
    return low + (peak - low) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def epoch_order(
    samples: tuple[Sample, ...], seed: int, epoch: int, normal_views: float = TrainSettings.normal_views
) -> NDArray[np.int64]:
    """Indices of one epoch, shuffled; a view count of 1.3 is 1 or 2 by chance."""
    rng = np.random.default_rng((seed, epoch))
    often = {**_VIEWS, ("BUSI", "normal"): normal_views}
    views = np.array([often.get((s.dataset, s.label), 1.0) for s in samples])
    whole = np.floor(views).astype(np.int64)
    counts = whole + (rng.random(len(samples)) < views - whole)
    return rng.permutation(np.repeat(np.arange(len(samples)), counts))


def _batches(
    prepared: PreparedImages, settings: TrainSettings, epoch: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Whole batches of an epoch: what is left over waits for another one; fewer images than one are one."""
    order = epoch_order(prepared.samples, settings.seed, epoch, settings.normal_views)
    size = min(settings.batch, len(order))
    for start in range(0, len(order) - size + 1, size):
        images = np.empty((size, settings.size_px, settings.size_px), np.uint8)
        masks = np.empty_like(images)
        targets = np.empty(size, np.int64)
        for place, index in enumerate(order[start : start + size]):
            draw = start + place
            rng = np.random.default_rng((settings.seed, epoch, draw))
            use_clean = prepared.has_clean[index] and rng.random() < settings.clean
            image = (prepared.clean if use_clean else prepared.images)[index]
            mask = prepared.masks[index]
            targets[place] = prepared.samples[index].target
            tissue = away_from_lesion(image, mask, settings.augmentation, rng)
            if tissue is not None:
                image, mask, targets[place] = tissue, np.zeros_like(mask), _NORMAL
            images[place], masks[place] = augment(image, mask, settings.size_px, settings.augmentation, rng)
        mask_share = torch.from_numpy(masks).float().unsqueeze(1) / 255.0
        yield to_input(images), mask_share, torch.from_numpy(targets)


def _losses(
    learner: Learner,
    image: Tensor,
    mask: Tensor,
    target: Tensor,
    of_masks: SegmentationLoss,
    done: float,
    generator: torch.Generator,
    *,
    mixed: bool = False,
) -> tuple[Tensor, Tensor]:
    """Segmentation and class loss of one batch when `done` of the run is behind it.

    The class head answers for the drawn lesion, for the network's own mask, for
    no mask, and for a place beside the lesion, where "normal" is right.
    """
    network = learner.network
    with torch.autocast(image.device.type, torch.bfloat16, enabled=mixed):
        logits, features = network(image)
    # Sums over thousands of pixels need more digits than bfloat16 has.
    logits, features = logits.float(), Features(*(one.float() for one in features))
    segmentation = of_masks(logits, mask, done)
    if learner.heads is not None:
        segmentation = segmentation + learner.heads.loss(features, mask, of_masks, done)
    own = logits.detach().sigmoid()
    if torch.rand((), generator=generator) < 0.5:
        own = (own > 0.5).float()
    drawn = mask
    change = float(torch.rand((), generator=generator))
    if change < 0.25:
        drawn = functional.max_pool2d(mask, 9, 1, 4)
    elif change < 0.4:
        drawn = -functional.max_pool2d(-mask, 5, 1, 2)
    size = mask.shape[-1]
    shift = [int(torch.randint(size // 4, 3 * size // 4, (), generator=generator)) for _ in "rc"]
    beside = torch.roll(mask, shift, dims=(2, 3))
    apart = ((beside * mask).sum(dim=(1, 2, 3)) < 1) & (mask.sum(dim=(1, 2, 3)) > 16)
    of_drawn = class_loss(network.classify(features, drawn), target)
    of_own = class_loss(network.classify(features, own), target)
    of_none = class_loss(network.classify(features, torch.zeros_like(mask)), target)
    of_beside = class_loss(network.classify(features, beside), torch.zeros_like(target), apart.float())
    return segmentation, (of_drawn + of_own + 0.4 * of_none + 0.2 * of_beside) / 2.6


@torch.inference_mode()
def quick_scores(
    network: LesionNetwork, prepared: PreparedImages, size: int, batch: int = 16
) -> dict[str, float]:
    """Dice of images with a lesion and three-class accuracy at network size: a curve, no figure.

    Without an image with a lesion there is no Dice.
    """
    network.eval()
    device = next(network.parameters()).device
    dice, right = [], 0
    for start in range(0, len(prepared.samples), batch):
        stop = min(start + batch, len(prepared.samples))
        images = np.stack([_resize(im, size) for im in prepared.images[start:stop]])
        masks = np.stack([_resize(m, size) for m in prepared.masks[start:stop]]) > 127
        logits, features = network(to_input(images).to(device))
        likeliest = network.classify(features, (logits > 0).float()).argmax(dim=1).cpu()
        found = (logits > 0).cpu()
        for place, sample in enumerate(prepared.samples[start:stop]):
            right += int(likeliest[place]) == sample.target
            drawn = torch.from_numpy(masks[place])
            if drawn.any():
                shared = float((found[place, 0] & drawn).sum())
                dice.append(2 * shared / float(found[place, 0].sum() + drawn.sum()))
    network.train()
    overlap = {"dice": float(np.mean(dice))} if dice else {}
    return {**overlap, "accuracy": right / len(prepared.samples)}


def _resize(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def train(
    training: PreparedImages,
    validation: PreparedImages,
    settings: TrainSettings,
    folder: Path,
    imagenet: Mapping[str, Tensor] | None = None,
    report: Callable[[str], None] = logger.info,
    start_from: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
) -> LesionNetwork:
    """Train, or go on with, the run in `folder` and return the averaged network.

    `folder` receives ``checkpoint.pt`` after each epoch and a row an epoch in
    ``log.csv``. `start_from` fine-tunes given weights in place of ImageNet's. `device` is
    torch's name; a run may go on on another one, and the network comes back on the CPU.

    Raises
    ------
    SettingsError
        The settings cannot be met, or the folder holds a run with others.
    """
    if len(training.samples) < 2:
        raise SettingsError("Nothing is learned from a single image.", "Name more folds, or add images.")
    find_loss(settings.segmentation_loss)  # refused before anything is read
    cv2.setNumThreads(1)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder.mkdir(parents=True, exist_ok=True)
    network = build_network(settings.architecture, settings.network)
    if start_from is not None:
        network.load_state_dict(dict(start_from))
    elif imagenet is not None:
        network.load_imagenet(imagenet)
    heads = _coarse_heads(network, settings)
    network.to(usable_device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    if heads is not None:
        heads.to(device)
    learner = new_learner(network, settings.peak_rate, settings.weight_decay, settings.average, heads)
    state = RunState(epochs=settings.epochs)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        learner.resume(checkpoint, state, asdict(settings))
        report(f"resumed after epoch {state.epoch}")
    views = len(epoch_order(training.samples, settings.seed, 0, settings.normal_views))
    steps = max(views // settings.batch, 1)
    while state.epoch < state.epochs:
        before = time.monotonic()
        clean = training.refresh_clean()
        row = _epoch(learner, state, training, settings, steps, report)
        shadow = build_network(settings.architecture, settings.network)
        shadow.load_state_dict(learner.average.values)
        shadow.to(device)
        row |= quick_scores(shadow, validation, settings.size_px)
        state.epoch += 1
        state.seconds += time.monotonic() - before
        state.epochs = _affordable(settings, state, time.monotonic() - before)
        learner.save(checkpoint, state, asdict(settings))
        append_row(folder, {"epoch": state.epoch, "clean_copies": clean, **row})
        _draw(folder)
        report(
            f"epoch {state.epoch}/{state.epochs} "
            + " ".join(f"{key} {value:.4g}" for key, value in row.items())
        )
    network.load_state_dict(learner.average.values)
    return network.eval().to("cpu")


def _coarse_heads(network: LesionNetwork, settings: TrainSettings) -> CoarseHeads | None:
    if not settings.deep_supervision:
        return None
    if network.segmenter is not network.unet:
        raise SettingsError(
            f"{settings.architecture} outlines with another decoder than the one whose maps could be supervised.",
            "Leave out --deep-supervision, or train a network with one encoder.",
        )
    _, eighth, quarter, *_ = read_config(settings.network).decoder_channels
    return CoarseHeads((quarter, eighth))


def _affordable(settings: TrainSettings, state: RunState, last_epoch_s: float) -> int:
    """Epochs in all that fit into the run's minutes at the speed of the last one."""
    if settings.minutes is None:
        return settings.epochs
    fit = int((settings.minutes * 60 - state.seconds) / last_epoch_s)
    return min(settings.epochs, state.epoch + max(fit, 0))


def _epoch(
    learner: Learner,
    state: RunState,
    training: PreparedImages,
    settings: TrainSettings,
    steps: int,
    report: Callable[[str], None],
) -> dict[str, float]:
    network, optimizer = learner.network, learner.optimizer
    device = next(network.parameters()).device
    of_masks = find_loss(settings.segmentation_loss)
    network.train()
    generator = torch.Generator().manual_seed(settings.seed * 1000 + state.epoch)
    torch.manual_seed(settings.seed * 1000 + state.epoch)
    began = time.monotonic()
    sums = np.zeros(2)
    seen = 0
    for number, (image, mask, target) in enumerate(_batches(training, settings, state.epoch), start=1):
        rate = learning_rate(state.progress, settings.peak_rate, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        segmentation, classes = _losses(
            learner,
            image.to(device),
            mask.to(device),
            target.to(device),
            of_masks,
            state.progress,
            generator,
            mixed=settings.mixed_precision,
        )
        loss = segmentation + settings.class_weight * classes
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learner.parameters(), settings.clip)
        optimizer.step()
        state.step += 1
        learner.average.update(network, state.step)
        left = max((state.epochs - state.epoch) * steps - number + 1, 1)
        state.progress += (1 - state.progress) / left
        sums += (segmentation.item(), classes.item())
        seen += len(target)
        if number % 20 == 0:
            seconds = time.monotonic() - began
            eta = seconds / number * (left - 1) / 60
            report(
                f"epoch {state.epoch + 1} step {number}/{steps} "
                f"segmentation {sums[0] / number:.3f} class {sums[1] / number:.3f} "
                f"{seen / seconds:.1f} images/s, {eta:.0f} min left"
            )
    seconds = time.monotonic() - began
    means = sums / number
    return {
        "rate": rate,
        "segmentation": float(means[0]),
        "class": float(means[1]),
        "images_per_s": seen / seconds,
    }


def _draw(folder: Path) -> None:
    """The curves so far as curves.png; a run goes on where they cannot be drawn."""
    try:
        draw_training(folder / LOG_FILE, folder / "curves.png")
    except SettingsError as error:
        logger.info("%s", error)
