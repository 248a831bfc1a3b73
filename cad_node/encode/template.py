"""Wording, labels, colours and codes of the results, as a radiologist may edit them.

The dataclasses below are the whole format of `dicom_templates/`: every key must
be there, none may be added, and a placeholder that the text cannot have is
refused. `template_reader.py` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import jinja2

from cad_node.codes import Concept
from cad_node.domain import LesionClass, NotAnalysed, Probabilities, Status
from cad_node.encode.font import Font
from cad_node.encode.template_outputs import (
    PdfTemplate,
    PresentationStateTemplate,
    SecondaryCaptureTemplate,
)
from cad_node.encode.template_sr import SrTemplate
from cad_node.encode.template_text import Colour, Series, Text

PAGE_FILE = "page.html.j2"
# What `page.py` hands to the page.
PAGE_NAMES = frozenset(
    {
        "study",
        "images",
        "lesions",
        "counts",
        "unreadable",
        "provenance",
        "product",
        "colours",
        "files",
        "text",
        "language",
    }
)


@dataclass(frozen=True)
class Product:
    """Who speaks."""

    name: Annotated[str, Text(longest=64)]
    manufacturer: Annotated[str, Text(longest=64)]
    disclaimer: Annotated[str, Text()]


@dataclass(frozen=True)
class Numbers:
    """How figures are written in texts."""

    decimal: Annotated[str, Text(longest=1, pattern=r"[.,]")]


# Beyond this, figures would promise more than any network knows.
_SUREST = 0.001


@dataclass(frozen=True)
class Abstention:
    """How it is said that the likeliest class is too often wrong."""

    tag: Annotated[str, Text(longest=24)]
    class_name: Annotated[str, Text("class_name", longest=40)]


@dataclass(frozen=True)
class Wording:
    """`wording.toml`: words that several results share."""

    product: Product
    numbers: Numbers
    classes: Mapping[LesionClass, str]
    abstention: Abstention
    statuses: Mapping[Status, str]
    reasons: Mapping[NotAnalysed, str]

    def number(self, value: float, digits: int) -> str:
        """A figure with so many decimals."""
        return f"{value:.{digits}f}".replace(".", self.numbers.decimal)

    def percent(self, probability: float) -> str:
        """A probability in percent with one decimal; no network is so sure that it would be 0.0 or 100.0."""
        if probability < _SUREST:
            return f"< {self.number(100 * _SUREST, 1)}"
        if probability > 1 - _SUREST:
            return f"> {self.number(100 * (1 - _SUREST), 1)}"
        return self.number(100 * probability, 1)

    def class_name(self, probabilities: Probabilities) -> str:
        """The likeliest class in words; where the node abstains, that it does so."""
        name = self.classes[probabilities.likeliest]
        return self.abstention.class_name.format(class_name=name) if probabilities.uncertain else name

    def class_tag(self, probabilities: Probabilities) -> str:
        """The same where there is room for one word."""
        return self.abstention.tag if probabilities.uncertain else self.classes[probabilities.likeliest]


@dataclass(frozen=True)
class SegContent:
    """The content identification of a SEG (PS3.3 table 10-12)."""

    label: Annotated[str, Text(longest=16, pattern=r"[A-Z0-9_ ]+")]
    description: Annotated[str, Text(longest=64)]


@dataclass(frozen=True)
class SegSegment:
    """One segment of a SEG (PS3.3 C.8.20.4)."""

    label: Annotated[str, Text("number", "class_name", longest=64)]
    tracking_id: Annotated[str, Text("image", "number", longest=64)]
    category: Concept
    type: Concept
    site: Concept


@dataclass(frozen=True)
class Algorithm:
    """How the algorithm is named in SEG and SR."""

    name: Annotated[str, Text("model_name", longest=64)]
    family: Concept


@dataclass(frozen=True)
class SegTemplate:
    """`seg.toml`."""

    series: Series
    content: SegContent
    segment: SegSegment
    algorithm: Algorithm
    colours: Mapping[LesionClass, Colour]


@dataclass(frozen=True)
class Picture:
    """Sizes of the preview, in pixels."""

    height: int
    longest_width: int
    panel_width: int
    font_size: int
    outline_width: int
    font: Font


@dataclass(frozen=True)
class PreviewText:
    """What stands on the preview."""

    lesion: Annotated[str, Text("number")]
    no_lesion: Annotated[str, Text()]
    more_lesions: Annotated[str, Text("count")]
    long_axis: Annotated[str, Text()]
    short_axis: Annotated[str, Text()]
    area: Annotated[str, Text()]
    probability: Annotated[str, Text()]
    band: Annotated[str, Text()]
    frame: Annotated[str, Text("frame", "frames")]
    removed: Annotated[str, Text("count")]
    uncalibrated: Annotated[str, Text()]
    cut: Annotated[str, Text()]
    partly: Annotated[str, Text()]


@dataclass(frozen=True)
class PreviewColours:
    """Colours of the preview."""

    background: Colour
    panel: Colour
    text: Colour
    faint: Colour
    axis: Colour
    normal: Colour
    benign: Colour
    malignant: Colour
    uncertain: Colour

    def of(self, probabilities: Probabilities) -> Colour:
        """Colour of the likeliest class, or of abstention."""
        colour: Colour = getattr(self, "uncertain" if probabilities.uncertain else probabilities.likeliest)
        return colour


@dataclass(frozen=True)
class PreviewTemplate:
    """`preview.toml`."""

    picture: Picture
    text: PreviewText
    colours: PreviewColours


_LESION_OF_IMAGE = Text("image", "number")


@dataclass(frozen=True)
class PageText:
    """The words of the page."""

    heading: Annotated[str, Text("product")]
    title: Annotated[str, Text("product")]
    study: Annotated[str, Text()]
    lesions_outlined: Annotated[str, Text()]
    images_analysed: Annotated[str, Text()]
    analysed_of: Annotated[str, Text("analysed", "images")]
    greatest_probability: Annotated[str, _LESION_OF_IMAGE]
    lesions: Annotated[str, Text()]
    lesion: Annotated[str, _LESION_OF_IMAGE]
    picture_of_lesion: Annotated[str, _LESION_OF_IMAGE]
    measured_in: Annotated[str, Text("frame", "frames")]
    probability: Annotated[str, Text()]
    band: Annotated[str, Text()]
    long_axis: Annotated[str, Text()]
    short_axis: Annotated[str, Text()]
    area: Annotated[str, Text()]
    depth: Annotated[str, Text()]
    outline: Annotated[str, Text()]
    place: Annotated[str, Text()]
    other_probabilities: Annotated[str, Text()]
    uncalibrated: Annotated[str, Text()]
    no_lesion: Annotated[str, Text()]
    nothing_analysed: Annotated[str, Text()]
    images: Annotated[str, Text()]
    image: Annotated[str, Text()]
    status: Annotated[str, Text()]
    found: Annotated[str, Text()]
    whole_image: Annotated[str, Text()]
    cancer: Annotated[str, Text()]
    removed: Annotated[str, Text()]
    marked: Annotated[str, Text()]
    files: Annotated[str, Text()]
    frames: Annotated[str, Text("frames")]
    picture: Annotated[str, Text()]
    made_by: Annotated[str, Text()]
    software: Annotated[str, Text()]
    model: Annotated[str, Text()]
    settings_digest: Annotated[str, Text()]
    report: Annotated[str, Text()]
    steps: Annotated[str, Text()]


@dataclass(frozen=True)
class PageTemplate:
    """`page.toml`."""

    text: PageText


@dataclass(frozen=True)
class Templates:
    """All templates; `digest` changes with every change of a file, and with it result UIDs."""

    wording: Wording
    seg: SegTemplate
    sr: SrTemplate
    preview: PreviewTemplate
    page: jinja2.Template = field(compare=False, repr=False)
    page_words: PageTemplate
    presentation_state: PresentationStateTemplate
    secondary_capture: SecondaryCaptureTemplate
    pdf: PdfTemplate
    digest: str
    # What only objects of one kind depend on, by kind.
    digests: Mapping[str, str] = field(default_factory=dict)
