"""`[results]` and `[answers]`: what comes back, and what a radiologist's answer to it means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cad_node.settings.section import LANGUAGE, TITLE_CODE, AeTitle, Section

ObjectKind = Literal["seg", "sr", "presentation_state", "secondary_capture", "pdf", "text_sr"]
SrClass = Literal["comprehensive-3d", "comprehensive", "enhanced"]
SegType = Literal["binary", "fractional", "labelmap"]
SegScope = Literal["image", "series"]
TransferSyntax = Literal["explicit-little-endian", "deflated", "rle", "jpeg-ls", "jpeg-2000"]

SeriesNumber = Annotated[int, Field(ge=1, le=2147483647)]
TitleCode = Annotated[str, Field(pattern=TITLE_CODE)]


class ResultSettings(Section):
    """What comes back. A destination may have another class, type or transfer syntax than these."""

    language: str = Field(
        "en",
        pattern=LANGUAGE,
        description="Language of reports, pictures and pages: en, de, fr, es, pt, or that of a folder which "
        "you put into your `dicom_templates`.",
    )
    sr_class: SrClass = Field(
        "comprehensive-3d",
        description="SOP Class of the structured report; older PACS take only the latter two.",
    )
    seg_type: SegType = Field(
        "binary", description="Segmentation Type. OHIF shows `binary` alone; see docs/conformance.md."
    )
    seg_scope: SegScope = Field(
        "image",
        description="A segmentation for each image, or one for all single-frame images of a series that are "
        "alike in size and calibration.",
    )
    transfer_syntax: TransferSyntax = Field(
        "explicit-little-endian",
        description="`rle`, `jpeg-ls` and `jpeg-2000` are lossless and compress what has 8-bit pixels: secondary "
        "captures, fractional and labelmap segmentations. `deflated` compresses every object; OHIF shows a "
        "deflated capture black.",
    )
    seg_series_number: SeriesNumber = Field(9001, description="Series Number of the segmentations.")
    sr_series_number: SeriesNumber = Field(9002, description="Series Number of the structured reports.")
    presentation_state_series_number: SeriesNumber = Field(
        9003, description="Series Number of the presentation states."
    )
    secondary_capture_series_number: SeriesNumber = Field(
        9004, description="Series Number of the secondary captures."
    )
    pdf_series_number: SeriesNumber = Field(9005, description="Series Number of the PDF.")
    text_sr_series_number: SeriesNumber = Field(9006, description="Series Number of the plain-text reports.")


class AnswerSettings(Section):
    """What a radiologist's answer, a key object that names a result, means."""

    accept_titles: tuple[TitleCode, ...] = Field(
        ("113000", "113020"),
        description="Document titles (CID 7010) that accept: 113000 Of Interest, 113020 For Report Attachment.",
    )
    reject_titles: tuple[TitleCode, ...] = Field(
        ("113001", "113037", "113038"),
        description="Document titles that reject: 113001 Rejected for Quality Reasons, 113037 Rejected for Patient "
        "Safety Reasons, 113038 Incorrect Modality Worklist Entry.",
    )
    calling_ae_titles: tuple[AeTitle, ...] = Field(
        (), description="AE titles whose answers count. Empty: all that may send."
    )

    @model_validator(mode="after")
    def _one_meaning_a_title(self) -> AnswerSettings:
        if both := sorted({*self.accept_titles} & {*self.reject_titles}):
            raise ValueError(f"document title {both[0]} accepts and rejects")
        return self
