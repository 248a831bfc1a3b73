"""What learns in a run, and the checkpoint from which it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cad_node.errors import SettingsError
from cad_node.networks import LesionNetwork
from cad_node.train.losses import DEFAULT_LOSS
from cad_node.train.supervision import CoarseHeads

# Settings that make another run of it, and what runs had before there was a choice.
_FIXED = {"segmentation_loss": DEFAULT_LOSS, "deep_supervision": False}


@dataclass
class RunState:
    """How far a run is; `progress` is the share of the schedule that is done."""

    epoch: int = 0
    step: int = 0
    progress: float = 0.0
    seconds: float = 0.0
    epochs: int = 0


class WeightAverage:
    """Exponential moving average of weights and batch statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the network's present weights, faster in the first steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[key].lerp_(value, 1 - decay)
            else:
                self.values[key].copy_(value)


@dataclass
class Learner:
    """A network with what only its training needs; `average` is what ships."""

    network: LesionNetwork
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    heads: CoarseHeads | None = None

    def parameters(self) -> Iterator[nn.Parameter]:
        """Everything that is learned, the heads last."""
        yield from self.network.parameters()
        if self.heads is not None:
            yield from self.heads.parameters()

    def save(self, path: Path, state: RunState, settings: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "network": self.network.state_dict(),
                "heads": {} if self.heads is None else self.heads.state_dict(),
                "average": self.average.values,
                "optimizer": self.optimizer.state_dict(),
                "state": asdict(state),
                "settings": dict(settings),
            },
            partial,
        )
        partial.replace(path)

    def resume(self, path: Path, state: RunState, settings: Mapping[str, Any]) -> None:
        """Take up weights and state of a checkpoint.

        Raises
        ------
        SettingsError
            It is of another network, or was begun with another loss.
        """
        saved = torch.load(path, map_location="cpu", weights_only=True)
        for key, before in _FIXED.items():
            begun = saved["settings"].get(key, before)
            if begun != settings[key]:
                raise SettingsError(
                    f"{path} was begun with {key.replace('_', ' ')} {begun}, not {settings[key]}.",
                    "Go on as it was begun, or name another run folder with --run.",
                )
        try:
            self.network.load_state_dict(saved["network"])
            if self.heads is not None:
                self.heads.load_state_dict(saved["heads"])
        except RuntimeError as error:
            raise SettingsError(
                f"{path} belongs to another network.", "Name another run folder with --run."
            ) from error
        here = next(self.network.parameters()).device
        self.average.values = {key: value.to(here) for key, value in saved["average"].items()}
        self.optimizer.load_state_dict(saved["optimizer"])
        for key in ("epoch", "step", "progress", "seconds"):
            setattr(state, key, saved["state"][key])
        if settings["minutes"] is not None:
            state.epochs = min(state.epochs, max(saved["state"]["epochs"], state.epoch + 1))


def new_learner(
    network: LesionNetwork,
    peak_rate: float,
    weight_decay: float,
    decay: float,
    heads: CoarseHeads | None = None,
) -> Learner:
    """Begin with a network; only filters and matrices decay, not biases and norms."""
    learned = [*network.parameters(), *(() if heads is None else heads.parameters())]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in learned if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=peak_rate,
    )
    return Learner(network, WeightAverage(network, decay), optimizer, heads)
