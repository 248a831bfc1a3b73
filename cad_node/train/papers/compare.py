"""Trains and scores a list of networks, keeping each finished one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cad_node.errors import SettingsError
from cad_node.networks.papers import load_weight_file
from cad_node.train.device import usable_device
from cad_node.train.papers.learn import learn
from cad_node.train.papers.prepare import Squares
from cad_node.train.papers.protocol import Protocol, Start, Task
from cad_node.train.papers.splits import parts_of, usable_samples

logger = logging.getLogger(__name__)

PROTOCOL_FILE = "protocol.json"


@dataclass(frozen=True)
class Job:
    """One network to train: what is kept when it is finished."""

    task: Task
    architecture: str
    start: Start
    fold: int
    run: int

    def path(self, folder: Path) -> Path:
        """File of its result."""
        name = f"fold{self.fold}-run{self.run}.json"
        return folder / "results" / self.task / self.architecture / self.start / name

    def __str__(self) -> str:
        return f"{self.architecture} {self.task} {self.start} fold {self.fold} run {self.run}"


def jobs_of(protocol: Protocol, weights: Mapping[str, Path]) -> Iterator[Job]:
    """All jobs in the order they are run: every network once before any a second time.

    Those from ImageNet only where there is a weight file.
    """
    for run in range(1, protocol.runs + 1):
        for fold in protocol.chosen_folds:
            for start in protocol.starts:
                for name in protocol.architectures:
                    for task in protocol.tasks:
                        if start == "scratch" or name in weights:
                            yield Job(task, name, start, fold, run)


def compare(
    data: Path,
    folder: Path,
    protocol: Protocol,
    weights: Mapping[str, Path] | None = None,
    threads: int = 2,
    device: str = "cpu",
    minutes: float | None = None,
    report: Callable[[str], None] = logger.info,
) -> list[dict[str, Any]]:
    """Run what is not yet in `folder` and return all results there, finished ones first in order.

    Parameters
    ----------
    data
        Folder with BUSI.
    folder
        Results and prepared images; an interrupted comparison goes on from here.
    weights
        ImageNet weight files by network.
    minutes
        No further network is begun after so many.

    Raises
    ------
    SettingsError
        The folder holds results under other rules, or a rule cannot be met by the data.
    """
    torch.set_num_threads(threads)
    usable_device(device)
    weights = weights or {}
    _claim(folder, protocol)
    jobs = list(jobs_of(protocol, weights))
    open_jobs = [job for job in jobs if not job.path(folder).exists()]
    report(f"{len(jobs)} networks to train, {len(jobs) - len(open_jobs)} already done")
    began = time.monotonic()
    if open_jobs:
        samples = usable_samples(data, protocol)
        squares = Squares(
            data,
            samples,
            protocol.size_px,
            folder / "prepared",
            protocol.denoise,
            protocol.remove_background,
        )
    loaded: dict[str, Mapping[str, Tensor]] = {}
    for number, job in enumerate(open_jobs):
        spent = time.monotonic() - began
        if minutes is not None and spent >= minutes * 60:
            report(f"{len(open_jobs) - number} networks are left for another time")
            break
        parts = parts_of(samples, protocol, job.fold)
        if job.start == "imagenet" and job.architecture not in loaded:
            loaded = {job.architecture: load_weight_file(weights[job.architecture])}

        def say(text: str, job: Job = job, number: int = number) -> None:
            report(f"[{number + 1}/{len(open_jobs)}] {job}: {text}")

        before = time.monotonic()
        learned = learn(
            job.architecture,
            job.task,
            squares,
            parts,
            protocol,
            seed=protocol.seed + 1000 * job.run + job.fold,
            weights=loaded.get(job.architecture) if job.start == "imagenet" else None,
            device=device,
            report=say,
        )
        seconds = time.monotonic() - before
        _keep(
            job.path(folder),
            {
                **asdict(job),
                "figures": learned.figures,
                "seconds": round(seconds, 1),
                "images_per_s": round(learned.images_per_s, 2),
                "images": {name: len(part) for name, part in asdict(parts).items()},
                "curve": learned.curve,
                "cases": learned.cases,
            },
        )
        each = (time.monotonic() - began) / (number + 1)
        say(
            " ".join(f"{key} {value:.3f}" for key, value in learned.figures.items())
            + f", {seconds:.0f} s; about {each * (len(open_jobs) - number - 1) / 60:.0f} min left in all"
        )
    return [
        json.loads(job.path(folder).read_text(encoding="utf-8")) for job in jobs if job.path(folder).exists()
    ]


def _claim(folder: Path, protocol: Protocol) -> None:
    """Write the rules into a new run folder; refuse one that was begun under others."""
    path = folder / PROTOCOL_FILE
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["fingerprint"] != protocol.fingerprint():
            raise SettingsError(
                f"{folder} holds results under other rules than these.", "Name another folder with --run."
            )
    _keep(path, {"fingerprint": protocol.fingerprint(), **asdict(protocol)})


def _keep(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
