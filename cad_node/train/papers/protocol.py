"""Under what rules networks are compared; the papers' own rules as presets.

What a paper does not say is marked so, and chosen once for all networks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from cad_node.errors import SettingsError
from cad_node.networks.papers import BACKBONES
from cad_node.train.augment import Augmentation

Task = Literal["classification", "segmentation"]
Start = Literal["scratch", "imagenet"]
SplitKind = Literal["grouped", "papers"]

LEAST_PX = 64  # AlexNet's pools leave nothing of a smaller image

# The first paper: scale 0.5 to 2, left-right flips, rotation, Gaussian blur, and nothing else.
# It names no angle; 15 degrees is ours.
PAPER_AUGMENTATION = Augmentation(
    stretch=0.0,
    shift=0.0,
    rotation_deg=15.0,
    gain=0.0,
    speckle=0.0,
    jpeg=0.0,
    lesion_marks=0.0,
    other_marks=0.0,
    unmark=0.0,
    away=0.0,
)


@dataclass(frozen=True)
class Protocol:
    """One set of rules for all networks. The text fields are printed beside the tables."""

    name: str
    describes: str
    size_px: int
    epochs: int
    optimizer: Literal["sgd", "adam"]
    rate: float
    batch: int
    dropout: float = 0.33
    momentum: float = 0.9
    folds: int = 5
    use_folds: tuple[int, ...] = ()
    """Folds that are trained and tested; all of them where empty."""
    runs: int = 1
    split: SplitKind = "grouped"
    """`grouped` keeps patients and near-duplicates together and leaves contradictory labels out;
    `papers` splits BUSI at random as it is published, duplicates and all."""
    validation_share: float = 0.2
    test_counts: Mapping[str, int] = field(default_factory=dict)
    """Test images of each class, drawn at random in place of a fold; all of a fold where empty."""
    training_counts: Mapping[str, int] = field(default_factory=dict)
    """At most so many training and validation images of each class."""
    tasks: tuple[Task, ...] = ("classification", "segmentation")
    starts: tuple[Start, ...] = ("scratch",)
    architectures: tuple[str, ...] = ()
    segmentation_loss: Literal["iou", "dice+entropy"] = "iou"
    denoise: bool = False
    remove_background: bool = False
    seed: int = 0
    augmentation: Augmentation = PAPER_AUGMENTATION

    @property
    def chosen_folds(self) -> tuple[int, ...]:
        """Numbers from 1 of the folds that are run."""
        return self.use_folds or tuple(range(1, self.folds + 1))

    def fingerprint(self) -> str:
        """Changes with every rule that changes a result, so that a run folder never mixes two."""
        rules = asdict(self)
        for key in ("name", "describes", "use_folds", "runs", "tasks", "starts", "architectures"):
            del rules[key]  # how much is run, not how
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()[:16]


def refuse_nonsense(rules: Protocol) -> None:
    """Make sure that networks can be trained under these rules.

    Raises
    ------
    SettingsError
        A network, task, split, fold or size does not exist.
    """
    unknown = [name for name in rules.architectures if name not in BACKBONES]
    if unknown:
        raise SettingsError(f"There is no network '{unknown[0]}'.", f"There are {', '.join(BACKBONES)}.")
    problem = ""
    if rules.size_px % 32 or rules.size_px < LEAST_PX:
        problem = f"--size {rules.size_px} is no multiple of 32 from {LEAST_PX} on"
    elif not set(rules.tasks) <= {"classification", "segmentation"}:
        problem = f"--tasks {','.join(rules.tasks)} are not classification and segmentation"
    elif rules.split not in ("grouped", "papers"):
        problem = f"--split {rules.split} is neither grouped nor papers"
    elif not set(rules.chosen_folds) <= set(range(1, rules.folds + 1)):
        problem = f"{rules.name} has the folds 1 to {rules.folds}"
    if problem:
        raise SettingsError(f"{problem}.", "See the command's --help.")


PRESETS = {
    "paper-2021": Protocol(
        name="paper-2021",
        describes=(
            "As the first paper has it: 512 px, SGD at 0.001, 60 epochs, dropout 0.33, 10 folds, best epoch on "
            "a fifth of the training images, IoU as the cost of segmentation. Batch and momentum are not in "
            "the paper: 8 and 0.9."
        ),
        size_px=512,
        epochs=60,
        optimizer="sgd",
        rate=0.001,
        batch=8,
        folds=10,
        architectures=("vgg16", "resnet50", "densenet161", "alexnet", "unet"),
    ),
    "paper-2024": Protocol(
        name="paper-2024",
        describes=(
            "As the second paper has it: up to 202 benign, 202 malignant and 125 normal training images, of "
            "which a tenth validates, 17, 17 and 8 test images, 50 epochs, mean of three runs, from scratch "
            "and from ImageNet. Size, optimiser and batch are not in the paper: 224 px, SGD at 0.001 with "
            "momentum 0.9, 16. Its 18 images of another hospital are not public."
        ),
        size_px=224,
        epochs=50,
        optimizer="sgd",
        rate=0.001,
        batch=16,
        folds=1,
        runs=3,
        validation_share=0.1,
        test_counts={"benign": 17, "malignant": 17, "normal": 8},
        training_counts={"benign": 202, "malignant": 202, "normal": 125},
        tasks=("classification",),
        starts=("scratch", "imagenet"),
        architectures=("vgg12", "vgg16", "vgg19", "resnet50"),
        seed=123,
    ),
    "quick": Protocol(
        name="quick",
        describes=(
            "A quick look, not the papers' settings: the three smallest networks at 96 px, 15 epochs, Adam at "
            "0.0003, one fold (5) of the project's five grouped ones: about an hour of one processor core. "
            "Enough to be told from guessing, too little to rank networks."
        ),
        size_px=96,
        epochs=15,
        optimizer="adam",
        rate=3e-4,
        batch=16,
        folds=5,
        use_folds=(5,),
        segmentation_loss="dice+entropy",
        architectures=("alexnet", "inception", "resnet18"),  # the quickest first
    ),
}
