"""Templates of the objects beside SEG and SR: presentation state, secondary capture, PDF, plain text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cad_node.codes import Concept
from cad_node.encode.template_text import Series, Text


@dataclass(frozen=True)
class OutlineContent:
    """The content identification of a presentation state (PS3.3 table 10-12)."""

    label: Annotated[str, Text(longest=16, pattern=r"[A-Z0-9_ ]+")]
    description: Annotated[str, Text(longest=64)]


@dataclass(frozen=True)
class OutlineText:
    """What stands beside an outline."""

    label: Annotated[str, Text("number", "class_name", "percent", longest=200)]
    size: Annotated[str, Text("long_axis", "short_axis", "unit", longest=200)]


@dataclass(frozen=True)
class PresentationStateTemplate:
    """`presentation_state.toml`."""

    series: Series
    content: OutlineContent
    text: OutlineText


@dataclass(frozen=True)
class Capture:
    """The picture that a secondary capture is; sizes in pixels."""

    derivation: Annotated[str, Text(longest=1024)]
    legend_height: int
    font_size: int


@dataclass(frozen=True)
class Legend:
    """What stands under the picture."""

    axes: Annotated[str, Text()]
    made_by: Annotated[str, Text("software", "version", "model_name", "model_version")]


@dataclass(frozen=True)
class SecondaryCaptureTemplate:
    """`secondary_capture.toml`."""

    series: Series
    capture: Capture
    legend: Legend


@dataclass(frozen=True)
class DocumentHead:
    """Title and headings of a document."""

    title: Annotated[str, Text(longest=200)]
    findings: Annotated[str, Text(longest=64)]
    not_analysed: Annotated[str, Text(longest=64)]
    image: Annotated[str, Text("image", longest=64)]
    study: Annotated[str, Text("study_instance_uid", longest=200)]
    made_by: Annotated[str, Text("software", "version", "model_name", "model_version", "sha256")]
    concept: Concept


@dataclass(frozen=True)
class PdfPage:
    """Sizes of the PDF, in points."""

    font_size: int
    picture_height: int


@dataclass(frozen=True)
class PdfTemplate:
    """`pdf.toml`: the document, as PDF and as plain text."""

    series: Series
    text_series: Series
    document: DocumentHead
    page: PdfPage
