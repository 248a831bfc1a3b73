"""`[pipeline]` and `[runtime]`: what is done to an image, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from cad_node.settings.section import DEVICE, NAME, Section


class PipelineSettings(Section):
    """What is done to an image. Every field here is part of the derived result UIDs."""

    model: str = Field("breast-us", pattern=NAME, description="Name of the folder under models.")
    annotation_model: str = Field(
        "annotations",
        pattern=NAME,
        description="Name of the folder under models with the network that finds burnt-in marks.",
    )
    inpainting: Literal["navier-stokes", "telea"] = Field(
        "navier-stokes", description="How found annotations are filled in."
    )
    ocr_confidence: float = Field(
        0.5, ge=0, le=1, description="Text is removed when read with at least this."
    )
    verify_cleaning: bool = Field(
        True,
        description="Read each cleaned picture with a second OCR, and refuse an image on which text is left. "
        "Off: nobody has checked that names are gone.",
    )
    verify_confidence: float = Field(
        0.5, ge=0, le=1, description="What the second OCR reads with at least this counts as left."
    )
    smallest_lesion_mm2: float = Field(
        4.0, ge=0, description="Smaller findings are dropped, where calibrated."
    )
    normal_veto: float | None = Field(
        None,
        gt=0,
        le=1,
        examples=[0.5],
        description="A finding that looks normal with at least this probability is dropped. Lower: fewer false "
        "findings, more missed lesions. Unset: as the model says.",
    )
    breast_only: bool = Field(
        False, description="Refuse images whose header names another body part than breast or axilla."
    )


class RuntimeSettings(Section):
    """How fast, never what."""

    device: str = Field("cpu", pattern=DEVICE, description="Where the networks run.")
    threads: int = Field(
        0,
        ge=0,
        le=256,
        description="CPU threads of the networks a worker; 0: half the cores, shared by the workers.",
    )
    study_deadline_s: float = Field(
        3600.0, gt=0, description="A study that takes longer is ended and marked as failed."
    )
    models_dir: Path | None = Field(
        None,
        examples=["/etc/cad-node/models"],
        description="Folder of your own models, looked into before the shipped ones.",
    )
    templates_dir: Path | None = Field(
        None,
        examples=["/etc/cad-node/dicom_templates"],
        description="Your own `dicom_templates`, instead of the shipped ones.",
    )
