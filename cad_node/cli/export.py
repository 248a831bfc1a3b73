"""`cad-node export`: a model for other runtimes, and what it loses there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from cad_node.cli.training_options import AllThreads, find_model
from cad_node.errors import SettingsError

if TYPE_CHECKING:
    from cad_node.networks import LesionModel
    from cad_node.train.data import Sample

_SHOWN = {
    "lesion_dice": "Dice, images with a lesion",
    "lesion_iou": "IoU, images with a lesion",
    "lesions_detected": "lesions detected",
    "normals_with_false_lesion": "normal images with a false lesion",
    "accuracy": "accuracy, three classes",
    "auc_benign_malignant": "AUC, benign against malignant",
    "calibration_error": "expected calibration error",
}


def export(
    model: Annotated[str, typer.Option("--model", help="Name of a model folder, or its path.")],
    output: Annotated[Path, typer.Option("--output", help="File to write, such as breast-us.onnx.")],
    file_format: Annotated[str, typer.Option("--format", help="onnx.")] = "onnx",
    int8: Annotated[bool, typer.Option("--int8", help="Eight-bit convolutions; needs --data.")] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Images as for training: calibrates, and compares with the model."),
    ] = None,
    score: Annotated[
        bool, typer.Option("--score", help="Repeat the scorecard on folds that the model has not seen.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Images on which file and model are compared.")
    ] = 60,
    threads: AllThreads = 0,
) -> None:
    """Write a model for mobile devices and say what it costs.

    A float file must answer as the model does, or it is not written. Beside the
    file stand FILE.json and FILE.md: size, hash, agreement, and the scorecard.
    """
    from cad_node.networks import load_model
    from cad_node.networks.onnx_network import load_onnx_model
    from cad_node.train import mobile, quantise

    if file_format != "onnx":
        raise SettingsError(f"There is no format '{file_format}'.", "Write --format onnx.")
    if data is None and (int8 or score):
        raise SettingsError("--int8 and --score need images.", "Name a folder of training data with --data.")
    folder = find_model(model)
    loaded = load_model(folder, threads=threads)
    bundle = loaded.bundle
    console = Console(stderr=True, soft_wrap=True)
    plain = output.with_suffix(".float.onnx") if int8 else output
    mobile.export_onnx(bundle, plain)
    difference = mobile.largest_difference(loaded, load_onnx_model(folder, plain, threads), _demo_images())
    try:
        mobile.refuse_difference(difference, plain)
    except Exception:
        plain.unlink()
        raise
    content: dict[str, Any] = {
        "model": {"name": bundle.name, "version": bundle.version, "sha256": bundle.sha256},
        "weights_bytes": (folder / "models" / "model.pt").stat().st_size,
        "float": {**mobile.describe(plain), "largest_difference": difference},
    }
    console.print(f"{plain}: {plain.stat().st_size / 1e6:.1f} MB, differs from torch by {difference:.1e}")
    if data is not None:
        seen, unseen = _samples(folder, data)
        if int8:
            console.print(
                f"calibrating on {quantise.CALIBRATION_IMAGES} images that the model has learned from"
            )
            squares = quantise.calibration_squares(data, seen, bundle.size_px)
            quantise.quantise(plain, output, squares)
            content["int8"] = mobile.describe(output)
            plain.unlink()
        written = load_onnx_model(folder, output, threads)
        content["agreement"] = asdict(mobile.agreement(loaded, written, _images(data, unseen or seen, limit)))
        content["agreement"]["on"] = "images not learned from" if unseen else "images learned from"
        if score:
            content["scorecard"] = _scorecard(written, data, unseen, console)
            content["scorecard_of_model"] = _own_scorecard(folder, content["scorecard"]["test_folds"])
    _write(output, content)


def _demo_images() -> list[Any]:
    """Real images that every installation has."""
    from cad_node.train.data import read_grey

    folder = Path(str(files("cad_node").joinpath("demo/images")))
    return [read_grey(path) for path in sorted(folder.glob("*.png"))]


def _samples(folder: Path, data: Path) -> tuple[list[Sample], list[Sample]]:
    """Samples that the model has learned from, and the others."""
    from cad_node.train.learned import read_learned, refuse_leak
    from cad_node.train.splits import read_split

    learned = read_learned(folder)
    samples = read_split(data, learned.kind).samples
    refuse_leak(learned, learned.kind, [s for s in samples if not learned.knows(s)], folder.name)
    seen = [s for s in samples if s.fold in learned.folds and s.dataset in learned.datasets]
    return seen, [s for s in samples if s.fold not in learned.folds]


def _images(data: Path, samples: Sequence[Sample], limit: int) -> list[Any]:
    from cad_node.train.data import read_image

    step = max(1, len(samples) // limit)
    return [read_image(data, sample) for sample in samples[::step][:limit]]


def _scorecard(
    written: LesionModel, data: Path, unseen: Sequence[Sample], console: Console
) -> dict[str, Any]:
    from cad_node.train.cases import score
    from cad_node.train.figures import summarise

    if not unseen:
        raise SettingsError(
            "The model has learned from every fold: no image is left to score it on.",
            "Score the export of a model that was trained on some folds only.",
        )
    with Progress(console=console) as progress:
        task = progress.add_task("annotations left in", total=len(unseen))
        cases = score(written, data, unseen, advance=lambda done, _: progress.update(task, completed=done))
    return {
        "test_folds": sorted({sample.fold for sample in unseen}),
        "annotations_left_in": summarise(cases),
    }


def _own_scorecard(folder: Path, folds: Sequence[int]) -> dict[str, Any] | None:
    """The model's own figures, where they are of the same folds."""
    path = folder / "scorecard.json"
    if not path.is_file():
        return None
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if list(card.get("test_folds", [])) != list(folds) or "annotations_left_in" not in card:
        return None
    return {"test_folds": card["test_folds"], "annotations_left_in": card["annotations_left_in"]}


def _write(output: Path, content: dict[str, Any]) -> None:
    from cad_node.train.json_file import write_json

    text = _markdown(content)
    write_json(output.with_suffix(".json"), content)
    output.with_suffix(".md").write_text(text, encoding="utf-8")
    Console().print(Markdown(text))


def _markdown(content: dict[str, Any]) -> str:
    model = content["model"]
    lines = [f"Model `{model['name']}` {model['version']}, sha256 `{model['sha256'][:12]}…`.", ""]
    lines += ["| | size |", "|---|---|"]
    lines.append(f"| weights of the model folder | {content['weights_bytes'] / 1e6:.1f} MB |")
    for key, title in (("float", "ONNX, float"), ("int8", "ONNX, int8")):
        if key in content:
            lines.append(f"| {title} | {content[key]['bytes'] / 1e6:.1f} MB |")
    lines.append("")
    lines.append(
        f"Float against torch on the demo's images: largest difference {content['float']['largest_difference']:.1e}."
    )
    if "agreement" in content:
        same = content["agreement"]
        lines.append(
            f"This file against torch on {same['images']} {same['on']}: Dice of the findings "
            f"{same['mean_dice']:.3f}, same class on {100 * same['same_class']:.1f} %, a probability changes by "
            f"{same['largest_probability_change']:.3f} at most; {same['milliseconds']:.0f} ms an image, torch "
            f"{same['torch_milliseconds']:.0f} ms."
        )
    if "scorecard" in content:
        lines += ["", *_figures(content)]
    return "\n".join([*lines, ""])


def _figures(content: dict[str, Any]) -> list[str]:
    mine = content["scorecard"]["annotations_left_in"]
    model = (content["scorecard_of_model"] or {}).get("annotations_left_in", {})
    datasets = [name for name in mine if name != "all"]
    head = [f"{name}, {what}" for name in datasets for what in ("model", "this file")]
    lines = ["| annotations left in | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for key, title in _SHOWN.items():
        cells = []
        for name in datasets:
            for part in (model, mine):
                entry = part.get(name, {}).get(key)
                cells.append("–" if entry is None else f"{entry['value']:.3f}")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines
