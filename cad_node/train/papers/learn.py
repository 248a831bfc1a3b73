"""Trains one network under a protocol and tests it: the small loop that all networks share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cad_node.networks.lesion_network import CLASS_NAMES
from cad_node.networks.papers import build_classifier, build_segmenter, load_weights
from cad_node.train.augment import augment
from cad_node.train.data import Sample
from cad_node.train.losses import segmentation_loss
from cad_node.train.metrics import iou
from cad_node.train.papers.figures import classification_figures, segmentation_figures
from cad_node.train.papers.prepare import Squares
from cad_node.train.papers.protocol import Protocol, Task
from cad_node.train.papers.splits import Parts

REPORT_EVERY_S = 20.0


@dataclass(frozen=True)
class Learned:
    """What one training run came to. `cases` has one row a test image."""

    figures: dict[str, float]
    cases: list[dict[str, Any]]
    curve: list[dict[str, float]]
    images_per_s: float
    network: nn.Module


def learn(
    architecture: str,
    task: Task,
    squares: Squares,
    parts: Parts,
    protocol: Protocol,
    seed: int,
    weights: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = lambda _: None,
) -> Learned:
    """Train from scratch, or from ImageNet `weights`, keep the best epoch on validation data, and test it.

    Raises
    ------
    ModelError
        The weights are not this network's.
    """
    torch.manual_seed(seed)
    build = build_classifier if task == "classification" else build_segmenter
    network: nn.Module = build(architecture, protocol.dropout)
    if weights is not None:
        load_weights(network, architecture, weights)
    # Convolutions run faster so on a CPU: GoogLeNet by half, the others a little.
    network.to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(network, protocol)
    steps = len(parts.training) // protocol.batch or 1
    best, best_state, curve = -1.0, dict[str, Tensor](), []
    began, seen, told = time.monotonic(), 0, 0.0
    for epoch in range(protocol.epochs):
        network.train()
        total = 0.0
        for number, (image, mask, target) in enumerate(
            _batches(squares, parts.training, protocol, (seed, epoch)), start=1
        ):
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=device != "cpu"):
                output = network(image.to(device)).float()
            loss = _loss(output, mask.to(device), target.to(device), task, protocol)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item()
            seen += len(target)
            seconds = time.monotonic() - began
            if seconds - told > REPORT_EVERY_S:
                told = seconds
                left = seconds / seen * (protocol.epochs * steps * protocol.batch - seen)
                report(
                    f"epoch {epoch + 1}/{protocol.epochs} step {number}/{steps} loss {total / number:.3f}, "
                    f"{seen / seconds:.1f} images/s, {left / 60:.1f} min left of this network"
                )
        score = _score(network, task, squares, parts.validation, protocol, device)[0]
        main = score["accuracy"] if task == "classification" else score["mean"]
        curve.append({"epoch": epoch + 1, "loss": total / steps, "validation": main})
        if not main <= best:  # a validation part without one of the classes has no mean: the last epoch stays
            best = main
            best_state = {key: value.detach().clone() for key, value in network.state_dict().items()}
    rate = seen / (time.monotonic() - began)
    network.load_state_dict(best_state)
    figures, cases = _score(network, task, squares, parts.test, protocol, device)
    return Learned(figures, cases, curve, rate, network)


def _optimizer(network: nn.Module, protocol: Protocol) -> torch.optim.Optimizer:
    if protocol.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), protocol.rate, momentum=protocol.momentum)
    return torch.optim.Adam(network.parameters(), protocol.rate, fused=True)


def _batches(
    squares: Squares, samples: Sequence[Sample], protocol: Protocol, seed: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Every image once in random order, each a random view; an incomplete last batch is left for another time."""
    cv2.setNumThreads(1)
    order = np.random.default_rng(seed).permutation(len(samples))
    size = min(protocol.batch, len(samples))
    for start in range(0, len(order) - size + 1, size):
        views = []
        for place, index in enumerate(order[start : start + size]):
            rng = np.random.default_rng((*seed, start + place))
            at = squares.place[samples[index].image]
            views.append(
                augment(squares.images[at], squares.masks[at], protocol.size_px, protocol.augmentation, rng)
            )
        chosen = [samples[index].target for index in order[start : start + size]]
        yield (
            _grey(np.stack([image for image, _ in views])),
            _grey(np.stack([mask for _, mask in views])),
            torch.tensor(chosen),
        )


def _grey(squares: NDArray[np.uint8]) -> Tensor:
    """Squares (batch, rows, columns) as (batch, 1, rows, columns) in [0, 1]."""
    return torch.from_numpy(squares).float().unsqueeze(1) / 255.0


def _loss(output: Tensor, mask: Tensor, target: Tensor, task: Task, protocol: Protocol) -> Tensor:
    if task == "classification":
        return functional.cross_entropy(output, target)
    if protocol.segmentation_loss == "iou":
        return iou_loss(output, mask)
    return segmentation_loss(output, mask)


def iou_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """One minus the soft IoU of each image; the added pixel lets an empty mask reach 0.

    The first paper's cost function. Both arguments are (batch, 1, rows, columns).
    """
    probability = logits.sigmoid()
    shared = (probability * mask).sum(dim=(1, 2, 3))
    united = (probability + mask).sum(dim=(1, 2, 3)) - shared
    return (1 - (shared + 1) / (united + 1)).mean()


@torch.inference_mode()
def _score(
    network: nn.Module,
    task: Task,
    squares: Squares,
    samples: Sequence[Sample],
    protocol: Protocol,
    device: str,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    network.eval()
    cases: list[dict[str, Any]] = []
    for start in range(0, len(samples), protocol.batch):
        chosen = samples[start : start + protocol.batch]
        at = [squares.place[sample.image] for sample in chosen]
        output = network(_grey(squares.images[at]).to(device)).float().cpu()
        if task == "classification":
            for sample, row in zip(chosen, output.softmax(dim=1).tolist(), strict=True):
                cases.append({**_named(sample), "probabilities": [round(value, 5) for value in row]})
        else:
            found = output[:, 0].numpy() > 0
            for number, sample in enumerate(chosen):
                overlap = iou(found[number], squares.masks[at[number]] > 127)
                cases.append({**_named(sample), "iou": round(overlap, 5)})
    if task == "segmentation":
        return segmentation_figures([c["label"] for c in cases], [c["iou"] for c in cases]), cases
    target = np.array([CLASS_NAMES.index(case["label"]) for case in cases], dtype=np.int64)
    said = np.array([case["probabilities"] for case in cases]).argmax(axis=1)
    return classification_figures(target, said.astype(np.int64)), cases


def _named(sample: Sample) -> dict[str, Any]:
    return {"image": sample.image, "label": sample.label, "group": sample.group}
