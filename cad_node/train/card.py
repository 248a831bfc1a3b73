"""The model card: what a model is, was trained on, reaches, and must not be used for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cad_node.networks.bundle import METADATA_FILE, TRAIN_FILE, Bundle
from cad_node.networks.registry import describe_architecture
from cad_node.train.of_all_folds import is_by_others

SCORECARD_FILE = "scorecard.json"
CARD_FILE = "docs/README.md"

# In the order in which figures are given.
PUBLISHED = {
    "BUSI": "BUSI (doi 10.1016/j.dib.2019.104863)",
    "BUS-BRA": "BUS-BRA (doi 10.1002/mp.16812)",
}

_ROWS = (
    ("lesion_dice", "Dice, images with a lesion"),
    ("benign_dice", "Dice, benign"),
    ("malignant_dice", "Dice, malignant"),
    ("lesion_iou", "IoU, images with a lesion"),
    ("hd95_ratio", "Distance of outlines (HD95), share of the lesion's diameter"),
    ("lesions_detected", "Lesions detected"),
    ("false_lesions_per_image", "False lesions per image"),
    ("normals_with_false_lesion", "Normal images with a false lesion"),
    ("accuracy", "Accuracy, three classes"),
    ("macro_f1", "F1, from mean precision and mean recall"),
    ("macro_auc", "AUC, mean of each class against the others"),
    ("auc_benign_malignant", "AUC, benign against malignant"),
    ("sensitivity_at_90_specificity", "Sensitivity at 90 % specificity"),
    ("specificity_at_90_sensitivity", "Specificity at 90 % sensitivity"),
    ("calibration_error", "Expected calibration error"),
    ("share_named", "Images whose class is named"),
    ("accuracy_named", "Accuracy on these"),
)
_SECTIONS = (
    ("annotations_left_in", "Annotations left in, as the images are published"),
    ("annotations_removed", "Annotations removed by the node's own cleaning"),
)


def write_card(bundle: Bundle) -> None:
    """Write the card of a model folder from its metadata, train.json and scorecard.

    Figures come from the scorecard and from nowhere else.
    """
    folder = bundle.folder
    run = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))["cad_node"]
    train = json.loads((folder / TRAIN_FILE).read_text(encoding="utf-8"))
    scored = folder / SCORECARD_FILE
    scorecard = json.loads(scored.read_text(encoding="utf-8")) if scored.exists() else None
    own = sorted(set(train["data"].get("datasets", ())) - PUBLISHED.keys())
    parts = [
        f"# {bundle.name} {bundle.version}\n",
        "Outlines lesions in B-mode breast ultrasound and gives probabilities of normal, benign and\n"
        "malignant, for the image and for each lesion.\n",
        _running(bundle, run),
        _data(train["data"]),
        _training(train),
        _figures(scorecard, train["data"].get("adapted")),
        _own_limits(own) if own else _LIMITS,
        _own_citations(train["data"]["datasets"]) if own else _CITATIONS,
    ]
    (folder / CARD_FILE).write_text("\n".join(parts), encoding="utf-8")


def _running(bundle: Bundle, run: Mapping[str, Any]) -> str:
    mirrored = "averaged with the image" if run["flips"] else "not used"
    return (
        f"- Architecture: `{bundle.architecture}`, {describe_architecture(bundle.architecture)}.\n"
        "  The class head pools over the image, over a lesion mask and over its rim\n"
        f"- Input: grey tissue region, letterboxed to {bundle.size_px} x {bundle.size_px} px, "
        "(grey level - 127) / 128\n"
        f"- A pixel is lesion from probability {bundle.threshold:g} on\n"
        f"- A finding that is normal with at least {bundle.normal_veto:g} is dropped{_share(bundle)}\n"
        f"- {_abstention(bundle)}\n"
        f"- Class temperature {bundle.temperature:g}; mirrored view {mirrored}\n"
        f"- sha256 of weights and configs together: `{bundle.sha256}`\n"
    )


def _chosen(data: Mapping[str, Any]) -> str:
    """What else than folds was chosen: data sets, and a split that is not by group."""
    if data.get("split", "grouped") != "grouped":
        return ", BUSI image by image at random, duplicates on both sides"
    datasets = data.get("datasets", [])
    return f", {datasets[0]} only" if len(datasets) == 1 else ""


def _share(bundle: Bundle) -> str:
    if not bundle.veto_image_share:
        return ""
    return f"; {bundle.veto_image_share:.0%} of that is how the image looks without the finding"


def _abstention(bundle: Bundle) -> str:
    if not bundle.abstain_below:
        return "A class is always named"
    return f'Below {bundle.abstain_below:g} the likeliest class is not named: "uncertain"'


def _data(data: Mapping[str, Any]) -> str:
    lines = ["## Data\n"]
    for part in ("training", "validation"):
        counts = data.get(part, {})
        inside = ", ".join(
            f"{key} {value}" for key, value in counts.items() if key not in ("images", "groups")
        )
        lines.append(
            f"- {part.capitalize()}: {counts.get('images', 0)} images of {counts.get('groups', 0)} "
            f"groups ({inside})"
        )
    folds = ", ".join(str(fold) for fold in data.get("folds", ()))
    if set(data.get("datasets", ())) <= PUBLISHED.keys():
        what = (
            "A group is a patient (BUS-BRA) or a set of near-duplicates\n"
            "  and frames of one scan (BUSI, which publishes no patients); no group is on two sides of a split."
        )
    else:
        what = "No group (a patient) is on two sides\n  of a split."
    made = "made by hash of the group" if data.get("hashed_folds") else "of the manifest"
    lines.append(f"- Folds {folds} {made}{_chosen(data)}. {what}")
    lines += [f"- {note}" for note in data.get("notes", ())]
    lines.append(
        f"- {data.get('left_out_for_contradictory_labels', 0)} images that are published under two "
        "classes are left out of training and of every figure.\n"
    )
    return "\n".join(lines)


def _training(train: Mapping[str, Any]) -> str:
    data = train["data"]
    return (
        "## Training\n\n"
        f"```\n{train['command']}\n```\n\n"
        f"{_runs(train)}"
        "Scale, mirror, rotation, gain, speckle, blur and JPEG are varied;\n"
        "synthetic calipers, rulers and text are drawn on and off lesions, so that a mark says nothing.\n"
        f"Of {data.get('clean_copies', 0)} training images the copy with its annotations removed was seen, too "
        f"(as far as they\nwere ready: the count is that of the last epoch). {_decided(data)}\n"
    )


def _decided(data: Mapping[str, Any]) -> str:
    """On what was chosen how the network is run."""
    if not (on := data.get("decided")):
        return (
            "Thresholds, veto and temperature were chosen on the\nvalidation groups; nothing was chosen on a "
            "test fold."
        )
    folds = ", ".join(map(str, on["folds"]))
    return (
        "Threshold, temperature and abstention were chosen\n"
        f"on {on['images']} images of the folds {folds}, each looked at by one of {len(on['models'])} models "
        "made alike\nthat had not seen it (`cad-node decide`); the veto on the validation groups."
    )


def _runs(train: Mapping[str, Any]) -> str:
    """How the network was trained, or each network of a pair."""
    parts = train.get("parts")
    if not parts:
        return _run(train, train["data"]) + ".\n"
    made = [
        f"- For {role} `{part['name']}` {part['version']}: {_run(part, part)}:\n\n"
        f"  ```\n  {part['command']}\n  ```\n\n"
        for role, part in parts.items()
    ]
    return "Joined from two trainings on the same images:\n\n" + "".join(made)


def _run(train: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    settings = train["settings"]
    return (
        f"{data.get('epochs', settings['epochs'])} epochs at {settings['size_px']} px from {_start(train['command'])}, "
        f"batch {settings['batch']}, AdamW, one cycle to {settings['peak_rate']:g}, "
        f"Dice + cross-entropy, averaged weights{_blended(data)}"
    )


def _blended(data: Mapping[str, Any]) -> str:
    return f"; then {data['blend']:.0%} of that model's weights put back" if data.get("blend") else ""


def _start(command: str) -> str:
    """What the training began with, by its command."""
    words = command.split()
    if "--start-from" not in words:
        return "ImageNet weights"
    return f"the model `{words[words.index('--start-from') + 1]}`"


def _figures(scorecard: Mapping[str, Any] | None, adapted: Mapping[str, Any] | None) -> str:
    if scorecard is None and adapted:
        return (
            "## Figures\n\n"
            f"None. Adapted from `{adapted['from']}` (sha256 `{adapted['sha256']}`) to {adapted['pictures']} pictures\n"
            "without labels: their batch statistics took the place of those of the training images; weights,\n"
            "thresholds and calibration are as they were. Pictures with a finding, before the veto:\n"
            f"{adapted['with_a_finding_before']} before, {adapted['with_a_finding_after']} after. Nobody has measured "
            "whether it is better here: compare it with\nwhat radiologists answer before you rely on it.\n"
        )
    if scorecard is None:
        return "## Figures\n\nNot scored: do not use.\n"
    lines = [
        "## Figures\n",
        f"{_tested(scorecard)}In brackets the 95 % interval by "
        "bootstrap over groups. Dice and IoU speak of images with a drawn lesion only.",
    ]
    for key, title in _SECTIONS:
        if key not in scorecard:
            continue
        part = scorecard[key]
        own = (dataset for dataset in part if dataset not in (*PUBLISHED, "all"))
        datasets = [dataset for dataset in (*PUBLISHED, *own, "all") if dataset in part]
        lines += ["", f"### {title}\n"]
        lines.append("| | " + " | ".join(datasets) + " |")
        lines.append("|---" * (len(datasets) + 1) + "|")
        for row, label in _ROWS:
            cells = [_cell(part[dataset].get(row)) for dataset in datasets]
            if not any(cells):
                continue
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
        counts = [str(part[dataset]["accuracy"]["images"]) for dataset in datasets]
        lines.append("| Images | " + " | ".join(counts) + " |")
    return "\n".join(lines) + "\n"


def _tested(scorecard: Mapping[str, Any]) -> str:
    """On what the figures were measured, and with which weights."""
    if not is_by_others(scorecard):
        folds = ", ".join(str(fold) for fold in scorecard["test_folds"])
        return f"Test fold {folds}, no image of which was seen before. "
    parts = scorecard["protocol"]["parts"]
    across = all(part.get("decided_on") for part in parts)
    source = "from what the others were tested with, and a veto from" if across else "and a veto from"
    rows = "\n".join(
        f"- {part['tested_on']}: `{part['model']}`, sha256 `{part['sha256'][:12]}…`, trained on {part['trained_on']}"
        for part in parts
    )
    return (
        "The weights of this folder have learned from every fold, so that no image is left to test them on.\n"
        f"The figures are those of {len(parts)} models of the same network, each tested on what it had not "
        f"seen, with\nthresholds {source}\nits own validation groups:\n\n{rows}\n\n"
    )


def _cell(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    low, high = entry["interval_95"]
    return f"{entry['value']:.3f} ({low:.3f}-{high:.3f})"


def _own_limits(own: Sequence[str]) -> str:
    return (
        "## Limits\n\n"
        "- For research and for decision support under a radiologist's eyes. Not a certified medical device.\n"
        f"- Learned from images of {' and '.join(own)}, which are not published: nothing is known of other\n"
        "  hospitals, scanners and patients than theirs. Expect worse figures elsewhere.\n"
        "- B-mode images only. No Doppler, no elastography.\n"
    )


def _own_citations(datasets: Sequence[str]) -> str:
    """The citations without data sets that were not learned from."""
    blocks = _CITATIONS.split("\n- ")
    there = [
        block
        for block in blocks
        if not any(
            name not in datasets and source.split()[-1].strip("()") in block
            for name, source in PUBLISHED.items()
        )
    ]
    return "\n- ".join(there)


_LIMITS = """## Limits

- For research and for decision support under a radiologist's eyes. Not a certified medical device.
- Two hospitals, adults, GE Logiq and Toshiba scanners; nothing is known of other makers, handheld
  probes, implants, lactating or male breasts. Expect worse figures elsewhere.
- Normal tissue is rare in the data (133 images of one hospital): figures about normals are unsure.
- Still B-mode images only. No Doppler, no elastography, no axilla.
- The two published outlines of near-identical BUSI images agree to a median Dice of 0.917.
"""

_CITATIONS = """## Citations

- Al-Dhabyani, Gomaa, Khaled, Fahmy. Dataset of breast ultrasound images. Data in Brief 28:104863
  (2020). doi 10.1016/j.dib.2019.104863
- Gomez-Flores, Gregorio-Calas, Pereira. BUS-BRA: A breast ultrasound dataset for assessing
  computer-aided diagnosis systems. Medical Physics 51(4):3110 (2024). doi 10.1002/mp.16812
- Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.

Code and weights: Apache-2.0 (`LICENSE`, with a note about the data).
"""
