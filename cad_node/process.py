"""One study from files to result objects: what every door runs.

Read, analyse, encode, write into a folder (`result_files.py`). Knows neither queues nor networks;
runs in a worker process (`workers.py`), so that a decoder that crashes costs
one study and never the node.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cad_node import __version__
from cad_node.domain import Calibration, MadeBy, Provenance, StudyResult
from cad_node.encode import (
    EncodedObject,
    Templates,
    claimed_sides,
    encode_study,
    image_names,
    load_templates,
    render_preview,
)
from cad_node.errors import ModelNotFoundError
from cad_node.giving_way import GivingWay
from cad_node.logs import study_context
from cad_node.pipeline.clean import Cleaner, Surroundings
from cad_node.pipeline.run import Steps, analyse
from cad_node.pipeline.segment import find_lesions
from cad_node.read import gate_image, read_headers, read_study
from cad_node.read.headers import read_with_pixels
from cad_node.resources import model_names, models_dir, templates_dir
from cad_node.result_files import StudySummary, write_objects, write_pages, write_pictures, write_summary
from cad_node.settings import NodeSettings
from cad_node.store.results import INVALID_FOLDER
from cad_node.variants import all_variants

if TYPE_CHECKING:
    from cad_node.networks.bundle import Bundle

# `cad_node.networks` is imported where a network is needed: torch and MONAI take seconds and hundreds
# of megabytes, and this module is part of every process of a node.

logger = logging.getLogger(__name__)

SCORECARD_FILE = "scorecard.json"
_T = TypeVar("_T")


@dataclass(frozen=True)
class StudyTask:
    """What a worker needs to know to process a study.

    `earlier` are result objects made for this study before, the oldest first: the
    ones whose derived UID comes up again are reused as they are, and the newest
    report among them is named as the predecessor. `made_at` is the content time of new objects.
    """

    files: tuple[Path, ...]
    output: Path
    made_at: datetime
    earlier: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Processor:
    """The loaded parts, made once a worker; `made_by` is the digest of `making`."""

    settings: NodeSettings
    templates: Templates
    steps: Steps
    made_by: str = ""

    def process(self, task: StudyTask) -> StudySummary:
        """Analyse the study and write every result into `task.output`, an empty folder.

        Raises
        ------
        NoUsableFramesError
            None of the files could be read as a DICOM instance.
        EncodeError
            A result object would not have been valid.
        """
        clock = _Stopwatch()
        breast_only = self.settings.pipeline.breast_only
        study = clock.time("read", lambda: read_study(task.files, breast_only=breast_only))
        with study_context(study.study_instance_uid):
            result = clock.time("analyse", lambda: analyse(study, self.steps))
            pictures = clock.time("preview", lambda: self._pictures(result))
            headers = clock.time("read", lambda: read_headers(task.files))
            objects = clock.time("encode", lambda: self._encode(result, headers, task, pictures))
            clock.time("write", lambda: write_objects(objects, task.output))
            previews = write_pictures(result, pictures, task.output)
            pages = write_pages(
                result,
                objects,
                previews,
                self.templates,
                self.settings,
                task.output,
                claimed_sides(result, headers),
                image_names(result, headers),
            )
            summary = write_summary(
                result,
                objects,
                task.output,
                variants=all_variants(self.settings),
                previews=previews,
                pages=pages,
                seconds=clock.seconds,
                made_by=self.made_by,
            )
            logger.info(
                "processed %d images, %d with lesions, in %.1f s",
                len(result.images),
                sum(bool(image.lesions) for image in result.images),
                sum(clock.seconds.values()),
            )
        return summary

    def _encode(
        self,
        result: StudyResult,
        headers: dict[str, Any],
        task: StudyTask,
        pictures: Mapping[str, bytes],
    ) -> tuple[EncodedObject, ...]:
        earlier = [read_with_pixels(path) for path in task.earlier]
        by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in earlier}
        return encode_study(
            result,
            headers,
            templates=self.templates,
            settings=self.settings.results,
            variants=all_variants(self.settings),
            predecessors=[dataset for dataset in earlier if dataset.Modality == "SR"],
            previews=pictures,
            # Scanners seldom say their zone, and times without one are read as the hospital's own.
            made_at=task.made_at.astimezone(),
            reuse=by_uid.get,
            invalid_dir=self.settings.data_dir / INVALID_FOLDER,
        )

    def _pictures(self, result: StudyResult) -> dict[str, bytes]:
        """The preview of each image that was analysed, by SOP Instance UID."""
        drawn = {
            image.reference.sop_instance_uid: render_preview(image, self.templates) for image in result.images
        }
        return {uid: picture for uid, picture in drawn.items() if picture is not None}


def load_processor(settings: NodeSettings) -> Processor:
    """Load model, templates and OCR once.

    Raises
    ------
    ModelError, TemplateError
        What was named in the settings is absent or not what it claims to be.
    """
    from cad_node.networks import load_model

    threads = network_threads(settings)
    pipeline = settings.pipeline
    model = load_model(
        find_model(settings), settings.runtime.device, threads, normal_veto=pipeline.normal_veto
    )
    cleaner = load_cleaner(settings)
    fractional = any(variant.seg_type == "fractional" for variant in all_variants(settings))
    steps = Steps(
        gate=gate_image,
        clean=lambda frames: cleaner.clean_image(GivingWay(frames)),
        find_lesions=lambda frame: find_lesions(
            frame, model, pipeline.smallest_lesion_mm2, keep_probability=fractional
        ),
        provenance=provenance(settings, model.bundle, cleaner.describe()),
    )
    templates = load_templates(settings.runtime.templates_dir or templates_dir(), settings.results.language)
    return Processor(settings, templates, steps, _digest(settings, steps.provenance))


def load_cleaner(settings: NodeSettings, *, with_notes: bool = True) -> Cleaner:
    """The cleaner with its detector network, as these settings ask for it.

    `with_notes`: what stands beside the picture is read before it goes.

    Raises
    ------
    ModelError
        The annotation model is absent or not what it claims to be.
    """
    from cad_node.networks.annotation_model import load_annotation_model

    threads = network_threads(settings)
    folder = find_model(settings, settings.pipeline.annotation_model)
    network = load_annotation_model(folder, threads=threads)
    around = Surroundings(settings.pipeline.ocr_confidence, threads) if with_notes else None
    return Cleaner(settings.pipeline, threads=threads, network=network, surroundings=around)


def network_threads(settings: NodeSettings) -> int:
    """CPU threads for the networks of one worker, at least 1.

    By default only half of the cores are shared out: threads of one network wait for each other,
    and where receiving, decoding or another worker takes a core away they wait long. Two threads
    on two busy cores took 0.3 to 1.5 s an image where one thread took 0.1 s.
    """
    chosen = settings.runtime.threads
    return chosen or max(1, (os.cpu_count() or 1) // (2 * settings.jobs.workers))


def find_model(settings: NodeSettings, name: str | None = None) -> Path:
    """Folder of a model, by default of the lesion model: the user's own before the shipped.

    Raises
    ------
    ModelNotFoundError
        There is none of this name, or no folder of own models where the settings say.
    """
    name = name or settings.pipeline.model
    own, shipped = settings.runtime.models_dir, models_dir()
    if own is not None and not own.is_dir():
        # Passed over, the shipped model would run where the operator's own was meant.
        raise ModelNotFoundError(
            f"runtime.models_dir {own} is no folder that can be read.",
            "Mend the path, or leave models_dir out to use the shipped models.",
        )
    places = [shipped] if own is None else [own, shipped]
    for place in places:
        if (place / name).is_dir():
            return place / name
    raise ModelNotFoundError(
        f"There is no model '{name}' in {' or '.join(map(str, places))}.",
        f"Under [pipeline], name one of these: {', '.join(model_names(*places))}.",
    )


def provenance(settings: NodeSettings, bundle: Bundle, steps: Sequence[str]) -> Provenance:
    """By what results are made; equal provenance and equal sources give equal UIDs.

    The digest of the settings covers the network that cleans, too: its name alone
    does not say which weights they are.

    Raises
    ------
    ModelError
        The annotation model is absent or not what it claims to be.
    """
    from cad_node.networks.annotation_bundle import load_annotation_bundle

    annotations = load_annotation_bundle(find_model(settings, settings.pipeline.annotation_model))
    # What is not set is left out: a setting that a later version adds gives nobody new UIDs.
    chosen = settings.pipeline.model_dump(mode="json", exclude_none=True)
    made_with = {**chosen, "annotation_model_sha256": annotations.sha256}
    text = json.dumps(made_with, sort_keys=True)
    return Provenance(
        software_version=__version__,
        model_name=bundle.name,
        model_version=bundle.version,
        model_sha256=bundle.sha256,
        settings_digest=hashlib.sha256(text.encode()).hexdigest(),
        steps=tuple(steps),
        calibration=calibration(bundle),
    )


def making(settings: NodeSettings) -> MadeBy:
    """By what a node with these settings makes its results.

    Raises
    ------
    ModelError
        A model is absent or not what it claims to be.
    """
    from cad_node.networks.bundle import load_bundle

    made_by = provenance(settings, load_bundle(find_model(settings)), ())
    model = f"{made_by.model_name} {made_by.model_version}"[:160]
    return MadeBy(_digest(settings, made_by), model, made_by.model_sha256)


def _digest(settings: NodeSettings, made_by: Provenance) -> str:
    """Covers all that changes a result object: provenance, what is made and in which form, and the words."""
    templates = settings.runtime.templates_dir or templates_dir()
    words = (path for path in sorted(templates.rglob("*")) if path.suffix in {".toml", ".j2"})
    made_how = [
        # What is done follows from the rest, and is listed only where everything is loaded.
        asdict(replace(made_by, steps=())),
        settings.results.model_dump(mode="json"),
        [variant.name for variant in all_variants(settings)],
        [path.read_text(encoding="utf-8") for path in words],
    ]
    return hashlib.sha256(json.dumps(made_how, sort_keys=True).encode()).hexdigest()


def calibration(bundle: Bundle) -> Calibration:
    """How well the model's probabilities are calibrated, as far as its scorecard tells."""
    try:
        card = json.loads((bundle.folder / SCORECARD_FILE).read_text(encoding="utf-8"))
        measured = card["annotations_removed"]["all"]["calibration_error"]
        return Calibration(bundle.temperature, float(measured["value"]), int(measured["images"]))
    except (OSError, ValueError, LookupError, TypeError):
        return Calibration(bundle.temperature)  # a model of one's own may have no scorecard


class _Stopwatch:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], _T]) -> _T:
        started = time.monotonic()
        try:
            return work()
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - started
