"""Writes a trained annotation network as a model folder, and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cad_node.networks.annotation_bundle import ARCHITECTURE, KINDS, AnnotationBundle, load_annotation_bundle
from cad_node.networks.annotation_model import LARGEST_SCALE, LARGEST_SIDE_PX, SMALLEST_SIDE_PX
from cad_node.networks.annotation_network import AnnotationNetwork
from cad_node.networks.bundle import TRAIN_FILE
from cad_node.train.annotations.fonts import HELD_OUT, Faces
from cad_node.train.annotations.loop import AnnotationTraining
from cad_node.train.annotations.stamps import HELD_OUT_CALIPERS
from cad_node.train.card import CARD_FILE, SCORECARD_FILE
from cad_node.train.export import Origin, common_metadata, write_folder
from cad_node.train.json_file import write_json


@dataclass(frozen=True)
class Cut:
    """What validation decided: see `AnnotationBundle.threshold` and `spread`."""

    threshold: float
    spread: float


def export_annotations(
    network: AnnotationNetwork,
    settings: AnnotationTraining,
    cut: Cut,
    origin: Origin,
    faces: Faces,
    folder: Path,
    version: str,
) -> str:
    """Write or replace the model folder and return its sha256; its name is the model's name."""
    learned = {
        "families": list(faces.families),
        "held_out_families": list(HELD_OUT),
        "held_out_calipers": list(HELD_OUT_CALIPERS),
    }
    sha256 = write_folder(
        folder,
        network,
        metadata=_metadata(folder.name, version, settings, cut),
        inference={
            "imports": ["$import pathlib", "$from cad_node.networks import annotation_model"],
            "bundle_root": ".",
            "network_def": {
                "_target_": "cad_node.networks.annotation_network.build",
                "config": dict(settings.network),
            },
            "model": "$annotation_model.load_annotation_model(pathlib.Path(@bundle_root))",
        },
        train={
            "command": origin.command,
            "data": {**origin.data, **learned},
            "settings": asdict(settings),
        },
    )
    write_annotation_card(load_annotation_bundle(folder))
    return sha256


def attach_annotation_scores(folder: Path, scorecard: Mapping[str, Any]) -> None:
    """Put the evidence into a model folder and its figures into the card; the sha256 stays."""
    bundle = load_annotation_bundle(folder)
    write_json(folder / SCORECARD_FILE, scorecard)
    write_annotation_card(bundle)


def _metadata(name: str, version: str, settings: AnnotationTraining, cut: Cut) -> dict[str, Any]:
    picture = {"type": "image", "format": "magnitude", "modality": "US", "dtype": "float32"}
    shape = {"spatial_shape": ["16*n", "16*n"], "is_patch_data": True}
    return {
        **common_metadata(version),
        "task": "Pixels of burnt-in annotations in B-mode breast ultrasound",
        "description": (
            "A small U-Net at half resolution: for each pixel whether it is tissue, text, a caliper mark, "
            "a line or another graphic."
        ),
        "image_classes": "one grey channel, scaled so that text is 12 to 24 px high, (grey level - 127) / 128",
        "label_classes": ", ".join(f"{number} {kind}" for number, kind in enumerate(KINDS)),
        "pred_classes": f"logits of {', '.join(KINDS)}",
        "network_data_format": {
            "inputs": {
                "image": {
                    **picture,
                    **shape,
                    "num_channels": 1,
                    "value_range": [-1, 1],
                    "channel_def": {"0": "grey"},
                }
            },
            "outputs": {
                "pred": {
                    **picture,
                    **shape,
                    "format": "segmentation",
                    "num_channels": len(KINDS),
                    "value_range": [],
                    "channel_def": {str(number): f"{kind} logit" for number, kind in enumerate(KINDS)},
                }
            },
        },
        "cad_node": {
            "name": name,
            "architecture": ARCHITECTURE,
            "network": dict(settings.network),
            "kinds": list(KINDS),
            **asdict(cut),
        },
    }


def write_annotation_card(bundle: AnnotationBundle) -> None:
    """Write the card of a model folder from its metadata, train.json and scorecard.

    Figures come from the scorecard and from nowhere else.
    """
    train = json.loads((bundle.folder / TRAIN_FILE).read_text(encoding="utf-8"))
    scored = bundle.folder / SCORECARD_FILE
    scorecard = json.loads(scored.read_text(encoding="utf-8")) if scored.exists() else None
    data, settings = train["data"], train["settings"]
    parts = [
        f"# {bundle.name} {bundle.version}\n",
        "Finds the pixels of burnt-in annotations (text, calipers, lines, graphics) in B-mode breast\n"
        "ultrasound, so that the node can take them off its copy of a picture before it analyses it.\n",
        f"- Architecture: `{ARCHITECTURE}`, a U-Net on the picture's 2 x 2 blocks\n"
        f"- Input: grey tissue region, enlarged to a long side of {SMALLEST_SIDE_PX} px (at most "
        f"{LARGEST_SCALE:g} times), shrunk to {LARGEST_SIDE_PX} px, (grey level - 127) / 128\n"
        f"- A mark has a pixel of probability {bundle.threshold:g}, and reaches as far as {bundle.spread:g}\n"
        f"- sha256 of weights and configs together: `{bundle.sha256}`\n",
        "## Data and training\n",
        f"```\n{train['command']}\n```\n",
        f"Marks drawn with exact truth on {_grounds(data)}: copies of published images from which the node\n"
        "had removed the marks; around and between removed marks, tissue did not count. Faces of "
        f"{len(data['families'])} font families and OpenCV's strokes, 8 to 26 px; contrast from 14 grey\n"
        "levels, of lines from 28; calipers, lines, pictograms; needles, reflections, membranes, the edges of a\n"
        "sector, flow and coarse speckle drawn as tissue.\n"
        f"{data.get('steps', settings['steps'])} steps of {settings['batch']} patches of "
        f"{settings['patches']['size_px']} px. After {settings['doubt_after']:.0%} of the run, tissue that the "
        f"network took for a mark with more than\n{settings['doubt_level']:g} did not count: the copies still "
        "hold marks.\n",
        "Never learned from: the fonts " + ", ".join(data["held_out_families"]) + "; the calipers "
        + ", ".join(data["held_out_calipers"]) + "; the scanners "
        + ", ".join(data["held_out_devices"]) + "; the folds not in "
        + ", ".join(str(fold) for fold in data["folds"]) + ".\n",
        _figures(scorecard),
        _LIMITS,
    ]  # fmt: skip
    (bundle.folder / CARD_FILE).write_text("\n".join(parts), encoding="utf-8")


def _grounds(data: Mapping[str, Any]) -> str:
    counts = data["training"]
    inside = ", ".join(f"{key} {value}" for key, value in counts.items() if key not in ("images", "groups"))
    return f"{counts['images']} pictures ({inside})"


def _figures(scorecard: Mapping[str, Any] | None) -> str:
    if scorecard is None:
        return "## Figures\n\nNot scored: do not use.\n"
    return "## Figures\n\n" + "\n".join(table(scorecard)) + "\n"


def table(scorecard: Mapping[str, Any]) -> list[str]:
    """The figures of a scorecard as the lines of a Markdown table, one column a method."""
    methods: Mapping[str, Mapping[str, Any]] = scorecard["methods"]
    rows: Sequence[str] = scorecard["rows"]
    lines = [
        "| | " + " | ".join(methods) + " |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for row in rows:
        cells = []
        for figures in methods.values():
            entry = figures.get(row)
            cells.append("" if entry is None else _cell(entry))
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return lines


def _cell(entry: Mapping[str, Any]) -> str:
    of = f" of {entry['of']}" if "of" in entry else ""
    return f"{entry['value']:g}{of}"


_LIMITS = """## Limits

- Marks are drawn, not real, in training and in most figures; the real images are of GE Logiq, Toshiba
  and U-Systems scanners only.
- Ink less than 25 grey levels above the tissue is missed in every fourth case, lone characters in every third;
  rulers are missed, or found in part, in more than half of all cases, measuring lines in two of five.
- Thin bright echoes are now and then taken for a mark.
- Of filled areas wider than a box of text, other than a straight-sided plate, only bright strokes are taken,
  so that no lesion is painted over.
- For research and for decision support under a radiologist's eyes. Not a certified medical device.

Code and weights: Apache-2.0 (`LICENSE`, with a note about the data).
"""
