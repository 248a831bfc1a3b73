"""Runs a model, or the models of a protocol, over images that they have not seen, and pools the cases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cad_node.errors import SettingsError
from cad_node.networks import LesionModel, load_model
from cad_node.networks.bundle import file_sha256
from cad_node.networks.onnx_network import load_onnx_model
from cad_node.train.adapt import adapt, halves
from cad_node.train.cases import Case, case_from_json, case_to_json, read_shown, score
from cad_node.train.data import Sample
from cad_node.train.evaluate import scorecard, worst
from cad_node.train.kept import Kept, made_by
from cad_node.train.learned import read_learned, refuse_leak
from cad_node.train.page import WORST_FOLDER, picture_name
from cad_node.train.pictures import draw_case
from cad_node.train.protocols import Part, Protocol, describe, missing_message, samples_of
from cad_node.train.splits import read_split

# Told what is being scored, how many are done, and of how many.
Advance = Callable[[str, int, int], None]


@dataclass
class Pooled:
    """Cases of one or more models, and by which model each image was scored last.

    With `kept`, what was scored before is read, and the rest written, there; an adapted or
    exported model is scored anew.
    """

    left_in: list[Case] = field(default_factory=list)
    removed: list[Case] = field(default_factory=list)
    models: dict[str, LesionModel] = field(default_factory=dict)
    samples: dict[str, Sample] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    conflicting: int = 0
    colour_doppler: int = 0
    kept: Kept[Case] | None = None

    def score(
        self,
        name: str,
        model: Path,
        data: Path,
        samples: Sequence[Sample],
        clean: Path | None,
        threads: int,
        advance: Advance,
        onnx: Path | None = None,
        *,
        adapted: bool = False,
    ) -> None:
        """Score samples with one model, or with its `onnx` export, and add the cases.

        `adapted`: half of the groups with the model adapted to pictures of the other half, and
        the other way round; see `adapt.py`.
        """
        loaded = load_model(model, threads=threads) if onnx is None else load_onnx_model(model, onnx, threads)
        for copies, cases, what in ((None, self.left_in, "left in"), (clean, self.removed, "removed")):
            if what == "removed" and clean is None:
                continue
            title = f"{name}, annotations {what}"
            if self.kept is not None and onnx is None and not adapted:
                cases.extend(_score_once(self.kept, loaded, data, samples, copies, title, advance))
                self.models |= dict.fromkeys((sample.image for sample in samples), loaded)
                continue
            parts = _adapted_parts(loaded, data, samples, copies) if adapted else [(loaded, samples)]
            for number, (one, mine) in enumerate(parts, start=1):
                shown = f"{title}, half {number}" if adapted else title
                cases.extend(score(one, data, mine, copies, partial(advance, shown)))
                self.models |= dict.fromkeys((sample.image for sample in mine), one)
        self.samples |= {sample.image: sample for sample in samples}

    def draw_worst(self, data: Path, clean: Path | None, folder: Path) -> None:
        """Pictures of the worst cases into `folder`/worst."""
        for number, case in enumerate(worst(self.removed or self.left_in), start=1):
            target = folder / WORST_FOLDER / picture_name(number)
            draw_case(
                self.models[case.image],
                data,
                self.samples[case.image],
                clean if self.removed else None,
                target,
            )


def _score_once(
    kept: Kept[Case],
    model: LesionModel,
    data: Path,
    samples: Sequence[Sample],
    copies: Path | None,
    title: str,
    advance: Advance,
) -> list[Case]:
    """Cases that are kept, or that are scored now and kept."""
    name = title.replace(", ", "-").replace(" ", "-")
    origin = made_by(model.bundle.sha256, data, samples, copies)
    cases = kept.find(name, origin)
    if cases is None:
        cases = score(model, data, samples, copies, partial(advance, title))
        kept.keep(name, origin, cases)
    else:
        advance(title, len(samples), len(samples))
    return cases


def score_model(
    model: Path,
    data: Path,
    folds: Sequence[int],
    clean: Path | None,
    threads: int,
    advance: Advance,
    onnx: Path | None = None,
) -> tuple[Pooled, dict[str, Any]]:
    """One model, or its `onnx` export, on folds that it has not seen: the cases, and its scorecard.

    Raises
    ------
    SettingsError
        It has seen one of them, or no image is in them.
    """
    bundle = load_model(model, threads=threads).bundle
    learned = read_learned(model)
    manifest = read_split(data, learned.kind)
    samples = [sample for sample in manifest.samples if sample.fold in folds]
    refuse_leak(learned, learned.kind, samples, bundle.name)
    if not samples:
        raise SettingsError(
            f"No image of {data} is in fold {', '.join(map(str, folds))}.",
            f"Its folds are {', '.join(map(str, sorted({s.fold for s in manifest.samples})))}.",
        )
    pooled = Pooled(conflicting=manifest.conflicting, colour_doppler=len(manifest.colour_doppler))
    pooled.score(bundle.name, model, data, samples, clean, threads, advance, onnx)
    named = {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256}
    if onnx is not None:
        named |= {"onnx": onnx.name, "onnx_sha256": file_sha256(onnx)}
    part = {
        "name": "fold",
        "trained_on": str(learned),
        "tested_on": f"fold {', '.join(map(str, folds))} ({learned.kind.value})",
        "images": len(samples),
        "model": f"{bundle.name} {bundle.version}",
        "sha256": bundle.sha256,
    }
    protocol = {
        "name": "fold",
        "title": f"{bundle.name} on fold {', '.join(map(str, folds))}",
        "parts": [part],
    }
    card = scorecard(
        pooled.left_in,
        pooled.removed,
        named,
        folds,
        pooled.conflicting,
        protocol,
        pooled.colour_doppler,
    )
    if manifest.notes:
        card["notes"] = list(manifest.notes)
    return pooled, card


def _adapted_parts(
    model: LesionModel, data: Path, samples: Sequence[Sample], clean: Path | None
) -> Iterator[tuple[LesionModel, list[Sample]]]:
    """The model adapted to each half of the groups, with the samples of the other half."""
    first, second = halves(sample.group for sample in samples)
    for shown, scored in ((second, first), (first, second)):
        pictures = (read_shown(data, sample, clean) for sample in samples if sample.group in shown)
        adapted = adapt(model.bundle, (picture for picture in pictures if picture is not None))
        yield adapted, [sample for sample in samples if sample.group in scored]


def score_protocol(
    protocol: Protocol,
    models: Mapping[str, Path],
    data: Path,
    clean: Path | None,
    threads: int,
    advance: Advance,
    *,
    adapted: bool = False,
    keep: Path | None = None,
) -> tuple[Pooled, dict[str, Any]]:
    """Every part that has a model, each on what its model has not seen: the cases, and the scorecard.

    A part without a model is named in the scorecard as missing. `adapted`: see `Pooled.score`.
    Finished parts are kept in the folder `keep`, and not scored again.
    """
    pooled = Pooled(kept=None if keep is None else Kept(keep, case_to_json, case_from_json))
    for part in protocol.parts:
        if part.name not in models:
            continue
        samples, manifest = samples_of(part, protocol, data)
        pooled.conflicting, pooled.colour_doppler = manifest.conflicting, len(manifest.colour_doppler)
        pooled.score(part.name, models[part.name], data, samples, clean, threads, advance, adapted=adapted)
        pooled.parts.append(describe(part, models[part.name], len(samples)))
    about = {
        "name": protocol.name,
        "title": f"{protocol.title}, adapted to it without labels" if adapted else protocol.title,
        "warning": protocol.warning,
        "parts": pooled.parts,
        "missing": [part.name for part in protocol.parts if part.name not in models],
    }
    scored = [part for part in protocol.parts if part.name in models]
    card = scorecard(
        pooled.left_in,
        pooled.removed,
        _named(pooled.parts),
        sorted({fold for part in scored for fold in part.folds}),
        pooled.conflicting,
        about,
        pooled.colour_doppler,
    )
    return pooled, card


def _named(parts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    if len(parts) == 1:
        name, _, version = str(parts[0]["model"]).rpartition(" ")
        return {"name": name, "version": version, "sha256": str(parts[0]["sha256"])}
    return {"name": f"{len(parts)} models", "version": "", "sha256": ""}


def train_missing(
    protocol: Protocol, missing: Sequence[Part], data: Path, models: Path, extra: Sequence[str]
) -> None:
    """Train, or go on training, what a protocol lacks, one run after the other.

    Raises
    ------
    SettingsError
        A run failed; the finished ones stay, and the same command goes on.
    """
    for part in missing:
        command = [sys.executable, "-m", "cad_node", *part.command(data, models, extra)]
        if subprocess.run(command, check=False).returncode != 0:  # noqa: S603  our own command line
            raise SettingsError(
                f"Training {part.name} for the protocol {protocol.name} failed.",
                "Its messages are above. The same command goes on from the last epoch.",
            )


def refuse_missing(
    protocol: Protocol, missing: Sequence[Part], data: Path, models: Path, extra: Sequence[str]
) -> None:
    """Say which models a protocol lacks, and the commands that train them.

    Raises
    ------
    SettingsError
        Always.
    """
    raise SettingsError(
        missing_message(protocol, missing, data, models, extra),
        "Run them, or let --train do it, or score the rest with --partial.",
    )
